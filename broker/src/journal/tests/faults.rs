//! The disk refuses: after the first failure nothing is acknowledged, and nothing that was
//! acknowledged is lost.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use super::{
    bench::{Bench, InFiles, InMemory, append_many, batch, cause, read_all},
    hook::{DiskHook, DiskOperation},
};
use crate::journal::{Crash, Journal, JournalError};

/// Fails the n-th operation of one kind, once or from then on.
#[derive(Debug)]
struct FailNth {
    kind: &'static str,
    nth: u64,
    is_lasting: bool,
    seen: AtomicU64,
    struck: AtomicBool,
}

fn kind(operation: &DiskOperation<'_>) -> &'static str {
    match operation {
        DiskOperation::Create(_) => "create",
        DiskOperation::Write(..) => "write",
        DiskOperation::Sync(_) => "sync",
        DiskOperation::Rename(..) => "rename",
        DiskOperation::Remove(_) => "remove",
        DiskOperation::SyncFolder => "sync folder",
    }
}

impl DiskHook for FailNth {
    fn before(&self, operation: &DiskOperation<'_>) -> io::Result<()> {
        if kind(operation) != self.kind {
            return Ok(());
        }
        let seen = self.seen.fetch_add(1, Ordering::SeqCst) + 1;
        if seen == self.nth || (self.is_lasting && seen > self.nth) {
            self.struck.store(true, Ordering::SeqCst);
            return Err(io::Error::other("injected fault"));
        }
        Ok(())
    }
}

/// Appends, seals and trims until something fails; returns the last acknowledged number.
fn work(journal: &mut impl Journal) -> u64 {
    let mut acknowledged = 0;
    let mut has_failed = false;
    for lsn in 1..=40 {
        match journal.append(&batch(0, lsn, 1, 5_000)) {
            Ok(_) => {
                assert!(!has_failed, "{lsn} was acknowledged after a failure");
                acknowledged = lsn;
            }
            Err(error) => {
                assert!(matches!(error, JournalError::Failed { .. }), "{error}");
                has_failed = true;
            }
        }
        let others = [
            if lsn % 7 == 0 { journal.seal() } else { Ok(()) },
            if lsn % 10 == 0 {
                journal.log().trim(0, lsn - 3)
            } else {
                Ok(())
            },
        ];
        has_failed |= others.iter().any(Result::is_err);
    }
    acknowledged
}

#[test]
fn any_operation_fails() {
    for kind in ["create", "write", "sync", "rename", "remove", "sync folder"] {
        for is_lasting in [false, true] {
            for nth in (1..).step_by(if is_lasting { 5 } else { 1 }) {
                let (seen, struck) = (AtomicU64::new(0), AtomicBool::new(false));
                let hook = Arc::new(FailNth {
                    kind,
                    nth,
                    is_lasting,
                    seen,
                    struck,
                });
                let bench = InFiles::new();
                let acknowledged = bench
                    .open_hooked(Arc::clone(&hook) as Arc<dyn DiskHook>)
                    .map_or(0, |(mut journal, _)| work(&mut journal));
                let (mut journal, recovered) = bench.open();
                let last = recovered.last_lsn.unwrap_or(0);
                assert!(
                    (acknowledged..=acknowledged + 1).contains(&last),
                    "{kind} {nth}: {acknowledged} acknowledged, {last} recovered"
                );
                let first = recovered.first_lsn.unwrap_or(1);
                for (at, (found, _)) in read_all(&*journal.log(), 0, 0).iter().enumerate() {
                    assert_eq!(*found, batch(0, first + at as u64, 1, 5_000));
                }
                append_many(&mut journal, last, 20, 5_000);
                if !hook.struck.load(Ordering::SeqCst) || nth > 120 {
                    break;
                }
            }
        }
    }
}

#[test]
fn the_first_cause_is_told_every_time() {
    let bench = InFiles::new();
    drop(bench.open());
    let (seen, struck) = (AtomicU64::new(0), AtomicBool::new(false));
    let hook = Arc::new(FailNth {
        kind: "sync",
        nth: 3,
        is_lasting: false,
        seen,
        struck,
    });
    let (mut journal, _) = bench.open_hooked(hook).unwrap();
    let log = journal.log();
    let mut lsn = 1;
    let first = loop {
        match journal.append(&batch(0, lsn, 1, 10)) {
            Ok(_) => lsn += 1,
            Err(error) => break error,
        }
    };
    assert!(
        matches!(cause(&first), JournalError::Io { op: "sync", .. }),
        "{first}"
    );
    assert!(first.to_string().contains("injected fault"), "{first}");
    for error in [
        journal.append(&batch(0, lsn, 1, 10)).map(drop).unwrap_err(),
        journal.seal().unwrap_err(),
        log.next(0, 0).map(drop).unwrap_err(),
        log.trim(0, 1).unwrap_err(),
    ] {
        assert_eq!(error.to_string(), first.to_string());
    }
}

/// Remembers where the last batch of an open folder is written.
#[derive(Debug, Default)]
struct SeesWrites(parking_lot::Mutex<Vec<(u64, usize)>>);

impl DiskHook for SeesWrites {
    fn before(&self, operation: &DiskOperation<'_>) -> io::Result<()> {
        if let DiskOperation::Write(path, offset, bytes) = operation
            && path.ends_with("0000000000000001.journal")
        {
            self.0.lock().push((*offset, bytes.len()));
        }
        Ok(())
    }
}

#[test]
fn an_open_writes_the_last_batch_again() {
    // After a failed sync the kernel calls the pages clean: only a new write reaches the disk.
    let bench = InFiles::new();
    let (mut journal, _) = bench.open();
    append_many(&mut journal, 0, 3, 440);
    drop(journal);
    let hook = Arc::new(SeesWrites::default());
    let (journal, _) = bench
        .open_hooked(Arc::clone(&hook) as Arc<dyn DiskHook>)
        .unwrap();
    assert_eq!(*hook.0.lock(), [(4096 + 2 * 512, 3 * 1024)]);
    drop(journal);
}

#[test]
fn an_append_is_one_write_and_one_sync() {
    #[derive(Debug, Default)]
    struct Counts(AtomicU64, AtomicU64);
    impl DiskHook for Counts {
        fn before(&self, operation: &DiskOperation<'_>) -> io::Result<()> {
            match operation {
                DiskOperation::Write(path, ..) if path.ends_with("0000000000000001.journal") => {
                    self.0.fetch_add(1, Ordering::SeqCst);
                }
                DiskOperation::Sync(path) if path.ends_with("0000000000000001.journal") => {
                    self.1.fetch_add(1, Ordering::SeqCst);
                }
                _ => {}
            }
            Ok(())
        }
    }
    let bench = InFiles::new();
    drop(bench.open());
    let counts = Arc::new(Counts::default());
    let (mut journal, _) = bench
        .open_hooked(Arc::clone(&counts) as Arc<dyn DiskHook>)
        .unwrap();
    append_many(&mut journal, 0, 6, 9_000);
    assert_eq!(
        (
            counts.0.load(Ordering::SeqCst),
            counts.1.load(Ordering::SeqCst)
        ),
        (6, 6)
    );
}

/// No room for new files while set.
#[derive(Debug, Default)]
struct FullDisk(AtomicBool);

impl DiskHook for FullDisk {
    fn before(&self, operation: &DiskOperation<'_>) -> io::Result<()> {
        if self.0.load(Ordering::SeqCst) && matches!(operation, DiskOperation::Create(_)) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

#[test]
fn a_full_disk_holds_appends_until_something_is_trimmed() {
    let mut bench = InFiles::new();
    bench.options.segment_wait = Duration::from_secs(60);
    let hook = Arc::new(FullDisk::default());
    let (mut journal, _) = bench
        .open_hooked(Arc::clone(&hook) as Arc<dyn DiskHook>)
        .unwrap();
    while journal.shared.state.lock().ready.len() < 2 {
        thread::yield_now();
    }
    hook.0.store(true, Ordering::SeqCst);
    let mut lsn = 0;
    while journal.log().ready_bytes() > 8_192 {
        append_many(&mut journal, lsn, 1, 8_000);
        lsn += 1;
    }
    let log = journal.log();
    let appending = thread::spawn(move || {
        append_many(&mut journal, lsn, 5, 8_000);
        journal
    });
    thread::sleep(Duration::from_millis(20));
    log.trim(0, 7).unwrap();
    let journal = appending.join().unwrap();
    assert_eq!(journal.log().durable_lsn(0), lsn + 5);
}

#[test]
fn a_full_disk_is_told_in_the_end() {
    let mut bench = InFiles::new();
    bench.options.segment_wait = Duration::from_millis(30);
    let hook = Arc::new(FullDisk::default());
    let (mut journal, _) = bench
        .open_hooked(Arc::clone(&hook) as Arc<dyn DiskHook>)
        .unwrap();
    hook.0.store(true, Ordering::SeqCst);
    let mut lsn = 1;
    let error = loop {
        match journal.append(&batch(0, lsn, 1, 8_000)) {
            Ok(_) => lsn += 1,
            Err(error) => break error,
        }
    };
    assert!(
        matches!(cause(&error), JournalError::DiskFull { .. }),
        "{error}"
    );
    drop(journal);
    assert_eq!(bench.open().1.last_lsn, Some(lsn - 1));
}

#[test]
fn memory_fails_and_crashes_on_demand() {
    let whole = 72 + 500;
    for (how, last, cut) in [
        (Crash::Drop, 2, 0),
        (Crash::Keep, 3, 0),
        (Crash::Tear { bytes: 0 }, 2, 0),
        (Crash::Tear { bytes: 30 }, 2, 512),
        (Crash::Tear { bytes: 100 }, 2, u64::from(whole)),
        (Crash::Tear { bytes: whole }, 3, 0),
    ] {
        let bench = InMemory::new();
        let (mut journal, _) = bench.open();
        append_many(&mut journal, 0, 2, 500);
        bench.disk.fail_sync(1);
        let error = journal.append(&batch(0, 3, 1, 500)).unwrap_err();
        assert!(
            matches!(cause(&error), JournalError::Io { op: "sync", .. }),
            "{error}"
        );
        assert!(bench.disk.has_unsynced());
        bench.disk.crash(how);
        assert!(journal.log().next(0, 0).is_err());
        let (mut journal, recovered) = bench.open();
        assert_eq!(
            (recovered.last_lsn, recovered.cut_bytes),
            (Some(last), cut),
            "{how:?}"
        );
        append_many(&mut journal, last, 1, 500);
        bench.disk.fail_append(2);
        append_many(&mut journal, last + 1, 1, 500);
        let error = journal.append(&batch(0, last + 3, 1, 500)).unwrap_err();
        assert!(
            matches!(cause(&error), JournalError::Io { op: "write", .. }),
            "{error}"
        );
        let (_, recovered) = bench.open();
        assert_eq!(recovered.last_lsn, Some(last + 2));
    }
}

#[test]
fn a_crashed_memory_disk_ends_the_open_journal() {
    let bench = InMemory::new();
    let (mut journal, _) = bench.open();
    append_many(&mut journal, 0, 2, 500);
    bench.disk.crash(Crash::Drop);
    assert!(journal.append(&batch(0, 3, 1, 1)).is_err());
    assert!(journal.seal().is_err());
    assert_eq!(bench.open().1.last_lsn, Some(2));
}
