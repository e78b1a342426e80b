//! A signal to `work` hands unfinished jobs back.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::process::{Broker, finish, signal, spawn, stderr, stdout, until};

#[test]
fn unfinished_jobs_are_handed_back() {
    for (how, by) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let broker = Broker::start();
        broker.push("q", &["1", "2", "3"]);
        let work = [
            "work", "q", "--drain", "-c", "2", "--grace", "100ms", "--", "sleep", "600",
        ];
        let work = spawn(&mut broker.verteilt(work));
        until("two jobs run", || broker.count("q", "leased") == 2);
        signal(&work, how);
        let work = finish(work);
        // It was to drain the queue and did not.
        assert_eq!(work.status.code(), Some(by), "{}", stderr(&work));
        let stats = broker.stats("q");
        assert_eq!(
            (stats["ready"].as_u64(), stats["leased"].as_u64()),
            (Some(3), Some(0))
        );
        assert_eq!(stats["failed"], 0);
    }
}

#[test]
fn without_drain_a_signal_is_how_it_ends() {
    let broker = Broker::start();
    broker.push("q", &["1"]);
    let work = spawn(&mut broker.verteilt(["work", "q", "--", "true"]));
    until("the job is done", || broker.count("q", "done") == 1);
    signal(&work, Signal::TERM);
    assert_eq!(finish(work).status.code(), Some(0));
}

#[test]
fn running_jobs_may_finish_in_the_grace_time() {
    let broker = Broker::start();
    broker.push("q", &["1", "2"]);
    let script = "sleep 1; echo finished $0";
    let work = spawn(&mut broker.verteilt(["work", "q", "--", "sh", "-c", script, "{}"]));
    until("a job runs", || broker.count("q", "leased") == 1);
    signal(&work, Signal::INT);
    let work = finish(work);
    assert_eq!(work.status.code(), Some(0), "{}", stderr(&work));
    assert_eq!(stdout(&work), "finished 1\n");
    let stats = broker.stats("q");
    assert_eq!(
        (stats["done"].as_u64(), stats["ready"].as_u64()),
        (Some(1), Some(1))
    );
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let broker = Broker::start();
    broker.push("q", &["1"]);
    let work = ["work", "q", "--grace", "10m", "--", "sleep", "600"];
    let work = spawn(&mut broker.verteilt(work));
    until("a job runs", || broker.count("q", "leased") == 1);
    let begin = Instant::now();
    signal(&work, Signal::TERM);
    // Signals of one kind that come together may be taken for one.
    std::thread::sleep(Duration::from_millis(200));
    signal(&work, Signal::TERM);
    finish(work);
    assert!(begin.elapsed() < Duration::from_secs(30));
    assert_eq!(broker.count("q", "ready"), 1);
}

#[test]
fn children_of_the_command_end_with_it() {
    let broker = Broker::start();
    let folder = tempfile::tempdir().unwrap();
    let alive = folder.path().join("alive");
    broker.push("q", &["1"]);
    // The inner loop is a process of its own; it writes for as long as it lives.
    let script = "while :; do date +%s%N > \"$0\"; sleep 0.05; done & wait";
    let mut work = broker.verteilt(["work", "q", "--grace", "50ms", "--", "sh", "-c", script]);
    let work = spawn(work.arg(&alive));
    until("the loop runs", || alive.exists());
    signal(&work, Signal::TERM);
    finish(work);
    let last = std::fs::read(&alive).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(std::fs::read(&alive).unwrap(), last, "the loop still runs");
}
