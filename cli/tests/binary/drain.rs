//! When `work --drain` ends, and how.

use std::fs;

use crate::process::{Broker, run, stderr, stdout, succeeded};

#[test]
fn an_empty_or_unknown_queue_is_drained() {
    let broker = Broker::start();
    let done = run(&mut broker.verteilt(["work", "never-pushed", "--drain", "--", "true"]));
    assert!(succeeded(&done).is_empty());
}

#[test]
fn a_failing_command_is_tried_again_until_the_job_is_dead() {
    let broker = Broker::start();
    let push = ["push", "q", "body", "--attempts", "2"];
    succeeded(&run(&mut broker.verteilt(push)));
    let script = "echo run; exit 3";
    let work = run(&mut broker.verteilt(["work", "q", "--drain", "--", "sh", "-c", script]));
    assert_eq!(work.status.code(), Some(1), "{}", stderr(&work));
    // What failed is no result: it is shown where errors are.
    assert_eq!(stdout(&work), "");
    assert_eq!(
        stderr(&work).matches("run\n").count(),
        2,
        "{}",
        stderr(&work)
    );
    assert!(
        stderr(&work).contains("exit status: 3"),
        "{}",
        stderr(&work)
    );
    assert!(stderr(&work).contains("--state dead"), "{}", stderr(&work));
    assert_eq!(broker.count("q", "dead"), 1);

    // A job that died before this run is not this run's failure.
    succeeded(&run(
        &mut broker.verteilt(["work", "q", "--drain", "--", "true"])
    ));
}

#[test]
fn a_retry_is_waited_for() {
    let broker = Broker::start();
    broker.push("q", &["body"]);
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("mark");
    let script = format!(
        "test -e {0} && echo done || {{ touch {0}; exit 1; }}",
        mark.display()
    );
    let work = run(&mut broker.verteilt(["work", "q", "--drain", "--", "sh", "-c", &script]));
    assert_eq!(succeeded(&work), b"done\n");
    assert!(fs::exists(mark).unwrap());
    assert_eq!(broker.count("q", "done"), 1);
}

#[test]
fn jobs_for_later_do_not_hold_it() {
    let broker = Broker::start();
    broker.push("q", &["now"]);
    succeeded(&run(
        &mut broker.verteilt(["push", "q", "later", "--delay", "1h"])
    ));
    let work = run(&mut broker.verteilt(["work", "q", "--drain", "--", "cat"]));
    assert_eq!(succeeded(&work), b"now");
    assert_eq!(broker.count("q", "scheduled"), 1);
}

#[test]
fn two_workers_share_a_queue() {
    let broker = Broker::start();
    let bodies: Vec<String> = (0..60).map(|n| format!("job-{n}")).collect();
    broker.push("q", &bodies.iter().map(String::as_str).collect::<Vec<_>>());
    let work = [
        "work",
        "q",
        "--drain",
        "--concurrency",
        "2",
        "--",
        "echo",
        "{}",
    ];
    let both = [(); 2].map(|()| crate::process::spawn(&mut broker.verteilt(work)));
    let outputs = both.map(crate::process::finish);
    let mut lines: Vec<String> = Vec::new();
    for output in &outputs {
        succeeded(output);
        lines.extend(stdout(output).lines().map(str::to_owned));
    }
    lines.sort();
    let mut bodies = bodies;
    bodies.sort();
    assert_eq!(lines, bodies);
}
