//! A broker runs into a fault, and is started again without.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use tempfile::TempDir;

use super::load::{Book, End};
use super::rules;
use super::strace::{Fault, Trace};
use crate::process::{Broker, DEADLINE, Settings, finish, lines, spawn, stderr};

/// Small files, many checkpoints, and leases that end soon after a start.
const SETTINGS: Settings = &[
    ("VERTEILT_JOURNAL__SEGMENT_BYTES", "4194304"),
    ("VERTEILT_JOURNAL__BYTES_MAX", "33554432"),
    ("VERTEILT_CHECKPOINT__BYTES", "4194304"),
    ("VERTEILT_CONNECTIONS__RESUME_GRACE", "50ms"),
];

/// What a broker made of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// No thread made so many calls.
    Unreached,
    /// It did not start.
    Refused,
    /// It ended.
    Ended,
    /// It could live with it.
    WentOn,
    /// It waits for room on the disk.
    Waits,
}

/// A data folder, and what a client knows of it.
pub(crate) struct Ground {
    folder: TempDir,
    book: Book,
}

impl Ground {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        let (folder, book) = (tempfile::tempdir().unwrap(), Book::default());
        Self { folder, book }
    }

    /// With a checkpoint, and a journal behind it; the broker was killed.
    pub(crate) fn used() -> Self {
        let mut broker = Broker::start_in(tempfile::tempdir().unwrap(), SETTINGS);
        let mut ground = Self::new();
        assert_eq!(ground.book.write(&broker.url, 100), End::Answered);
        broker.kill();
        copy(broker.data(), &ground.data());
        ground.book.forget_times();
        ground
    }

    pub(crate) fn copy(&self) -> Self {
        let mut other = Self::new();
        if self.data().exists() {
            copy(&self.data(), &other.data());
        }
        other.book.clone_from(&self.book);
        other
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// What was seen of a broker under strace.
pub(crate) struct Seen {
    pub(crate) trace: Trace,
    pub(crate) verdict: Verdict,
    pub(crate) ground: Ground,
}

impl Seen {
    pub(crate) fn book(&self) -> &Book {
        &self.ground.book
    }
}

/// Runs a broker into the fault. A client works so many steps, or until there is no broker any more.
pub(crate) fn watch(fault: &Fault, mut ground: Ground, steps: usize) -> Seen {
    let (data, trace) = (ground.data(), ground.folder.path().join("trace"));
    let mut broker = fault.serve(&data, &trace);
    broker.env("VERTEILT_LOG", "error");
    broker.envs(SETTINGS.iter().copied());
    let mut broker = spawn(&mut broker);
    let process = broker.id();
    // Nothing is said when it ends without having served anybody.
    let said = lines(&mut broker).recv_timeout(DEADLINE).ok();
    let end = said.map(|line| {
        let line = String::from_utf8(line).unwrap();
        let url = line.strip_prefix("listening on ").unwrap();
        ground.book.write(url, steps)
    });
    if matches!(end, Some(End::Answered | End::Silent)) {
        broker.kill().unwrap();
    }
    let output = finish(broker);
    assert!(
        trace.exists(),
        "strace does not trace here: {}",
        stderr(&output)
    );
    let trace = Trace::read(&trace, process);
    let verdict = match (end, trace.injected().next()) {
        (Some(End::Answered), None) => Verdict::Unreached,
        (_, None) => panic!("it ended for no reason: {}", stderr(&output)),
        (None, _) => Verdict::Refused,
        (Some(End::Lost), _) => Verdict::Ended,
        (Some(End::Answered), _) => Verdict::WentOn,
        (Some(End::Silent), _) => Verdict::Waits,
    };
    if matches!(verdict, Verdict::Refused | Verdict::Ended) {
        ends_well(&output, &data);
    }
    Seen {
        trace,
        verdict,
        ground,
    }
}

/// By itself, and its last words tell which file it is about and what to do.
fn ends_well(output: &Output, data: &Path) {
    let words = stderr(output);
    assert_eq!(output.status.code(), Some(1), "{words}");
    let last = words.lines().filter(|line| line.starts_with("verteilt: "));
    let last = last.collect::<Vec<_>>().join("\n");
    let names = last.contains(data.to_str().unwrap());
    let advises = ["start it again", "start again", "start the broker again"];
    let advises = advises.iter().any(|advice| last.contains(advice));
    assert!(names && advises, "no help: {words}");
}

/// Runs a broker into the fault, holds it to the rules, and starts it again without.
pub(crate) fn run(fault: &Fault, ground: Ground, steps: usize) -> Verdict {
    let seen = watch(fault, ground, steps);
    rules::hold(&seen, fault);
    let mut broker = Broker::start_in(seen.ground.folder, SETTINGS);
    seen.ground.book.compare(&broker.url);
    broker.kill();
    seen.verdict
}
