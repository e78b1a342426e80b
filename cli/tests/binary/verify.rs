//! The offline check from the command line.

use std::fs;

use crate::process::{Broker, json, run, stderr, stdout, verteilt};

#[test]
fn a_killed_brokers_folder_is_sound_and_a_spoiled_one_is_not() {
    let mut broker = Broker::start();
    let mut push = broker.verteilt(["push", "mail", "--lines"]);
    let pushed = crate::process::run_with_input(&mut push, b"one\ntwo\nthree\n");
    assert!(pushed.status.success(), "{}", stderr(&pushed));
    let data = broker.data().to_owned();
    let in_use = run(verteilt(["verify"]).arg(&data));
    assert_eq!(in_use.status.code(), Some(2), "{}", stdout(&in_use));
    assert!(stderr(&in_use).contains("Stop it first"));

    broker.kill();
    let report = json(&run(verteilt(["verify", "--json"]).arg(&data)));
    assert_eq!(report["queues"][0]["ready"], 3);
    let told = run(verteilt(["verify"]).arg(&data));
    assert_eq!(told.status.code(), Some(0), "{}", stderr(&told));
    let told = stdout(&told);
    assert!(told.lines().last().unwrap().contains("sound"), "{told}");

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
