//! What `work` prints.

use std::collections::HashSet;
use std::io::Read as _;

use crate::process::{Broker, finish, run, spawn, stderr, stdout, succeeded};

#[test]
fn the_output_of_a_job_stays_together() {
    let broker = Broker::start();
    let bodies: Vec<String> = (0..24).map(|n| n.to_string()).collect();
    broker.push("q", &bodies.iter().map(String::as_str).collect::<Vec<_>>());
    let script = "echo begin $0; sleep 0.02; echo end $0";
    let work = [
        "work", "q", "--drain", "-c", "8", "--", "sh", "-c", script, "{}",
    ];
    let text = stdout(&run(&mut broker.verteilt(work)));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 48);
    for pair in lines.chunks(2) {
        assert_eq!(pair[0].strip_prefix("begin "), pair[1].strip_prefix("end "));
    }
    assert_eq!(lines.iter().collect::<HashSet<_>>().len(), 48);
}

#[test]
fn output_larger_than_memory_is_kept_for_comes_whole() {
    let broker = Broker::start();
    broker.push("q", &["x"]);
    let work = [
        "work",
        "q",
        "--drain",
        "--",
        "head",
        "-c",
        "9000000",
        "/dev/zero",
    ];
    let printed = succeeded(&run(&mut broker.verteilt(work)));
    assert_eq!(printed.len(), 9_000_000);
    assert!(printed.iter().all(|byte| *byte == 0));
}

#[test]
fn a_reader_that_leaves_loses_no_job() {
    let broker = Broker::start();
    let bodies: Vec<String> = (0..3_000).map(|n| n.to_string()).collect();
    broker.push("q", &bodies.iter().map(String::as_str).collect::<Vec<_>>());
    let mut work = spawn(&mut broker.verteilt(["work", "q", "--", "echo", "{}"]));
    let mut first = [0; 1];
    work.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let work = finish(work);
    assert_eq!(work.status.code(), Some(141), "{}", stderr(&work));
    assert!(
        !stderr(&work).to_lowercase().contains("pipe"),
        "{}",
        stderr(&work)
    );
    let stats = broker.stats("q");
    let (done, ready) = (
        stats["done"].as_u64().unwrap(),
        stats["ready"].as_u64().unwrap(),
    );
    assert_eq!(done + ready, 3_000);
    assert!(ready > 0);
}
