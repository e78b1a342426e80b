//! `verteilt queue` and `verteilt checkpoint`.

use crate::process::{Broker, json, run, run_with_input, stderr, stdout, succeeded};

#[test]
fn stats_are_one_flat_object() {
    let broker = Broker::start();
    broker.push("mail.out", &["a", "b"]);
    let stats = broker.stats("mail.out");
    let object = stats.as_object().unwrap();
    assert_eq!(object["queue"], "mail.out");
    assert_eq!(object["paused"], false);
    for state in [
        "scheduled",
        "ready",
        "leased",
        "waiting",
        "failed",
        "done",
        "dead",
        "cancelled",
        "expired",
        "pushed",
        "subscriptions",
    ] {
        assert!(object[state].is_u64(), "{state}");
    }
    assert_eq!(
        (object["ready"].as_u64(), object["pushed"].as_u64()),
        (Some(2), Some(2))
    );
    let text = succeeded(&run(&mut broker.verteilt(["queue", "stats", "mail.out"])));
    assert!(String::from_utf8(text).unwrap().contains("ready"));
}

#[test]
fn an_unknown_queue_is_refused() {
    let broker = Broker::start();
    let stats = run(&mut broker.verteilt(["queue", "stats", "nothing-here", "--json"]));
    assert_eq!(stats.status.code(), Some(4), "{}", stderr(&stats));
}

#[test]
fn queues_are_listed_by_name() {
    let broker = Broker::start();
    let none = json(&run(&mut broker.verteilt(["queue", "ls", "--json"])));
    assert_eq!(none.as_array().unwrap().len(), 0);
    broker.push("b", &["1"]);
    broker.push("a", &["1", "2"]);
    let all = json(&run(&mut broker.verteilt(["queue", "ls", "--json"])));
    let names: Vec<_> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|queue| &queue["queue"])
        .collect();
    assert_eq!(names, ["a", "b"]);
    let table = stdout(&run(&mut broker.verteilt(["queue", "ls"])));
    assert_eq!(table.lines().count(), 3, "{table}");
}

#[test]
fn peeking_takes_nothing() {
    let broker = Broker::start();
    succeeded(&run_with_input(
        &mut broker.verteilt(["push", "q"]),
        b"text",
    ));
    succeeded(&run_with_input(
        &mut broker.verteilt(["push", "q"]),
        b"\xff\0",
    ));
    let jobs = json(&run(&mut broker.verteilt(["queue", "peek", "q", "--json"])));
    assert_eq!(jobs[0]["body"], "text");
    assert_eq!(jobs[0]["attempts"], 0);
    assert_eq!(jobs[1]["body_base64"], "/wA=");
    assert_eq!(jobs[1]["body_bytes"], 2);
    let one = ["queue", "peek", "q", "--json", "--limit", "1"];
    assert_eq!(
        json(&run(&mut broker.verteilt(one)))
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let dead = ["queue", "peek", "q", "--json", "--state", "dead"];
    assert_eq!(
        json(&run(&mut broker.verteilt(dead)))
            .as_array()
            .unwrap()
            .len(),
        0
    );
    assert_eq!(broker.count("q", "ready"), 2);
}

#[test]
fn a_paused_queue_hands_out_nothing() {
    let broker = Broker::start();
    broker.push("q", &["x"]);
    let paused = json(&run(&mut broker.verteilt(["queue", "pause", "q", "--json"])));
    assert_eq!(paused["paused"], true);
    assert_eq!(broker.stats("q")["paused"], true);
    let work =
        crate::process::spawn(&mut broker.verteilt(["work", "q", "--drain", "--", "echo", "{}"]));
    crate::process::until("the worker subscribes", || {
        broker.count("q", "subscriptions") == 1
    });
    assert_eq!(broker.count("q", "ready"), 1);
    succeeded(&run(&mut broker.verteilt(["queue", "resume", "q"])));
    assert_eq!(succeeded(&crate::process::finish(work)), b"x\n");
}

#[test]
fn purge_removes_what_nobody_holds() {
    let broker = Broker::start();
    broker.push("q", &["a", "b", "c"]);
    let purged = json(&run(&mut broker.verteilt(["queue", "purge", "q", "--json"])));
    assert_eq!(purged["purged"], 3);
    assert_eq!(broker.count("q", "ready"), 0);
    broker.push("q", &["d"]);
    // Nobody can be asked here, so nobody is.
    succeeded(&run(&mut broker.verteilt(["queue", "purge", "q"])));
    assert_eq!(broker.count("q", "ready"), 0);
}

#[test]
fn a_checkpoint_says_how_far_it_reaches() {
    let mut broker = Broker::start();
    broker.push("q", &["a", "b"]);
    let done = json(&run(&mut broker.verteilt(["checkpoint", "--json"])));
    assert!(done["lsn"].as_u64().unwrap() > 0);
    broker.kill();
    broker.restart();
    assert_eq!(broker.count("q", "ready"), 2);
}
