//! `verteilt serve` as a process: metrics, stopping, being refused.

use std::net::TcpListener;

use rustix::process::Signal;

use crate::process::{Broker, finish, http, lines, run, signal, spawn, stderr, until, verteilt};

#[test]
fn health_readiness_and_metrics_are_served() {
    let broker = Broker::start();
    broker.push("q", &["a", "b"]);
    let base = broker.metrics.strip_suffix("/metrics").unwrap();
    let (status, body) = http("GET", &format!("{base}/health"), &[], b"");
    assert_eq!(status, 200, "{body}");
    until("it is ready", || {
        http("GET", &format!("{base}/ready"), &[], b"").0 == 200
    });
    let (status, body) = http("GET", &broker.metrics, &[], b"");
    assert_eq!(status, 200);
    assert!(body.contains("text/plain; version=0.0.4"), "{body}");
    assert!(body.contains("verteilt_"), "{body}");
}

#[test]
fn both_signals_stop_it_gracefully() {
    for how in [Signal::TERM, Signal::INT] {
        let mut broker = Broker::start();
        broker.push("q", &["a"]);
        signal(broker.child(), how);
        assert_eq!(broker.child().wait().unwrap().code(), Some(0));
        broker.restart();
        assert_eq!(broker.count("q", "ready"), 1);
    }
}

#[test]
fn work_in_flight_may_finish_while_it_stops() {
    let mut broker = Broker::start();
    broker.push("q", &["1", "2"]);
    let script = "sleep 1; echo finished";
    let mut work = spawn(&mut broker.verteilt(["work", "q", "--", "sh", "-c", script]));
    let printed = lines(&mut work);
    until("a job runs", || broker.count("q", "leased") == 1);
    signal(broker.child(), Signal::TERM);
    assert_eq!(broker.child().wait().unwrap().code(), Some(0));
    broker.restart();
    assert_eq!(
        printed.recv_timeout(crate::process::DEADLINE).unwrap(),
        b"finished"
    );
    until("both are done, each once", || {
        broker.count("q", "done") == 2
    });
    signal(&work, Signal::TERM);
    finish(work);
    assert_eq!(printed.iter().count(), 1);
}

#[test]
fn a_data_folder_has_one_broker() {
    let broker = Broker::start();
    let mut second = verteilt(["serve", "--listen", "127.0.0.1:0", "--data"]);
    let second = run(second.arg(broker.data()));
    assert_eq!(second.status.code(), Some(1));
    assert!(!second.stderr.is_empty());
    assert!(second.stdout.is_empty());
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let mut serve = verteilt(["serve", "--listen", &address, "--data"]);
    let serve = run(serve.arg(folder.path().join("data")));
    assert_eq!(serve.status.code(), Some(1));
    assert!(stderr(&serve).contains(&address), "{}", stderr(&serve));
}
