//! Any file of a data folder is damaged anywhere, and the broker finds out: it refuses to start, it
//! stops when it comes upon the damage, or nothing that it needs was hit and everything is there.
//!
//! **What is tolerated: nothing.** The folder is that of a broker which was killed at rest, so its
//! last batch is sealed and the watermark stands behind it; whatever is missing from such a journal
//! was acknowledged, and a broker that starts without it has failed. (A last batch that has neither
//! seal nor watermark behind it cannot be told from a torn write and is cut; `journal/tests` holds
//! that to the byte.) A job with another body, in another state or once too often is a failure, too,
//! and so is a broker that refuses and starts the next time as if nothing had been.
//!
//! Every file is damaged in every way once. `VERTEILT_CORRUPTIONS=500` asks for so many cases, and
//! `VERTEILT_CORRUPTION_SEED=7` begins with another seed; `--nocapture` shows what came of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use tempfile::TempDir;
use verteilt_broker::BrokerConfig;

use crate::damage::Damage;
use crate::furnish::furnish;
use crate::house::House;
use crate::job::{Dice, body};
use crate::killed::{copy_of_running, files, replace};
use crate::verdict::{Contents, Verdict, catch, judge};

/// Within this every case has its verdict.
const PATIENCE: Duration = Duration::from_secs(120);
const THREADS: usize = 2;

#[test]
fn damage_is_noticed_or_harmless() {
    let sweep = Sweep::new();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= sweep.count {
                        return;
                    }
                    sweep.run(at);
                }
            });
        }
    });
    sweep.tell();
}

/// The folder of a broker that was killed, and what became of it.
struct Sweep {
    folder: TempDir,
    contents: Contents,
    /// Each file with each kind of damage.
    cases: Vec<(PathBuf, Damage)>,
    /// Those of the largest file by far, in which most can go wrong.
    store: Vec<(PathBuf, Damage)>,
    count: usize,
    seed: usize,
    verdicts: Mutex<BTreeMap<(String, Damage, Verdict), usize>>,
    wrong: Mutex<Vec<String>>,
}

impl Sweep {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        kill_one(folder.path());
        let mut house = House::idle(config);
        replace(folder.path(), house.data());
        house.go_on();
        let files = files(folder.path()).into_iter();
        let cases = files.flat_map(|file| Damage::ALL.map(|damage| (file.clone(), damage)));
        let cases: Vec<_> = cases.collect();
        let is_store = |(file, _): &&(PathBuf, Damage)| *file == Path::new("store/db");
        Self {
            contents: Contents::of(&mut house),
            folder,
            count: number("VERTEILT_CORRUPTIONS").unwrap_or(cases.len()),
            seed: number("VERTEILT_CORRUPTION_SEED").unwrap_or(1),
            store: cases.iter().filter(is_store).cloned().collect(),
            cases,
            verdicts: Mutex::default(),
            wrong: Mutex::default(),
        }
    }

    /// Each case once, then every other one in the store.
    fn run(&self, at: usize) {
        let (file, damage) = match at {
            _ if at < self.cases.len() => &self.cases[at],
            _ if at.is_multiple_of(2) => &self.store[at / 2 % self.store.len()],
            _ => &self.cases[at / 2 % self.cases.len()],
        };
        let seed = self.seed + at;
        let mut house = House::idle(config);
        replace(self.folder.path(), house.data());
        let mut dice = Dice::new(seed as u64);
        // A lock file is empty: there is nothing in it to change.
        let Some(done) = damage.strike(&house.data().join(file), &mut dice) else {
            return;
        };
        let (contents, damaged) = (self.contents.clone(), file.clone());
        let (sender, verdict) = mpsc::sync_channel(1);
        std::thread::spawn(move || {
            let verdict = catch(|| judge(&mut house, &contents, &damaged));
            // Nobody listens any more to one that hung.
            let _ = sender.send(verdict.and_then(|verdict| verdict));
        });
        let verdict = verdict.recv_timeout(PATIENCE);
        match verdict.unwrap_or_else(|_| Err("it hangs".to_owned())) {
            Ok(verdict) => {
                let key = (kind(file), *damage, verdict);
                *self.verdicts.lock().unwrap().entry(key).or_insert(0) += 1;
            }
            Err(text) => {
                let text = format!("seed {seed}, {} {done}: {text}", file.display());
                self.wrong.lock().unwrap().push(text);
            }
        }
    }

    fn tell(self) {
        for ((file, damage, verdict), count) in self.verdicts.into_inner().unwrap() {
            let (damage, verdict) = (format!("{damage:?}"), format!("{verdict:?}"));
            println!("{file:<24} {damage:<8} {verdict:<10} {count}");
        }
        let wrong = self.wrong.into_inner().unwrap();
        let (count, told) = (wrong.len(), wrong.join("\n"));
        assert!(wrong.is_empty(), "{count} went wrong:\n{told}");
    }
}

fn config(config: &mut BrokerConfig) {
    config.cache_bytes = 64 * 1024;
    config.resume_grace_ms = 60_000;
}

/// With three checkpoints, files of sled that lived through restarts, used and unused segments, and
/// a journal that goes on behind the last checkpoint.
fn kill_one(folder: &Path) {
    let mut house = House::with(config);
    for round in 1..=3 {
        let _worker = furnish(&house, round);
        bulk(&house, round);
        house.peer().checkpoint();
        house.restart();
    }
    let _worker = furnish(&house, 4);
    copy_of_running(&house, folder);
}

/// Many jobs that stay, and a few large ones that go, so that segments of the journal are let go of.
fn bulk(house: &House, round: u64) {
    let mut peer = house.peer();
    for n in 0..40 {
        peer.push("bulk", &body(1_000 * round + n, 12_000));
    }
    for n in 0..6 {
        peer.push("gone", &body(2_000 * round + n, 500_000));
        let job = peer.reserve("gone", 1, 0).remove(0);
        peer.ack(&job);
    }
}

fn number(variable: &str) -> Option<usize> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("a number"))
}

/// A file's name without the numbers in it.
fn kind(file: &Path) -> String {
    let name = file.to_str().unwrap();
    let is_number = |part: &str| part.len() == 16 && part.bytes().all(|b| b.is_ascii_hexdigit());
    let parts = name.split_inclusive(['/', '.', '-']);
    let parts = parts.map(|part| match part.get(..16) {
        Some(digits) if is_number(digits) => part.replace(digits, "N"),
        _ => part.to_owned(),
    });
    parts.collect()
}
