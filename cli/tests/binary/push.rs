//! `verteilt push`.

use crate::process::{Broker, json, run, run_with_input, stderr, succeeded, verteilt};

#[test]
fn higher_priority_runs_first() {
    let broker = Broker::start();
    for (body, priority) in [("low", "-5"), ("middle", "0"), ("high", "7")] {
        let push = ["push", "q", body, "--priority", priority];
        succeeded(&run(&mut broker.verteilt(push)));
    }
    let work = run(&mut broker.verteilt(["work", "q", "--drain", "--", "echo", "{}"]));
    assert_eq!(succeeded(&work), b"high\nmiddle\nlow\n");
}

#[test]
fn one_job_as_json() {
    let broker = Broker::start();
    let push = ["push", "q", "body", "--json", "--durability", "memory"];
    let pushed = json(&run(&mut broker.verteilt(push)));
    assert_eq!(pushed["queue"], "q");
    assert_eq!(pushed["pushed"], 1);
    assert_eq!(pushed["durability"], "memory");
    assert!(pushed["id"].is_u64());
}

#[test]
fn many_lines_keep_their_order() {
    let broker = Broker::start();
    let lines: String = (0..40_000).map(|n| format!("{n}\n")).collect();
    let mut push = broker.verteilt(["push", "q", "--lines", "-", "--json"]);
    assert_eq!(
        json(&run_with_input(&mut push, lines.as_bytes()))["pushed"],
        40_000
    );
    assert_eq!(broker.count("q", "ready"), 40_000);
    let peeked = json(&run(&mut broker.verteilt(["queue", "peek", "q", "--json"])));
    let bodies: Vec<&str> = peeked
        .as_array()
        .unwrap()
        .iter()
        .map(|job| job["body"].as_str().unwrap())
        .collect();
    assert_eq!(bodies, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
}

#[test]
fn no_broker_is_told_with_what_to_do() {
    // Port 1 is nobody's.
    let push = run(&mut verteilt([
        "push",
        "q",
        "body",
        "--url",
        "verteilt://127.0.0.1:1",
    ]));
    assert_eq!(push.status.code(), Some(3));
    let told = stderr(&push);
    assert!(
        told.contains("no broker at verteilt://127.0.0.1:1"),
        "{told}"
    );
    assert!(told.contains("verteilt serve"), "{told}");
}

#[test]
fn mistakes_are_usage_errors() {
    let broker = Broker::start();
    for args in [
        &["push", "Not A Name", "body"][..],
        &["push", "q", "body", "--lines"],
        &["push", "q", "body", "--attempts", "0"],
        &["push", "q", "body", "--delay", "soon"],
        &["push", "q", "body", "--durability", "paper"],
        &["push", "q", "--lines", "/nowhere/lines"],
        &["push", "q", "body", "--url", "http://127.0.0.1"],
        &["push"],
    ] {
        let push = run(&mut broker.verteilt(args));
        assert_eq!(push.status.code(), Some(2), "{args:?}: {}", stderr(&push));
        assert!(!push.stderr.is_empty());
    }
}
