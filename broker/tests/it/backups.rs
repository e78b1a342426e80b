//! Backups of a running broker, and data folders made from them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;
use verteilt_broker::{ReportKind, RestoreError, StartError, Verdict, restore, verify};
use verteilt_protocol::{ErrorCode, Frame, FrameType, wire};

use crate::house::{House, eventually};
use crate::job::body;
use crate::peer::{Peer, push_of};

/// The bytes of a backup, and what the broker says of them.
pub(crate) fn take(peer: &mut Peer) -> (Vec<u8>, wire::BackupDone) {
    let correlation = peer.send(FrameType::Backup, &wire::Backup {}, b"");
    let mut bytes = Vec::new();
    loop {
        let frame = peer.until(|frame| frame.correlation == correlation);
        if let Some(done) = piece(&frame, &mut bytes) {
            assert_eq!(done.bytes, bytes.len() as u64);
            return (bytes, done);
        }
    }
}

pub(crate) fn piece(frame: &Frame, bytes: &mut Vec<u8>) -> Option<wire::BackupDone> {
    match frame.kind() {
        Some(FrameType::BackupData) => {
            let data: wire::BackupData = frame.message().unwrap();
            assert_eq!(data.offset, bytes.len() as u64);
            bytes.extend_from_slice(&frame.payload);
            None
        }
        Some(FrameType::BackupDone) => Some(frame.message().unwrap()),
        other => panic!("{other:?} {:?}", frame.message::<wire::Error>()),
    }
}

/// A place for backups and what becomes of them.
pub(crate) struct Shelf(TempDir);

impl Shelf {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn put(&self, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join("backup");
        fs::write(&path, bytes).unwrap();
        path
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    /// Restores and lets the house move in.
    pub(crate) fn restore(&self, bytes: &[u8], house: &mut House) -> Peer {
        let restored = restore(&self.put(bytes), &self.data()).unwrap();
        assert_eq!(restored.bytes, bytes.len() as u64);
        let scratch = tempfile::tempdir().unwrap();
        let report = verify(&self.data(), scratch.path()).unwrap();
        assert_eq!(report.verdict, Verdict::Sound, "{:#?}", report.problems);
        assert_eq!(report.jobs, restored.jobs);
        assert_eq!(report.records, restored.records);
        house.config.data = self.data();
        house.go_on();
        house.peer()
    }
}

fn verdict(path: &Path) -> Verdict {
    let report = verify(path, Path::new("")).unwrap();
    assert_eq!(report.kind, ReportKind::Backup);
    assert_eq!(report.problems.is_empty(), !report.is_damaged());
    report.verdict
}

#[test]
fn a_broker_that_was_never_used_can_be_backed_up() {
    let mut house = House::start();
    let (bytes, done) = take(&mut house.peer());
    assert!(done.lsn > 0);
    house.drop_broker();
    let shelf = Shelf::new();
    assert_eq!(verdict(&shelf.put(&bytes)), Verdict::Sound);
    let mut peer = shelf.restore(&bytes, &mut house);
    peer.push("q", b"it works");
    assert_eq!(peer.reserve("q", 1, 0)[0].body, b"it works");
}

/// A delayed job, a dead one, one in a queue that is paused, and one whose body came in parts.
fn one_of_each(peer: &mut Peer) {
    let later = wire::JobOptions {
        delay_ms: 3_600_000,
        ..wire::JobOptions::default()
    };
    peer.push_with("later", later, &[b"in an hour"]);
    let once = wire::JobOptions {
        attempts: 1,
        ..wire::JobOptions::default()
    };
    peer.push_with("dead", once, &[b"once only"]);
    let job = peer.reserve("dead", 1, 0).remove(0);
    let nack = peer.settle(FrameType::Nack, &job);
    peer.answer(nack);
    peer.push("paused", b"waits");
    let pause = wire::QueuePause {
        queue: "paused".to_owned(),
        paused: true,
    };
    let sent = peer.send(FrameType::QueuePause, &pause, b"");
    peer.ok(sent);
    for index in 0..3 {
        peer.wait_for_credit();
        let part = wire::PushPart { upload: 5, index };
        let sent = peer.send(FrameType::PushPart, &part, &body(index.into(), 200_000));
        peer.ok(sent);
    }
    let large = wire::Push {
        upload: 5,
        upload_parts: 3,
        ..push_of("large", &[b"end"])
    };
    peer.push_frame(&large, b"end");
}

#[test]
fn every_state_comes_back_as_it_was() {
    let mut house = House::start();
    let mut peer = house.peer();
    let producer = Peer::some_id();
    let numbered = |sequence| wire::Push {
        producer: producer.to_vec().into(),
        sequence,
        ..push_of("q", &[b"numbered"])
    };
    let first = peer.push_frame(&numbered(1), b"numbered");
    one_of_each(&mut peer);
    peer.push("held", b"held");
    let held = peer.reserve("held", 1, 0).remove(0);

    let (bytes, _) = take(&mut peer);
    let old_id = peer.welcome.broker_id.clone();
    let old_epoch = peer.welcome.epoch;
    // What comes after is not in it, and its tokens are not given again.
    peer.push("q", b"too late");
    let second = peer.push_frame(&numbered(2), b"numbered");
    let mut tokens: Vec<u64> = peer
        .take_reserved("q", 3)
        .iter()
        .map(|job| job.token)
        .collect();
    tokens.push(held.token);
    house.drop_broker();

    let shelf = Shelf::new();
    let mut peer = shelf.restore(&bytes, &mut house);
    assert_ne!(peer.welcome.broker_id, old_id, "two folders, two names");
    assert!(peer.welcome.epoch > old_epoch);
    assert_eq!(peer.stats("later").scheduled, 1);
    assert_eq!(peer.stats("dead").dead, 1);
    assert!(peer.stats("paused").paused);
    assert!(peer.reserve("paused", 1, 0).is_empty());
    let again = peer.push_frame(&numbered(1), b"numbered");
    assert!(again.duplicate && again.first_id == first.first_id);
    assert!(!peer.push_frame(&numbered(2), b"numbered").duplicate);
    assert!(!second.duplicate);
    let jobs = peer.take_reserved("q", 2);
    assert!(jobs.iter().all(|job| job.body == b"numbered"));
    let whole = peer.take_reserved("large", 1).remove(0);
    let parts = (0..3).flat_map(|index| body(index, 200_000));
    assert!(whole.body == parts.chain(*b"end").collect::<Vec<u8>>());
    // Its worker does not come back, so it runs again.
    let again = peer.take_reserved("held", 1).remove(0);
    assert_eq!((again.id, again.attempt), (held.id, 2));
    let stale = peer.settle(FrameType::Ack, &held);
    peer.stale(stale, held.id);
    let newest = tokens.into_iter().max().unwrap();
    assert!(jobs.iter().chain([&again]).all(|job| job.token > newest));
}

/// What one client did, by job id.
#[derive(Default)]
struct Deeds {
    pushed: BTreeMap<u64, Vec<u8>>,
    acked: BTreeSet<u64>,
}

/// Sets the flag at the end, whatever the end is, so that nobody works on behind a failed test.
pub(crate) struct StopAtEnd<'a>(pub(crate) &'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Pushes and acknowledges, so many rounds or until told to stop.
fn work(address: SocketAddr, seed: u64, rounds: u64, stop: &AtomicBool) -> Deeds {
    let mut peer = Peer::connect(address, &Peer::some_id());
    let mut deeds = Deeds::default();
    for round in 0..rounds {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let bodies: Vec<Vec<u8>> = (0..20)
            .map(|at| body(seed + round * 20 + at, 100 + (round as usize * 37) % 3_000))
            .collect();
        let slices: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
        peer.wait_for_credit();
        let first = peer.push_many("load", &slices);
        deeds.pushed.extend((first..).zip(bodies));
        for job in peer.reserve("load", 15, 0) {
            peer.ack(&job);
            deeds.acked.insert(job.id);
        }
    }
    deeds
}

fn merge(all: impl Iterator<Item = Deeds>) -> Deeds {
    all.fold(Deeds::default(), |mut sum, deeds| {
        sum.pushed.extend(deeds.pushed);
        sum.acked.extend(deeds.acked);
        sum
    })
}

#[test]
fn a_backup_under_load_is_exact() {
    let mut house = House::with(|config| {
        // Checkpoints run all along, and drop what the backup reads.
        config.checkpoint_bytes = 256 * 1024;
    });
    let address = house.address();
    let never = AtomicBool::new(false);
    let before = merge((0..2).map(|at| work(address, at << 32, 60, &never)));
    let stop = AtomicBool::new(false);
    let (backups, during) = thread::scope(|scope| {
        let stop = &stop;
        let at_end = StopAtEnd(stop);
        let workers: Vec<_> = (2..4)
            .map(|at| scope.spawn(move || work(address, at << 32, u64::MAX, stop)))
            .collect();
        let mut peer = house.peer();
        let backups: Vec<_> = (0..3).map(|_| take(&mut peer)).collect();
        drop(at_end);
        let during = workers.into_iter().map(|worker| worker.join().unwrap());
        (backups, merge(during))
    });
    house.drop_broker();
    assert!(backups.is_sorted_by_key(|(_, done)| done.lsn));

    let (bytes, _) = &backups[2];
    let shelf = Shelf::new();
    let mut peer = shelf.restore(bytes, &mut house);
    let stats = peer.stats("load");
    let count = (stats.ready + stats.leased) as usize;
    let found: BTreeMap<u64, Vec<u8>> = peer
        .take_reserved("load", count)
        .into_iter()
        .map(|job| (job.id, job.body))
        .collect();
    for (id, body) in &before.pushed {
        let is_acked = before.acked.contains(id);
        assert!(!(is_acked && found.contains_key(id)), "job {id} is back");
        let is_gone = is_acked || during.acked.contains(id);
        assert!(is_gone || found.get(id) == Some(body), "job {id} is lost");
    }
    for (id, found) in &found {
        let pushed = before.pushed.get(id).or_else(|| during.pushed.get(id));
        assert!(pushed == Some(found), "job {id} was never pushed like this");
    }
}

/// A broker with some megabytes in its store.
fn full() -> House {
    let house = House::start();
    let mut peer = house.peer();
    for at in 0..40 {
        peer.wait_for_credit();
        peer.push("q", &body(at, 250_000));
    }
    house
}

#[test]
fn a_slow_backup_holds_nobody_up_and_stays_whole() {
    let house = full();
    let mut slow = house.peer();
    slow.send(FrameType::Backup, &wire::Backup {}, b"");
    let first = slow.next_of(FrameType::BackupData);
    // It does not read on; what it still needs is done meanwhile, and dropped by checkpoints.
    let mut peer = house.peer();
    let refused = peer.send(FrameType::Backup, &wire::Backup {}, b"");
    peer.refused(refused, ErrorCode::Busy);
    for job in peer.take_reserved("q", 40) {
        peer.ack(&job);
    }
    for _ in 0..3 {
        peer.checkpoint();
        peer.push("q", b"one more");
    }
    let mut bytes = Vec::new();
    let mut next = first;
    while piece(&next, &mut bytes).is_none() {
        next = slow.next();
    }
    let shelf = Shelf::new();
    let path = shelf.put(&bytes);
    assert_eq!(verdict(&path), Verdict::Sound);
    assert_eq!(verify(&path, Path::new("")).unwrap().jobs, 40);
}

#[test]
fn a_lost_client_ends_its_backup() {
    let house = full();
    let mut lost = house.peer();
    lost.send(FrameType::Backup, &wire::Backup {}, b"");
    lost.next_of(FrameType::BackupData);
    drop(lost);
    let mut peer = house.peer();
    let mut bytes = Vec::new();
    eventually("the next backup begins", || {
        let correlation = peer.send(FrameType::Backup, &wire::Backup {}, b"");
        let mut next = peer.until(|frame| frame.correlation == correlation);
        if next.kind() == Some(FrameType::Error) {
            return false;
        }
        while piece(&next, &mut bytes).is_none() {
            next = peer.until(|frame| frame.correlation == correlation);
        }
        true
    });
    let shelf = Shelf::new();
    assert_eq!(verdict(&shelf.put(&bytes)), Verdict::Sound);
}

#[test]
fn a_backup_that_the_broker_did_not_finish_is_no_backup() {
    let mut house = full();
    let mut peer = house.peer();
    peer.send(FrameType::Backup, &wire::Backup {}, b"");
    let mut bytes = Vec::new();
    let frame = peer.next_of(FrameType::BackupData);
    assert!(piece(&frame, &mut bytes).is_none());
    house.drop_broker();
    for frame in peer.rest() {
        match frame.kind() {
            Some(FrameType::BackupData) => drop(piece(&frame, &mut bytes)),
            other => assert_ne!(other, Some(FrameType::BackupDone)),
        }
    }
    let shelf = Shelf::new();
    let path = shelf.put(&bytes);
    assert_eq!(verdict(&path), Verdict::Damaged);
    let refused = restore(&path, &shelf.data()).unwrap_err();
    assert!(matches!(refused, RestoreError::Unsound { .. }), "{refused}");
    assert!(refused.to_string().contains("ends too early"), "{refused}");
    assert!(!shelf.data().exists(), "nothing was written");
    // And the broker it was taken from is none the worse.
    let scratch = tempfile::tempdir().unwrap();
    let report = verify(house.data(), scratch.path()).unwrap();
    assert!(!report.is_damaged(), "{:#?}", report.problems);
    house.go_on();
    assert_eq!(house.peer().take_reserved("q", 40).len(), 40);
}

#[test]
fn a_spoiled_backup_is_refused() {
    let house = full();
    let (good, _) = take(&mut house.peer());
    let shelf = Shelf::new();
    let mut spoiled = Vec::new();
    let places = [
        0,
        9,
        13,
        25,
        31,
        33,
        36,
        40,
        60,
        good.len() / 3,
        good.len() - 1,
    ];
    for at in places {
        let mut bad = good.clone();
        bad[at] ^= 4;
        spoiled.push((format!("flipped at {at}"), bad));
    }
    for length in [
        0,
        5,
        31,
        32,
        40,
        good.len() / 2,
        good.len() - 17,
        good.len() - 1,
    ] {
        spoiled.push((format!("cut to {length}"), good[..length].to_vec()));
    }
    spoiled.push(("longer".to_owned(), [&good[..], b"x"].concat()));
    for (how, bytes) in spoiled {
        let path = shelf.put(&bytes);
        let is_sound = verify(&path, Path::new("")).is_ok_and(|report| !report.is_damaged());
        assert!(!is_sound, "{how}");
        assert!(restore(&path, &shelf.data()).is_err(), "{how}");
        assert!(!shelf.data().exists(), "{how}: nothing is written");
    }
    restore(&shelf.put(&good), &shelf.data()).unwrap();
}

#[test]
fn a_folder_that_holds_anything_is_left_alone() {
    let mut house = House::start();
    let (bytes, _) = take(&mut house.peer());
    house.drop_broker();
    let shelf = Shelf::new();
    let backup = shelf.put(&bytes);
    let refused = restore(&backup, house.data()).unwrap_err();
    assert!(
        matches!(refused, RestoreError::NotEmpty { .. }),
        "{refused}"
    );
    fs::create_dir(shelf.data()).unwrap();
    restore(&backup, &shelf.data()).unwrap();
    assert!(restore(&backup, &shelf.data()).is_err(), "only once");
    house.go_on();
}

#[test]
fn no_broker_starts_on_an_unfinished_restore() {
    let mut house = House::start();
    let (bytes, _) = take(&mut house.peer());
    house.drop_broker();
    let shelf = Shelf::new();
    restore(&shelf.put(&bytes), &shelf.data()).unwrap();
    // The identity is what a restore writes last.
    fs::remove_file(shelf.data().join("verteilt.id")).unwrap();
    house.config.data = shelf.data();
    let refusal = house.refusal();
    assert!(matches!(refusal, StartError::Identity { .. }), "{refusal}");
    let scratch = tempfile::tempdir().unwrap();
    let report = verify(&shelf.data(), scratch.path()).unwrap();
    assert!(report.is_damaged());
    assert!(report.problems[0].what.contains("restore"), "{report:?}");
}

#[test]
fn a_stopping_broker_takes_no_backup() {
    let mut house = House::start();
    let mut peer = house.peer();
    peer.push("q", b"held");
    peer.reserve("q", 1, 0);
    let stopping = house.begin_to_stop(Duration::from_secs(3));
    peer.next_of(FrameType::Goodbye);
    let refused = peer.send(FrameType::Backup, &wire::Backup {}, b"");
    peer.refused(refused, ErrorCode::ShuttingDown);
    drop(peer);
    stopping.join().unwrap().0.unwrap();
}
