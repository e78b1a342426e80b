//! The offline check from the command line.

use std::fs;

use crate::process::{Broker, json, run, stderr, stdout, verteilt};

#[test]
fn a_killed_brokers_folder_is_sound_and_a_spoiled_one_is_not() {
    let mut broker = Broker::start();
    let mut push = broker.verteilt(["push", "mail", "--lines"]);
    let pushed = crate::process::run_with_input(&mut push, b"one\ntwo\nthree\n");
    assert!(pushed.status.success(), "{}", stderr(&pushed));
    let create = ["topic", "create", "log", "--partitions", "2"];
    let created = run(&mut broker.verteilt(create));
    assert!(created.status.success(), "{}", stderr(&created));
    let mut publish = broker.verteilt(["topic", "publish", "log", "--lines"]);
    let published = crate::process::run_with_input(&mut publish, b"a\nb\n");
    assert!(published.status.success(), "{}", stderr(&published));
    let data = broker.data().to_owned();
    let in_use = run(verteilt(["verify"]).arg(&data));
    assert_eq!(in_use.status.code(), Some(2), "{}", stdout(&in_use));
    assert!(stderr(&in_use).contains("Stop it first"));

    broker.kill();
    let report = json(&run(verteilt(["verify", "--json"]).arg(&data)));
    assert_eq!(report["queues"][0]["ready"], 3);
    assert_eq!(
        (&report["records"], &report["topics"][0]["topic"]),
        (&2.into(), &"log".into())
    );
    let told = run(verteilt(["verify"]).arg(&data));
    assert_eq!(told.status.code(), Some(0), "{}", stderr(&told));
    let told = stdout(&told);
    let last = told.lines().last().unwrap();
    assert!(last.contains("sound, 3 jobs and 2 records"), "{told}");

    let segment = data.join("journal").join("0000000000000001.journal");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[4_096 + 74] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let damaged = run(verteilt(["verify"]).arg(&data));
    assert_eq!(damaged.status.code(), Some(1), "{}", stdout(&damaged));
    let told = stdout(&damaged);
    assert!(
        told.contains("0000000000000001.journal, offset 4096"),
        "{told}"
    );
    assert!(told.contains("restore a backup"), "{told}");
}
