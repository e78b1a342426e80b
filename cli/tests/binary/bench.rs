//! `verteilt bench`: figures of a broker of its own and of one that is named.

use rustix::process::Signal;

use crate::process::{Broker, finish, json, run, signal, spawn, stderr, stdout, until, verteilt};

/// On a disk also where the temporary folder is in memory.
const DATA: &str = env!("CARGO_TARGET_TMPDIR");

#[test]
fn a_broker_of_its_own_is_gone_afterwards() {
    let folder = tempfile::tempdir_in(DATA).unwrap();
    for load in ["push", "reserve", "cycle", "request", "http"] {
        let mut command = verteilt([
            "bench", load, "--jobs", "2000", "-c", "2", "--json", "--data",
        ]);
        let figures = json(&run(command.arg(folder.path())));
        assert_eq!(figures["load"], load);
        assert_eq!(figures["jobs"], 2000, "{figures}");
        assert_eq!(figures["interrupted"], false);
        assert!(figures["sync_us"].as_f64() > Some(0.0), "{figures}");
        let last = figures["latency"].as_array().unwrap().last().unwrap();
        assert_eq!(last["count"], 2000, "{figures}");
        assert!(last["max_us"].as_f64() >= last["p50_us"].as_f64());
        let left = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(left, 0, "{load} leaves nothing behind");
    }
}

#[test]
fn a_named_broker_gets_its_queue_back_empty() {
    let broker = Broker::start();
    let bench = ["bench", "push", "--jobs", "1000", "--url", &broker.url];
    let output = run(&mut verteilt(bench));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(
        text.contains("1000 jobs in") && text.contains("p99.9"),
        "{text}"
    );
    assert_eq!(broker.count("bench", "pushed"), 1000);
    assert_eq!(broker.count("bench", "ready"), 0);
}

#[test]
fn a_queue_with_jobs_is_not_touched() {
    let broker = Broker::start();
    broker.push("bench", &["somebody's"]);
    let output = run(&mut verteilt(["bench", "push", "--url", &broker.url]));
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("in use"), "{}", stderr(&output));
    assert_eq!(broker.count("bench", "ready"), 1);
}

#[test]
fn ctrl_c_ends_it_with_figures() {
    let broker = Broker::start();
    let bench = ["bench", "push", "--seconds", "100000", "--json", "--keep"];
    let bench = spawn(verteilt(bench).args(["--url", &broker.url]));
    until("jobs are pushed", || {
        let stats = run(&mut broker.verteilt(["queue", "stats", "bench", "--json"]));
        stats.status.success() && broker.count("bench", "pushed") > 0
    });
    signal(&bench, Signal::INT);
    let output = finish(bench);
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    let figures: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(figures["interrupted"], true);
    let pushed = broker.count("bench", "pushed");
    assert_eq!(figures["jobs"].as_u64(), Some(pushed), "each was answered");
}

#[test]
fn wrong_plans_are_usage_errors() {
    for wrong in [
        &["bench", "reserve", "--rate", "100"][..],
        &["bench", "cycle", "--size", "8"],
        &[
            "bench",
            "push",
            "--url",
            "verteilt://127.0.0.1:1",
            "--data",
            ".",
        ],
        &["bench", "push", "--url", "nonsense"],
    ] {
        let output = run(&mut verteilt(wrong));
        assert_eq!(
            output.status.code(),
            Some(2),
            "{wrong:?}: {}",
            stderr(&output)
        );
    }
    let nobody = ["bench", "push", "--url", "verteilt://127.0.0.1:1"];
    assert_eq!(run(&mut verteilt(nobody)).status.code(), Some(3));
}
