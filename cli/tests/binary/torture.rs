//! `verteilt torture`: kills, and a checker that finds nothing to complain of.

use std::fs;

use rustix::process::Signal;

use crate::process::{finish, json, run, signal, spawn, stderr, until, verteilt};

const SHORT: [&str; 4] = ["--rounds", "3", "--seconds-a-round", "1"];

#[test]
fn three_kills_break_no_promise() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("torture");
    let mut command = verteilt(["torture", "--json", "--seed", "3"]);
    let report = json(&run(command.args(SHORT).arg("--data").arg(&data)));
    assert_eq!(report["kills"], 3, "{report}");
    assert_eq!(report["violations"], 0, "{report}");
    assert!(report["pushes_acknowledged"].as_u64() > Some(0), "{report}");
    assert!(report["deliveries"].as_u64() > Some(0), "{report}");
    let history = fs::read_to_string(data.join("history.jsonl")).unwrap();
    assert_eq!(history.matches("broker_killed").count(), 3);
}

#[test]
fn a_folder_of_somebody_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("letters"), "dear").unwrap();
    let output = run(verteilt(["torture", "--data"]).arg(folder.path()));
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(folder.path().join("letters").is_file());
}

#[test]
fn an_interrupted_torture_takes_its_broker_along() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("torture");
    let mut command = verteilt(["torture", "--rounds", "1000"]);
    let torture = spawn(command.arg("--data").arg(&data));
    until("the broker runs", || brokers(&data) == 1);
    signal(&torture, Signal::INT);
    assert_eq!(finish(torture).status.code(), Some(130));
    until("the broker is gone", || brokers(&data) == 0);
}

/// Processes that serve this folder.
fn brokers(data: &std::path::Path) -> usize {
    let served = data.join("broker");
    let served = served.to_string_lossy();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|process| fs::read(process.path().join("cmdline")).ok())
        .filter(|line| {
            String::from_utf8_lossy(line)
                .split('\0')
                .any(|word| word == served)
        })
        .count()
}
