//! `verteilt torture`: kills, and a checker that finds nothing to complain of.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::process::{finish, json, run, signal, spawn, stderr, until, verteilt};

/// Pushes and acks that each round has before its kill.
const ACKNOWLEDGED: u64 = 5_000;

#[test]
fn twenty_kills_break_no_promise() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("torture");
    let mut command = verteilt(["torture", "--json", "--rounds", "20"]);
    let report = json(&run(command.arg("--data").arg(&data)));
    assert_eq!(
        (&report["violations"], &report["rounds"]),
        (&0.into(), &20.into()),
        "{report}"
    );
    assert!(report["kills"].as_u64() >= Some(20), "{report}");
    assert!(report["sections"].as_u64() >= Some(2), "{report}");
    assert!(report["redeliveries"].as_u64() > Some(0), "{report}");
    let least = |what: &str| report["each_round"][what]["least"].as_u64().unwrap();
    assert!(least("pushes_acknowledged") >= ACKNOWLEDGED, "{report}");
    assert!(least("acks_answered") >= ACKNOWLEDGED, "{report}");
    assert!(least("pushes_unanswered") > 0, "{report}");
    assert!(least("leases_held") > 0, "{report}");
    assert!(
        report["records_published"].as_u64() >= Some(5_000),
        "{report}"
    );
    assert!(
        report["records_read"].as_u64() >= report["records_published"].as_u64(),
        "{report}"
    );
    assert!(report["commits"].as_u64() > Some(0), "{report}");
    assert_eq!(report["history"], Value::Null, "{report}");
    assert!(!data.join("history.jsonl").exists(), "nothing went wrong");
}

#[test]
fn a_broker_that_ends_by_itself_is_a_failure_and_leaves_the_history() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("torture");
    let mut command = verteilt(["torture", "--rounds", "1000"]);
    let mut torture = spawn(command.arg("--data").arg(&data));
    let log = || fs::read_to_string(data.join("broker.log")).unwrap_or_default();
    until("a round is over", || log().matches("recovered").count() > 1);
    // One that is killed on purpose just now does not count.
    until("its end is noticed", || {
        brokers(&data).into_iter().for_each(|broker| {
            let _gone = kill_process(broker, Signal::KILL);
        });
        torture.try_wait().unwrap().is_some()
    });
    let output = finish(torture);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("(seed "), "{}", stderr(&output));
    let history = fs::read_to_string(data.join("history.jsonl")).unwrap();
    assert!(history.contains("broker_started"));
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
    until("the broker runs", || brokers(&data).len() == 1);
    signal(&torture, Signal::INT);
    assert_eq!(finish(torture).status.code(), Some(130));
    until("the broker is gone", || brokers(&data).is_empty());
}

/// Processes that serve this folder.
fn brokers(data: &Path) -> Vec<Pid> {
    let served = data.join("broker");
    let served = served.to_string_lossy();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let serves = |process: &PathBuf| {
        let line = fs::read(process.join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        line.split('\0').any(|word| word == served)
    };
    let paths = processes.map(|process| process.path()).filter(serves);
    let numbers = paths.filter_map(|path| path.file_name()?.to_str()?.parse().ok());
    numbers.filter_map(Pid::from_raw).collect()
}
