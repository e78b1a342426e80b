//! `verteilt topic`.

use crate::process::{Broker, json, run, run_with_input, stderr, stdout, succeeded};

#[expect(clippy::too_many_lines, reason = "one story")]
#[test]
fn records_go_in_and_come_out() {
    let broker = Broker::start();
    let none = stdout(&run(&mut broker.verteilt(["topic", "ls"])));
    assert!(none.contains("topic create"), "{none}");
    let create = [
        "topic",
        "create",
        "log",
        "--partitions",
        "2",
        "--keep-for",
        "7d",
        "--json",
    ];
    assert_eq!(json(&run(&mut broker.verteilt(create)))["partitions"], 2);
    let publish = [
        "topic",
        "publish",
        "log",
        "hello",
        "--partition",
        "1",
        "--json",
    ];
    let published = json(&run(&mut broker.verteilt(publish)));
    assert_eq!(
        (
            published["partition"].as_u64(),
            published["offset"].as_u64()
        ),
        (Some(1), Some(0))
    );
    let lines = [
        "topic",
        "publish",
        "log",
        "--lines",
        "--partition",
        "1",
        "--json",
    ];
    let published = json(&run_with_input(
        &mut broker.verteilt(lines),
        b"one\ntwo\n\nfour",
    ));
    assert_eq!(published["published"], 4);
    succeeded(&run_with_input(
        &mut broker.verteilt(["topic", "publish", "log", "--key", "k", "--partition", "0"]),
        b"\xff\0",
    ));
    let tail = [
        "topic",
        "tail",
        "log",
        "--all",
        "--limit",
        "5",
        "--partition",
        "1",
    ];
    assert_eq!(
        stdout(&run(&mut broker.verteilt(tail))),
        "hello\none\ntwo\n\nfour\n"
    );
    let tail = [
        "topic",
        "tail",
        "log",
        "--all",
        "--limit",
        "1",
        "--partition",
        "0",
        "--json",
    ];
    let record = json(&run(&mut broker.verteilt(tail)));
    assert_eq!(record["value_base64"], "/wA=");
    assert_eq!(
        (record["key"].as_str(), record["offset"].as_u64()),
        (Some("k"), Some(0))
    );
    let all = json(&run(&mut broker.verteilt(["topic", "ls", "log", "--json"])));
    assert_eq!(all[0]["keep_for_ms"], 7 * 86_400_000);
    assert_eq!(all[0]["offsets"][1]["next"], 5);
}

#[test]
fn a_group_goes_on_where_it_was() {
    let broker = Broker::start();
    succeeded(&run(&mut broker.verteilt(["topic", "create", "log"])));
    let publish = ["topic", "publish", "log", "--lines"];
    succeeded(&run_with_input(&mut broker.verteilt(publish), b"1\n2\n3\n"));
    let some = ["topic", "tail", "log", "--group", "g", "--limit", "2"];
    assert_eq!(stdout(&run(&mut broker.verteilt(some))), "1\n2\n");
    let groups = json(&run(
        &mut broker.verteilt(["topic", "groups", "log", "--json"])
    ));
    assert_eq!(
        (groups[0]["group"].as_str(), groups[0]["lag"].as_u64()),
        (Some("g"), Some(1))
    );
    let rest = ["topic", "tail", "log", "--group", "g", "--drain"];
    assert_eq!(stdout(&run(&mut broker.verteilt(rest))), "3\n");
    assert_eq!(stdout(&run(&mut broker.verteilt(rest))), "");
}

#[test]
fn a_topic_is_created_and_goes() {
    let broker = Broker::start();
    let early = run(&mut broker.verteilt(["topic", "publish", "log", "x"]));
    assert_eq!(early.status.code(), Some(4), "{}", stderr(&early));
    succeeded(&run(&mut broker.verteilt(["topic", "create", "log"])));
    let other = run(&mut broker.verteilt(["topic", "create", "log", "--partitions", "2"]));
    assert!(!other.status.success());
    succeeded(&run(&mut broker.verteilt([
        "topic",
        "retain",
        "log",
        "--keep-bytes",
        "1MiB",
    ])));
    let all = json(&run(&mut broker.verteilt(["topic", "ls", "--json"])));
    assert_eq!(all[0]["keep_bytes"], 1 << 20);
    succeeded(&run(&mut broker.verteilt(["topic", "rm", "log"])));
    let late = run(&mut broker.verteilt(["topic", "ls", "log"]));
    assert_eq!(late.status.code(), Some(4), "{}", stderr(&late));
}
