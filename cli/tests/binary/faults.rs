//! System calls of the running broker fail: the disk is broken or full, once or for good.
//!
//! strace makes the n-th call of a thread fail and writes down when each call began and ended. One
//! client works against the broker until it ends, and keeps book. Then these must hold:
//!
//! - Each step that was answered had an `fdatasync` of the journal between question and answer.
//! - After a failed write or sync of a batch, no batch is synced any more, so by the rule above
//!   nothing is acknowledged; the process ends within 5 s, with code 1 and words that help.
//! - A fault during the start ends in words that help, too.
//! - Started again without the fault, the broker has every acknowledged job, byte for byte, and none
//!   that is done: also after a fault that it could live with.
//!
//! A few numbers a call in the normal run; `VERTEILT_FAULTS=200` tries all numbers up to 200.

mod load;
mod rules;
mod run;
mod strace;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use self::run::{Ground, Verdict, run, watch};
use self::strace::{Fault, Files};

/// After so many numbers in a row that no thread reaches, higher ones are not tried.
const UNREACHED_MAX: usize = 8;
const THREADS: usize = 2;

const fn fault(call: &'static str, files: Files, from: usize) -> Fault {
    Fault {
        call,
        error: "EIO",
        from,
        lasts: false,
        files,
    }
}

#[test]
fn no_answer_leaves_after_a_failed_fdatasync() {
    for (from, lasts) in [(6, false), (25, true), (60, false)] {
        let fault = Fault {
            lasts,
            ..fault("fdatasync", Files::Segments, from)
        };
        assert_eq!(run(&fault, Ground::new(), 100), Verdict::Ended, "{fault}");
    }
}

#[test]
fn every_name_lasts_before_the_first_answer() {
    let never = fault("fdatasync", Files::All, 60_000);
    let seen = watch(&never, Ground::new(), 3);
    assert_eq!(seen.verdict, Verdict::Unreached);
    rules::names_last(&seen);
}

/// Calls that change something on the disk, and reads.
const CALLS: [(&str, Files); 13] = [
    ("fdatasync", Files::Segments),
    ("fdatasync", Files::Journal),
    ("fdatasync", Files::Store),
    ("pwrite64", Files::Segments),
    ("pwrite64", Files::Store),
    ("fsync", Files::All),
    ("openat", Files::All),
    ("write", Files::All),
    ("rename", Files::All),
    ("mkdir", Files::All),
    ("unlink", Files::All),
    ("ftruncate", Files::All),
    ("pread64", Files::All),
];

#[test]
fn any_call_may_fail() {
    let sweep = Sweep {
        numbers: match std::env::var("VERTEILT_FAULTS") {
            Ok(most) => (1..=most.parse().expect("a number")).collect(),
            Err(_) => vec![1, 2, 7, 12],
        },
        used: Ground::used(),
        verdicts: Mutex::default(),
        wrong: Mutex::default(),
    };
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some((call, files)) = CALLS.get(at / 2) else {
                        return;
                    };
                    sweep.run(call, *files, at % 2 == 1);
                }
            });
        }
    });
    sweep.tell();
}

struct Sweep {
    numbers: Vec<usize>,
    used: Ground,
    verdicts: Mutex<BTreeMap<(&'static str, String, Verdict), usize>>,
    wrong: Mutex<Vec<String>>,
}

impl Sweep {
    /// Every number, on a folder that was used before or on none.
    fn run(&self, call: &'static str, files: Files, is_used: bool) {
        let mut unreached = 0;
        for &from in &self.numbers {
            let fault = Fault {
                // Both errors, once and for good, in turns.
                error: if from.is_multiple_of(2) {
                    "ENOSPC"
                } else {
                    "EIO"
                },
                lasts: from / 2 % 2 == 1,
                ..fault(call, files, from)
            };
            let is_reached = self.try_one(fault, is_used);
            unreached = if is_reached { 0 } else { unreached + 1 };
            if unreached >= UNREACHED_MAX {
                return;
            }
        }
    }

    fn try_one(&self, fault: Fault, is_used: bool) -> bool {
        let ground = if is_used {
            self.used.copy()
        } else {
            Ground::new()
        };
        let done = thread::spawn(move || run(&fault, ground, 60 + 2 * fault.from)).join();
        let told = format!("{fault}, used before: {is_used}");
        match done {
            Ok(verdict) => {
                println!("{told}: {verdict:?}");
                let key = (fault.call, format!("{:?}", fault.files), verdict);
                *self.verdicts.lock().unwrap().entry(key).or_insert(0) += 1;
                verdict != Verdict::Unreached
            }
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map_or("", String::as_str);
                println!("{told}: {text}");
                self.wrong.lock().unwrap().push(format!("{told}: {text}"));
                true
            }
        }
    }

    fn tell(self) {
        for ((call, files, verdict), count) in self.verdicts.into_inner().unwrap() {
            let verdict = format!("{verdict:?}");
            println!("{call:<10} {files:<8} {verdict:<10} {count}");
        }
        let wrong = self.wrong.into_inner().unwrap();
        assert!(
            wrong.is_empty(),
            "{} went wrong:\n{}",
            wrong.len(),
            wrong.join("\n")
        );
    }
}
