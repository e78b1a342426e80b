//! The files: what is made ahead, recycled, deleted, and tidied up.

use std::{
    fs,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use super::bench::{Bench, InFiles, SEGMENT_BYTES, append_many, batch, read_all};
use crate::journal::{FileJournal, Journal, JournalError};

/// Waits for the preparing thread.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

fn ready(journal: &FileJournal) -> usize {
    journal.shared.state.lock().ready.len()
}

#[test]
fn segments_are_made_ahead() {
    let bench = InFiles::new();
    let (journal, _) = bench.open();
    eventually("two are ready", || ready(&journal) == 2);
    assert_eq!(
        bench.names(),
        [
            "0000000000000001.journal",
            "0000000000000002.journal",
            "0000000000000003.journal",
            "journal.meta",
            "watermark"
        ]
    );
    for number in 1..=3 {
        let length = fs::metadata(bench.segment(number)).unwrap().len();
        assert_eq!(length, u64::from(SEGMENT_BYTES));
    }
    assert_eq!(
        journal.log().ready_bytes(),
        3 * u64::from(SEGMENT_BYTES - 4096)
    );
}

#[test]
fn an_append_never_grows_a_file() {
    let bench = InFiles::new();
    let (mut journal, _) = bench.open();
    for lsn in 0..60 {
        append_many(&mut journal, lsn, 1, 9_000);
        let state = journal.shared.state.lock();
        for live in &state.live {
            assert_eq!(
                live.segment.file.length().unwrap(),
                u64::from(SEGMENT_BYTES)
            );
        }
    }
}

#[test]
fn trimmed_files_are_used_again_and_their_old_content_is_not_seen() {
    let bench = InFiles::new();
    let mut lsn = 0;
    for round in 0..12 {
        // Sizes that leave old headers, old payloads and old ends at every kind of offset.
        let bytes = [8_000, 440, 3_000, 60_000, 1, 4_024][round % 6];
        let (mut journal, recovered) = bench.open();
        assert_eq!(recovered.last_lsn.unwrap_or(0), lsn);
        assert_eq!(recovered.cut_bytes, 0, "round {round}");
        let count = 150_000 / (bytes as u64 + 512) + 1;
        append_many(&mut journal, lsn, count, bytes);
        lsn += count;
        let log = journal.log();
        let first = log.first_lsn(0).unwrap();
        assert_eq!(read_all(&*log, 0, 0).len() as u64, lsn - first + 1);
        log.trim(0, lsn).unwrap();
        eventually("trimmed ones are taken away", || {
            journal.shared.state.lock().retired.is_empty()
        });
        drop(journal);
        let spares = bench
            .names()
            .iter()
            .filter(|name| name.starts_with("spare-"))
            .count();
        assert!(spares <= bench.options.recycled_segments_max);
    }
    assert!(bench.names().len() < 12, "{:?}", bench.names());
}

#[test]
fn a_recycled_file_may_end_in_whole_old_batches() {
    let bench = InFiles::new();
    let options = crate::journal::JournalOptions {
        spare_segments: 1,
        ..bench.options
    };
    let bench = InFiles { options, ..bench };
    let (mut journal, _) = bench.open();
    append_many(&mut journal, 0, 28, 8_000);
    journal.log().trim(0, 28).unwrap();
    drop(journal);
    assert!(
        bench.names().iter().any(|name| name.starts_with("spare-")),
        "{:?}",
        bench.names()
    );
    let (mut journal, _) = bench.open();
    let mut lsn = 28;
    // Goes on until a file that was full of old batches holds a single new one.
    while read_all(&*journal.log(), 0, 0).last().unwrap().1.segment < 8 {
        append_many(&mut journal, lsn, 1, 8_000);
        lsn += 1;
    }
    drop(journal);
    let bytes = fs::read(bench.segment(8)).unwrap();
    assert!(
        bytes[20_000..].iter().any(|&byte| byte != 0),
        "old content is there"
    );
    let (journal, recovered) = bench.open();
    assert_eq!((recovered.last_lsn, recovered.cut_bytes), (Some(lsn), 0));
    assert_eq!(
        read_all(&*journal.log(), 0, 0).last().unwrap().0.last_lsn(),
        lsn
    );
}

#[test]
fn a_file_that_is_being_read_is_not_used_again() {
    let bench = InFiles::new();
    let (mut journal, _) = bench.open();
    append_many(&mut journal, 0, 15, 8_000);
    let pinned = Arc::clone(&journal.shared.state.lock().live[0].segment);
    let before = fs::read(bench.segment(1)).unwrap();
    journal.log().trim(0, 7).unwrap();
    eventually("the first file goes", || !bench.segment(1).exists());
    assert!(!bench.names().iter().any(|name| name.starts_with("spare-")));
    append_many(&mut journal, 15, 60, 8_000);
    let mut after = vec![0; before.len()];
    pinned.file.read_at(&mut after, 0).unwrap();
    assert!(before == after, "a pinned segment never changes");
}

#[test]
fn leftovers_of_a_crash_are_tidied_up() {
    let bench = InFiles::new();
    let (mut journal, _) = bench.open();
    append_many(&mut journal, 0, 3, 100);
    drop(journal);
    for (name, bytes) in [
        ("unfinished-0000000000000009.journal", 5_000),
        ("unfinished-watermark", 3),
        ("spare-0000000000000001.journal", 700),
        ("spare-0000000000000002.journal", SEGMENT_BYTES as usize),
        ("notes.txt", 9),
    ] {
        fs::write(bench.path().join(name), vec![0xEE; bytes]).unwrap();
    }
    let (mut journal, recovered) = bench.open();
    assert_eq!(recovered.last_lsn, Some(3));
    let names = bench.names();
    assert!(
        !names.iter().any(|name| name.starts_with("unfinished-")),
        "{names:?}"
    );
    assert!(
        !names.contains(&"spare-0000000000000001.journal".to_owned()),
        "{names:?}"
    );
    assert!(
        names.contains(&"notes.txt".to_owned()),
        "what is not ours stays"
    );
    append_many(&mut journal, 3, 40, 8_000);
    drop(journal);
    assert_eq!(bench.open().1.last_lsn, Some(43));
}

#[test]
fn files_of_another_size_stay_in_use() {
    let mut bench = InFiles::new();
    let mut lsn = 0;
    for segment_bytes in [65_536, 131_072, 65_536, 262_144] {
        bench.options.segment_bytes = segment_bytes;
        let (mut journal, recovered) = bench.open();
        assert_eq!(recovered.last_lsn.unwrap_or(0), lsn);
        append_many(&mut journal, lsn, 60, 8_000);
        lsn += 60;
        assert_eq!(read_all(&*journal.log(), 0, 0).len() as u64, lsn);
    }
}

#[test]
fn the_watermark_follows() {
    let mut bench = InFiles::new();
    bench.options.watermark_interval = Duration::from_millis(5);
    let (mut journal, _) = bench.open();
    let before = fs::read(bench.watermark()).unwrap();
    append_many(&mut journal, 0, 3, 100);
    eventually("the watermark moves", || {
        fs::read(bench.watermark()).unwrap() != before
    });
    drop(journal);
    let closed = fs::read(bench.watermark()).unwrap();
    let (journal, _) = bench.open();
    drop(journal);
    assert_eq!(
        fs::read(bench.watermark()).unwrap(),
        closed,
        "written only when it moves"
    );
}

/// Pieces large and small, from any byte on, also of a file whose end is missing.
#[test]
fn a_piece_is_read_as_it_was_written_wherever_it_begins() {
    let mut bench = InFiles::new();
    bench.options.segment_bytes = 1024 * 1024;
    let (mut journal, _) = bench.open();
    let mut lsn = 0;
    for bytes in [70_001, 300, 65_536, 200_000, 65_535, 4_000, 300_000] {
        lsn += 1;
        let written = batch(0, lsn, 1, bytes);
        let place = journal.append(&written).unwrap();
        let log = journal.log();
        assert_eq!(log.read(place).unwrap(), written.payload);
        let mut offset = 1;
        while offset < bytes {
            let part = place.part(offset as u32, (bytes - offset) as u32).unwrap();
            assert_eq!(log.read(part).unwrap(), written.payload[offset..]);
            offset += 1 + bytes / 3;
        }
    }
    assert_eq!(read_all(journal.log().as_ref(), 0, 0).len(), 7);

    let place = append_many(&mut journal, lsn, 1, 250_000).remove(0);
    let end = u64::from(place.offset + place.length);
    let file = fs::File::options().write(true).open(bench.segment(1));
    file.unwrap().set_len(end - 1).unwrap();
    let log = journal.log();
    let refused = log.read(place).unwrap_err();
    assert!(matches!(refused, JournalError::Io { op: "read", .. }));
    let rest = place.part(0, place.length - 1).unwrap();
    assert_eq!(
        log.read(rest).unwrap(),
        batch(0, lsn + 1, 1, 250_000).payload[..249_999]
    );
}
