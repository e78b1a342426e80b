//! The offline check: what it calls sound is sound, what it calls damaged is, and it changes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use verteilt_broker::{Report, ReportKind, Verdict, VerifyError, verify};
use verteilt_protocol::wire::topic_subscribe::Start;
use verteilt_protocol::{FrameType, wire};

use crate::house::House;
use crate::job::{Dice, body};
use crate::peer::Peer;
use crate::topic_peer::{Record, read_of};

fn check(path: &Path) -> Result<Report, VerifyError> {
    let scratch = tempfile::tempdir().unwrap();
    verify(path, scratch.path())
}

fn sound(path: &Path) -> Report {
    let report = check(path).unwrap();
    assert_eq!(report.verdict, Verdict::Sound, "{:#?}", report.problems);
    assert!(report.files.iter().all(|file| file.sound));
    report
}

/// Every file below a folder with its bytes.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

/// A folder with a bit of everything: a checkpoint over jobs in every state and over records, a
/// trimmed journal, and more in the journal behind the checkpoint.
fn lived_in() -> House {
    let mut house = House::start();
    let mut peer = house.peer();
    let mut dice = Dice::new(7);
    for round in 0..60 {
        peer.wait_for_credit();
        let bodies: Vec<Vec<u8>> = (0..10)
            .map(|at| body(round * 10 + at, dice.below(40_000) as usize))
            .collect();
        let bodies: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
        peer.push_many(["a", "b", "c"][round as usize % 3], &bodies);
    }
    for job in peer.take_reserved("a", 50) {
        peer.ack(&job);
    }
    peer.push_with("later", delayed(), &[b"in an hour"]);
    let once = wire::JobOptions {
        attempts: 1,
        ..wire::JobOptions::default()
    };
    peer.push_with("dead", once, &[b"once only"]);
    let job = peer.reserve("dead", 1, 0).remove(0);
    let nack = peer.settle(FrameType::Nack, &job);
    peer.answer(nack);
    peer.create("log", 2);
    for at in 0..40 {
        peer.publish("log", at % 2, &[&body(at.into(), 20_000), b"small"]);
    }
    peer.checkpoint();
    for round in 100..120 {
        peer.wait_for_credit();
        peer.push("b", &body(round, 30_000));
    }
    peer.publish("log", 1, &[b"behind", b"it"]);
    peer.read_topic(&member());
    peer.take_records(82);
    peer.consumed(3, 0, 11, true);
    for job in peer.take_reserved("c", 20) {
        peer.ack(&job);
    }
    peer.reserve("b", 3, 0);
    house.stop(Duration::ZERO).unwrap();
    house
}

fn member() -> wire::TopicSubscribe {
    wire::TopicSubscribe {
        group: "g".to_owned(),
        ..read_of(3, "log", Start::Earliest(true))
    }
}

fn delayed() -> wire::JobOptions {
    wire::JobOptions {
        delay_ms: 3_600_000,
        ..wire::JobOptions::default()
    }
}

/// Counts and bodies of every queue.
type Queues = BTreeMap<String, (wire::QueueStats, Vec<(u64, Vec<u8>)>)>;

/// What clients can get out of a folder.
#[derive(PartialEq)]
struct Content {
    queues: Queues,
    records: Vec<Record>,
    positions: Vec<u64>,
}

fn content(house: &mut House) -> Content {
    house.go_on();
    let mut peer: Peer = house.peer();
    let mut queues = Queues::new();
    for queue in ["a", "b", "c", "later", "dead"] {
        let mut stats = peer.stats(queue);
        // Whether the grace of the leases is over is a matter of time.
        stats.ready += std::mem::take(&mut stats.leased) + std::mem::take(&mut stats.failed);
        let count = stats.ready as usize;
        let jobs = peer.take_reserved(queue, count);
        let mut bodies: Vec<_> = jobs.into_iter().map(|job| (job.id, job.body)).collect();
        bodies.sort();
        queues.insert(queue.to_owned(), (stats, bodies));
    }
    let positions = peer.group_stats("log")[0].offsets.clone();
    peer.read_topic(&read_of(1, "log", Start::Earliest(true)));
    let mut records = peer.take_records(82);
    records.sort_by_key(|record| (record.partition, record.offset));
    house.drop_broker();
    Content {
        queues,
        records,
        positions,
    }
}

#[test]
fn a_sound_folder_is_called_sound_and_left_as_it_is() {
    let mut house = House::start();
    house.drop_broker();
    let report = sound(house.data());
    assert_eq!((report.kind, report.jobs), (ReportKind::DataFolder, 0));

    let house = lived_in();
    let before = files(house.data());
    let report = sound(house.data());
    assert!(before == files(house.data()), "the check wrote something");
    assert!(report.checkpoint_lsn > 0 && report.last_lsn > report.checkpoint_lsn);
    let of = |name: &str| report.queues.iter().find(|queue| queue.queue == name);
    let (b, dead) = (of("b").unwrap(), of("dead").unwrap());
    assert_eq!((b.ready, b.leased), (217, 3));
    assert_eq!((dead.dead, of("later").unwrap().scheduled), (1, 1));
    assert_eq!(report.jobs, 150 + 220 + 180 + 2);
    assert_eq!((report.records, report.topics.len()), (82, 1));
    let log = &report.topics[0];
    assert_eq!((&log.topic[..], log.partitions, log.groups), ("log", 2, 1));
}

#[test]
fn a_folder_after_every_kind_of_life_is_sound() {
    let mut house = lived_in();
    for _ in 0..3 {
        house.go_on();
        let mut peer = house.peer();
        for job in peer.take_reserved("b", 60) {
            peer.ack(&job);
        }
        peer.checkpoint();
        peer.push("b", b"behind it");
        // As SIGKILL leaves it, but for what the system had not written yet.
        house.drop_broker();
        sound(house.data());
    }
    // Unfinished uploads, and a job whose body came in parts.
    house.go_on();
    let mut peer = house.peer();
    for index in 0..3 {
        let part = wire::PushPart { upload: 5, index };
        let sent = peer.send(FrameType::PushPart, &part, &body(9, 200_000));
        peer.ok(sent);
    }
    let push = wire::Push {
        upload: 5,
        upload_parts: 3,
        ..crate::peer::push_of("large", &[b"end"])
    };
    peer.push_frame(&push, b"end");
    let part = wire::PushPart {
        upload: 6,
        index: 0,
    };
    let sent = peer.send(FrameType::PushPart, &part, b"never finished");
    peer.ok(sent);
    house.drop_broker();
    assert!(sound(house.data()).jobs > 0);
    house.go_on();
    house.peer().checkpoint();
    house.drop_broker();
    sound(house.data());
}

#[test]
fn a_folder_in_use_is_not_checked() {
    let house = House::start();
    let error = check(house.data()).unwrap_err();
    assert!(matches!(error, VerifyError::InUse { .. }), "{error}");
}

#[test]
fn what_is_not_ours_is_not_checked() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("letter.txt"), "dear").unwrap();
    let error = check(folder.path()).unwrap_err();
    assert!(matches!(error, VerifyError::NotOurs { .. }), "{error}");
    let error = check(&folder.path().join("nowhere")).unwrap_err();
    assert!(matches!(error, VerifyError::Io { .. }), "{error}");
}

#[test]
fn an_unknown_format_is_named_and_not_called_damaged() {
    let mut house = House::start();
    house.drop_broker();
    let path = house.data().join("verteilt.id");
    let mut bytes = fs::read(&path).unwrap();
    bytes[7] = 9;
    let checked = bytes.len() - 4;
    let checksum = crc32c::crc32c(&bytes[..checked]).to_le_bytes();
    bytes[checked..].copy_from_slice(&checksum);
    fs::write(&path, bytes).unwrap();
    let error = check(house.data()).unwrap_err().to_string();
    assert!(
        error.contains("verteilt.id") && error.contains("format 9"),
        "{error}"
    );
}

#[test]
fn a_torn_last_write_is_told_from_damage() {
    let house = lived_in();
    let journal = house.data().join("journal");
    // What a crash leaves of a write: the first sectors of a batch, behind the last whole one.
    let holder = newest_segment(&journal);
    let mut bytes = fs::read(&holder).unwrap();
    let end = end_of_batches(&bytes);
    bytes[end..end + 512].fill(0xAB);
    fs::write(&holder, bytes).unwrap();
    let report = check(house.data()).unwrap();
    assert_eq!(report.verdict, Verdict::SoundWithTornTail);
    assert_eq!(report.torn_tail_bytes, 512);
    assert!(report.problems.is_empty());
}

/// The newest segment with batches in it.
fn newest_segment(journal: &Path) -> PathBuf {
    let holds = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.as_bytes()[0].is_ascii_digit() && fs::read(path).unwrap()[4_096..4_100] != [0; 4]
    };
    let names = fs::read_dir(journal).unwrap();
    let paths = names.map(|entry| entry.unwrap().path());
    paths.filter(holds).max().unwrap()
}

/// Where the zeros behind the last batch begin: batches start on sectors, and one of zeros follows.
fn end_of_batches(bytes: &[u8]) -> usize {
    let mut at = 4_096;
    while bytes[at..at + 4] != [0; 4] {
        let payload = u32::from_le_bytes(bytes[at + 52..at + 56].try_into().unwrap());
        at += (72 + payload as usize).next_multiple_of(512);
    }
    at
}

/// The bytes of one record are changed on the disk, in the store and nowhere else.
#[test]
fn a_damaged_record_block_is_found() {
    let mut house = House::start();
    let mut peer = house.peer();
    peer.create("log", 2);
    let value = body(77, 30_000);
    for partition in [0, 1] {
        peer.publish("log", partition, &[b"before", &value, b"after"]);
    }
    // So much that the journal is trimmed, and the store alone has them.
    for at in 0..300 {
        peer.publish("log", at % 2, &[&body(at.into(), 30_000)]);
    }
    peer.checkpoint();
    house.stop(Duration::ZERO).unwrap();
    assert_eq!(sound(house.data()).records, 306);
    let mut hits = 0;
    for (path, mut bytes) in files(&house.data().join("store")) {
        let marker = &value[15_000..15_040];
        let found: Vec<usize> = (0..bytes.len().saturating_sub(marker.len()))
            .filter(|at| &bytes[*at..*at + marker.len()] == marker)
            .collect();
        found.iter().for_each(|at| bytes[*at] ^= 1);
        hits += found.len();
        fs::write(path, bytes).unwrap();
    }
    assert!(hits >= 2, "the records lie in the store as they are");
    let report = check(house.data()).unwrap();
    assert_eq!(report.verdict, Verdict::Damaged);
    let problems = &report.problems;
    let is_of_store = |problem: &verteilt_broker::Problem| problem.file == Path::new("store");
    assert!(problems.iter().any(is_of_store), "{problems:#?}");
}

/// One way to spoil a file.
enum Spoil {
    Flip(usize),
    Cut(usize),
    Zero(usize, usize),
    Remove,
}

fn spoils(length: usize, dice: &mut Dice) -> Vec<Spoil> {
    let mut spoils = vec![Spoil::Remove, Spoil::Cut(0)];
    if length == 0 {
        return spoils;
    }
    spoils.push(Spoil::Flip(0));
    for _ in 0..3 {
        spoils.push(Spoil::Flip(dice.below(length as u64) as usize));
    }
    spoils.push(Spoil::Cut(length / 2));
    spoils.push(Spoil::Cut(length - 1));
    let from = dice.below(length as u64) as usize;
    spoils.push(Spoil::Zero(from, (from + 4_096).min(length)));
    spoils
}

/// Every file is spoiled in every way. Whatever is then called sound has to be: a broker starts on
/// it, and every job is there with every byte.
#[test]
fn nothing_that_is_lost_is_called_sound() {
    let mut house = lived_in();
    house.config.resume_grace_ms = 20;
    let good = files(house.data());
    let copy = tempfile::tempdir().unwrap();
    copy_to(house.data(), &good, &copy.path().join("data"));
    let home = std::mem::replace(&mut house.config.data, copy.path().join("data"));
    let expected = content(&mut house);
    let (mut damaged, mut harmless) = (0, 0);
    let mut dice = Dice::new(3);
    let mut spoiled_kinds = BTreeMap::new();
    for (path, bytes) in &good {
        for spoil in spoils(bytes.len(), &mut dice) {
            let here = tempfile::tempdir().unwrap();
            let data = here.path().join("data");
            copy_to(&home, &good, &data);
            let name = path.strip_prefix(&home).unwrap();
            let told = spoil_file(&data.join(name), bytes, &spoil);
            let kind = spoiled_kinds.entry(name.to_owned()).or_insert((0, 0));
            match check(&data) {
                Ok(report) if report.is_damaged() => {
                    assert!(!report.problems.is_empty());
                    damaged += 1;
                    kind.0 += 1;
                }
                Ok(_) => {
                    harmless += 1;
                    kind.1 += 1;
                    house.config.data = data;
                    assert!(
                        expected == content(&mut house),
                        "{} {told}: called sound, and it is not",
                        name.display()
                    );
                }
                Err(VerifyError::UnknownFormat { .. }) => damaged += 1,
                Err(error) => panic!("{} {told}: {error}", name.display()),
            }
        }
    }
    assert!(damaged > 30 && harmless > 10, "{damaged} {harmless}");
    let store = &spoiled_kinds[Path::new("store/db")];
    assert!(store.0 > 0, "no damage of the store was found");
}

fn copy_to(home: &Path, files: &BTreeMap<PathBuf, Vec<u8>>, to: &Path) {
    for (path, bytes) in files {
        let copy = to.join(path.strip_prefix(home).unwrap());
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::write(copy, bytes).unwrap();
    }
}

fn spoil_file(path: &Path, bytes: &[u8], spoil: &Spoil) -> String {
    let mut bytes = bytes.to_vec();
    let told = match *spoil {
        Spoil::Remove => {
            fs::remove_file(path).unwrap();
            return "removed".to_owned();
        }
        Spoil::Flip(at) => {
            bytes[at] ^= 0x10;
            format!("flipped at {at}")
        }
        Spoil::Cut(length) => {
            bytes.truncate(length);
            format!("cut to {length}")
        }
        Spoil::Zero(from, to) => {
            bytes[from..to].fill(0);
            format!("zeroed from {from} to {to}")
        }
    };
    fs::write(path, bytes).unwrap();
    told
}
