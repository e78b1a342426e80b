//! A broker under strace: one of its system calls fails, and every call that matters is on record.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{until, verteilt};

/// Segments that a run may use.
const SEGMENTS: usize = 60;

/// Which system call fails, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) call: &'static str,
    pub(crate) error: &'static str,
    /// The first call of a thread that fails, counted from 1.
    pub(crate) from: usize,
    /// All later ones fail, too.
    pub(crate) lasts: bool,
    pub(crate) files: Files,
}

/// Only calls on these files are counted, and fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Files {
    /// Segments, before and while they are in use.
    Segments,
    /// The whole journal.
    Journal,
    /// The files of the store.
    Store,
    /// Everything in the data folder.
    All,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            call,
            error,
            from,
            lasts,
            files,
        } = self;
        let more = if *lasts { " and all later ones" } else { "" };
        write!(f, "{call} number {from}{more} on {files:?} gives {error}")
    }
}

impl Fault {
    /// `verteilt serve` on `data`, with the record of its calls in `trace`.
    ///
    /// The process is the broker itself, not strace, so that it can be killed and waited for.
    pub(crate) fn serve(&self, data: &Path, trace: &Path) -> Command {
        let Self {
            call, error, from, ..
        } = self;
        let more = if self.lasts { "+" } else { "" };
        let broker = verteilt(["serve", "--listen", "127.0.0.1:0", "--data"]);
        // `make test` installs it.
        let mut strace = Command::new("strace");
        strace
            .args(["-D", "-f", "-y", "-ttt", "-T", "-s", "0", "-o"])
            .arg(trace);
        strace.arg(format!(
            "--trace={call},fdatasync,fsync,mkdir,rename,openat"
        ));
        strace.arg(format!("--inject={call}:error={error}:when={from}{more}"));
        for path in self.files.paths(data) {
            strace.arg("-P").arg(path);
        }
        strace
            .arg(broker.get_program())
            .args(broker.get_args())
            .arg(data);
        for (name, value) in broker.get_envs() {
            match value {
                Some(value) => strace.env(name, value),
                None => strace.env_remove(name),
            };
        }
        strace
    }
}

impl Files {
    fn paths(self, data: &Path) -> Vec<PathBuf> {
        let mut names: Vec<OsString> = Vec::new();
        if matches!(self, Self::All) {
            names.extend(["verteilt.id", "verteilt.id.new", "verteilt.lock"].map(Into::into));
        }
        if matches!(self, Self::All | Self::Journal) {
            names.push("journal".into());
            for name in ["journal.meta", "watermark"] {
                names.push(format!("journal/{name}").into());
                names.push(format!("journal/unfinished-{name}").into());
            }
        }
        if matches!(self, Self::All | Self::Journal | Self::Segments) {
            for number in 1..=SEGMENTS {
                for kind in ["", "unfinished-", "spare-"] {
                    names.push(format!("journal/{kind}{number:016}.journal").into());
                }
            }
        }
        if matches!(self, Self::All | Self::Store) {
            names.extend(["store", "store/db", "store/conf", "store/blobs"].map(Into::into));
            // sled names a snapshot after where its log ends.
            let store = fs::read_dir(data.join("store")).into_iter().flatten();
            names.extend(
                store.map(|entry| Path::new("store").join(entry.unwrap().file_name()).into()),
            );
        }
        let mut paths: Vec<PathBuf> = names.iter().map(|name| data.join(name)).collect();
        if matches!(self, Self::All) {
            // The folder and its parent, which has to know of it.
            paths.extend(data.ancestors().take(2).map(Path::to_path_buf));
        }
        paths
    }
}

/// A call as strace saw it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// The file that it is about.
    pub(crate) path: PathBuf,
    /// There is a file or folder of this name after it, and may not have been before.
    pub(crate) makes_a_name: bool,
    /// Seconds since 1970.
    pub(crate) began: f64,
    pub(crate) ended: f64,
    pub(crate) outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    Failed,
    /// By us.
    Injected,
}

/// What strace has written down, once the process has ended.
#[derive(Debug)]
pub(crate) struct Trace {
    /// In the order of their ends.
    pub(crate) calls: Vec<Call>,
    pub(crate) ended: f64,
}

impl Trace {
    /// Waits for the last line, which comes a moment after the end of the process.
    pub(crate) fn read(path: &Path, process: u32) -> Self {
        let mut text = String::new();
        let end = |line: &str| line.starts_with(&format!("{process} ")) && line.contains(" +++ ");
        until("strace has seen the end", || {
            text = fs::read_to_string(path).unwrap_or_default();
            text.lines().any(end) && text.ends_with('\n')
        });
        let mut calls = Vec::new();
        let mut unfinished: Vec<(&str, f64, &str)> = Vec::new();
        let mut ended = 0.0;
        for line in text.lines() {
            let (thread, time, what) = words(line);
            if let Some(begun) = what.strip_suffix(" <unfinished ...>") {
                unfinished.push((thread, time, begun));
            } else if what.starts_with("<... ") {
                let at = unfinished
                    .iter()
                    .position(|(other, ..)| *other == thread)
                    .unwrap();
                let (_, began, begun) = unfinished.swap_remove(at);
                calls.extend(call(begun, what, began, time));
            } else if end(line) {
                ended = time;
            } else {
                calls.extend(call(what, what, time, time + spent(what)));
            }
        }
        Self { calls, ended }
    }

    /// The calls that we made fail.
    pub(crate) fn injected(&self) -> impl Iterator<Item = &Call> {
        self.calls
            .iter()
            .filter(|call| call.outcome == Outcome::Injected)
    }
}

/// Thread, time, and the rest.
fn words(line: &str) -> (&str, f64, &str) {
    let (thread, rest) = line.split_once(' ').unwrap();
    let (time, what) = rest.trim_start().split_once(' ').unwrap();
    (thread, time.parse().unwrap(), what)
}

/// As `<0.000123>` at the end.
fn spent(what: &str) -> f64 {
    let seconds = what
        .rsplit_once('<')
        .and_then(|(_, last)| last.strip_suffix('>'));
    seconds
        .and_then(|seconds| seconds.parse().ok())
        .unwrap_or(0.0)
}

/// `None` for what is no call: signals, and threads that end.
fn call(begun: &str, finished: &str, began: f64, ended: f64) -> Option<Call> {
    let (name, arguments) = begun.split_once('(')?;
    let (_, result) = finished.rsplit_once(") = ")?;
    let outcome = match result {
        _ if result.contains("(INJECTED)") => Outcome::Injected,
        _ if result.starts_with('-') => Outcome::Failed,
        _ => Outcome::Done,
    };
    // A path, or else the file behind a descriptor.
    let quoted = arguments
        .split('"')
        .nth(1)
        .filter(|path| path.starts_with('/'));
    let behind = || arguments.split(['<', '>']).nth(1);
    let path = quoted.or_else(behind)?.into();
    Some(Call {
        name: name.to_owned(),
        path,
        makes_a_name: matches!(name, "mkdir" | "rename") || arguments.contains("O_CREAT"),
        began,
        ended,
        outcome,
    })
}
