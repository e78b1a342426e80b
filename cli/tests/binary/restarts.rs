//! The broker is killed in the middle of everything, and nothing is lost.

use std::collections::HashMap;
use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use crate::process::{Broker, DEADLINE, finish, json, lines, spawn, stderr, until};
use crate::round_trip::{find, xargs_sums};

const FILES: usize = 800;
const CONCURRENCY: usize = 4;

#[test]
fn every_file_is_summed_although_the_broker_is_killed_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    for n in 0..FILES {
        fs::write(folder.path().join(format!("file {n}")), n.to_string()).unwrap();
    }
    let names = find(folder.path());
    let mut broker = Broker::start();
    let mut push = broker.verteilt(["push", "sums", "--lines"]);
    assert!(
        crate::process::run_with_input(&mut push, &names)
            .status
            .success()
    );

    let work = [
        "work",
        "sums",
        "--drain",
        "--concurrency",
        "4",
        "--",
        "sha256sum",
        "{}",
    ];
    let mut work = spawn(&mut broker.verteilt(work));
    let printed = lines(&mut work);
    let mut sums = Vec::new();
    let kills = [100, 300, 500];
    for reached in kills {
        while sums.len() < reached {
            sums.push(printed.recv_timeout(DEADLINE).expect("the work goes on"));
        }
        broker.kill();
        broker.restart();
    }
    let work = finish(work);
    assert!(
        work.status.success(),
        "{:?}: {}",
        work.status,
        stderr(&work)
    );
    sums.extend(printed.iter());

    let mut seen: HashMap<&[u8], usize> = HashMap::new();
    for sum in &sums {
        *seen.entry(sum).or_default() += 1;
    }
    let expected = xargs_sums(&names);
    for line in expected.iter().filter(|line| !line.is_empty()) {
        assert!(
            seen.contains_key(line.as_slice()),
            "lost: {}",
            String::from_utf8_lossy(line)
        );
    }
    assert_eq!(seen.len(), FILES);
    // Only what was leased at a kill may come twice.
    assert!(
        sums.len() <= FILES + kills.len() * CONCURRENCY,
        "{} lines",
        sums.len()
    );
    let stats = broker.stats("sums");
    assert_eq!(
        (stats["done"].as_u64(), stats["dead"].as_u64()),
        (Some(FILES as u64), Some(0))
    );
}

#[test]
fn a_push_rides_through_a_restart_without_loss_or_doubles() {
    let mut broker = Broker::start();
    let mut push = broker.verteilt(["push", "q", "--lines", "--json"]);
    let mut push = spawn(push.stdin(Stdio::piped()));
    let mut input = push.stdin.take().unwrap();
    let mut lines = (0..).map(|n| format!("line {n}\n"));
    let mut feed = |count: usize| {
        let text: String = lines.by_ref().take(count).collect();
        input.write_all(text.as_bytes()).unwrap();
    };
    feed(20_000);
    for _ in 0..3 {
        broker.kill();
        feed(5_000);
        broker.restart();
        feed(5_000);
    }
    drop(input);
    let push = finish(push);
    assert_eq!(json(&push)["pushed"], 50_000, "{}", stderr(&push));
    let stats = broker.stats("q");
    assert_eq!(
        (stats["ready"].as_u64(), stats["pushed"].as_u64()),
        (Some(50_000), Some(50_000))
    );
}

#[test]
fn work_waits_for_a_broker_that_is_away() {
    let mut broker = Broker::start();
    let mut work = spawn(&mut broker.verteilt(["work", "q", "--", "echo", "{}"]));
    let printed = lines(&mut work);
    until("the worker subscribes", || {
        let stats = crate::process::run(&mut broker.verteilt(["queue", "ls", "--json"]));
        stats.status.success() && json(&stats)[0]["subscriptions"] == 1
    });
    broker.kill();
    broker.restart();
    broker.push("q", &["after"]);
    assert_eq!(printed.recv_timeout(DEADLINE).unwrap(), b"after");
    crate::process::signal(&work, rustix::process::Signal::TERM);
    let work = finish(work);
    assert!(work.status.success());
    assert!(stderr(&work).contains("is back"), "{}", stderr(&work));
}

#[test]
fn no_more_run_at_one_time_than_were_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let lock = folder.path().join("lock");
    let mut broker = Broker::start();
    broker.push("q", &["1", "2", "3", "4", "5", "6"]);
    let script = "mkdir \"$0\" || echo overlap; sleep 0.5; rmdir \"$0\"; echo done";
    let mut work = broker.verteilt(["work", "q", "--drain", "--", "sh", "-c", script]);
    let mut work = spawn(work.arg(&lock));
    let printed = lines(&mut work);
    for _ in 0..2 {
        until("a job runs", || lock.exists());
        broker.kill();
        broker.restart();
        assert_eq!(printed.recv_timeout(DEADLINE).unwrap(), b"done");
    }
    let work = finish(work);
    assert!(work.status.success(), "{}", stderr(&work));
    assert!(
        printed.iter().all(|line| line == b"done"),
        "{}",
        stderr(&work)
    );
}
