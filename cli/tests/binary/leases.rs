//! Work that takes longer than its lease.

use std::time::Duration;

use rustix::process::Signal;
use verteilt_client::{Client, PushOptions};

use crate::process::{Broker, finish, run, signal, spawn, stderr, stdout, succeeded, until};

/// One job whose lease lasts a second.
fn push_with_short_lease(broker: &Broker) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let client = Client::connect(&broker.url).await.unwrap();
        let lease = Some(Duration::from_secs(1));
        let options = PushOptions {
            lease,
            ..PushOptions::default()
        };
        client.push_with("q", "body", &options).await.unwrap();
        client.close().await.unwrap();
    });
}

#[test]
fn the_lease_is_kept_alive_while_the_command_runs() {
    let broker = Broker::start();
    push_with_short_lease(&broker);
    let script = "sleep 4; echo run $VERTEILT_JOB_ATTEMPT";
    let work = run(&mut broker.verteilt(["work", "q", "--drain", "--", "sh", "-c", script]));
    assert_eq!(succeeded(&work), b"run 1\n", "{}", stderr(&work));
    assert_eq!(broker.count("q", "done"), 1);
}

#[test]
fn a_worker_that_lost_its_lease_stops_and_prints_nothing() {
    let broker = Broker::start();
    push_with_short_lease(&broker);
    let script = "echo begun; test $VERTEILT_JOB_ATTEMPT = 1 && sleep 600; echo done";
    let work = ["work", "q", "--", "sh", "-c", script];
    let first = spawn(&mut broker.verteilt(work));
    until("the first runs", || broker.count("q", "leased") == 1);
    signal(&first, Signal::STOP);
    // The lease ends, and sooner or later the job comes to the one that answers.
    let second = run(&mut broker.verteilt(["work", "q", "--drain", "--", "sh", "-c", script]));
    assert_eq!(succeeded(&second), b"begun\ndone\n");
    signal(&first, Signal::CONT);
    signal(&first, Signal::TERM);
    let first = finish(first);
    assert_eq!(stdout(&first), "");
    assert!(
        stderr(&first).contains("its lease is lost"),
        "{}",
        stderr(&first)
    );
    assert_eq!(broker.count("q", "done"), 1);
}
