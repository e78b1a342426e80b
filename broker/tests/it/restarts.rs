//! What survives.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use verteilt_protocol::{FrameType, wire};

use crate::house::{House, PATIENCE, eventually};
use crate::peer::Peer;

const MEMORY: i32 = wire::Durability::Memory as i32;

#[test]
fn a_session_that_comes_back_in_time_keeps_its_leases() {
    let mut house = House::with(|config| config.resume_grace_ms = 20_000);
    let session = Peer::some_id();
    let mut worker = house.peer_of(&session);
    worker.push_with("q", lease(50_000), &[b"a", b"b", b"c"]);
    let jobs = worker.reserve("q", 3, 0);
    for stopped in [true, false] {
        if stopped {
            // Nobody settles within the grace, so they are still held when it ends.
            house.stop(Duration::ZERO).unwrap();
            house.go_on();
        } else {
            house.restart();
        }
        let mut other = house.peer();
        assert!(other.reserve("q", 3, 0).is_empty());
        worker = house.peer_of(&session);
        assert_eq!(worker.welcome.leases_held, 3);
        assert_eq!(worker.stats("q").leased, 3);
    }
    assert_eq!(worker.welcome.epoch, 3);
    for job in &jobs {
        worker.ack(job);
    }
    assert_eq!(worker.stats("q").done, 3);
}

#[test]
fn leases_of_sessions_that_do_not_come_back_are_released() {
    let mut house = House::with(|config| config.resume_grace_ms = 150);
    let session = Peer::some_id();
    let mut worker = house.peer_of(&session);
    worker.push_with("q", lease(3_600_000), &[b"a"]);
    let job = worker.reserve("q", 1, 0).remove(0);
    worker.checkpoint();
    house.restart();
    let mut other = house.peer();
    let again = other.reserve("q", 1, PATIENCE.as_millis() as u64);
    assert_eq!((again[0].id, again[0].attempt), (job.id, 2));
    assert!(again[0].token > job.token);
    let mut late = house.peer_of(&session);
    assert_eq!(late.welcome.leases_held, 0);
    let correlation = late.settle(FrameType::Ack, &job);
    late.stale(correlation, job.id);
}

#[test]
fn a_lease_that_is_over_during_the_stop_is_given_the_grace() {
    let mut house = House::with(|config| config.resume_grace_ms = 20_000);
    let session = Peer::some_id();
    let mut worker = house.peer_of(&session);
    worker.push_with("q", lease(50), &[b"a"]);
    let job = worker.reserve("q", 1, 0).remove(0);
    house.drop_broker();
    std::thread::sleep(Duration::from_millis(60));
    house.go_on();
    let mut worker = house.peer_of(&session);
    assert_eq!(worker.welcome.leases_held, 1);
    worker.ack(&job);
}

#[test]
fn memory_jobs_are_gone_and_their_ids_are_never_used_again() {
    let mut house = House::start();
    let mut seen = HashSet::new();
    let mut tokens = HashSet::new();
    for round in 0..4 {
        let mut peer = house.peer();
        let options = wire::JobOptions {
            durability: MEMORY,
            ..wire::JobOptions::default()
        };
        let volatile = peer.push_with("v", options, &[b"x", b"y"]);
        let durable = peer.push_many("d", &[b"x", b"y"]);
        for id in [volatile, volatile + 1, durable, durable + 1] {
            assert!(seen.insert(id), "id {id} again");
        }
        let stats = peer.stats("v");
        assert_eq!((stats.ready, stats.pushed), (2, 2), "of this run");
        assert_eq!(peer.stats("d").pushed, 2 * (round + 1));
        for queue in ["v", "d"] {
            let jobs = peer.reserve(queue, 2, 5_000);
            assert_eq!(jobs.len(), 2);
            assert!(
                tokens.insert(jobs[0].token),
                "token {} again",
                jobs[0].token
            );
            if queue == "d" {
                jobs.iter().for_each(|job| peer.ack(job));
            }
        }
        if round % 2 == 0 {
            peer.checkpoint();
        }
        house.restart();
    }
}

#[test]
fn the_same_start_again_and_again_changes_nothing() {
    let mut house = House::start();
    let mut peer = house.peer();
    let id = peer.welcome.broker_id.clone();
    for at in 0..30u8 {
        peer.push("q", &[at]);
    }
    for epoch in 2..12 {
        house.restart();
        let mut peer = house.peer();
        assert_eq!(peer.welcome.epoch, epoch);
        assert_eq!(peer.welcome.broker_id, id);
        let stats = peer.stats("q");
        assert_eq!((stats.ready, stats.pushed), (30, 30));
        if epoch == 6 {
            peer.checkpoint();
        }
    }
    let mut peer = house.peer();
    let bodies: Vec<u8> = peer
        .take_reserved("q", 30)
        .iter()
        .map(|job| job.body[0])
        .collect();
    assert_eq!(bodies, (0..30).collect::<Vec<u8>>());
}

#[test]
fn what_was_acknowledged_is_there_however_often_the_broker_is_dropped_in_full_flight() {
    let mut house = House::start();
    let mut acknowledged: HashSet<u64> = HashSet::new();
    for round in 0..6u64 {
        let address = house.address();
        let answered = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&answered);
        // Pushes until the connection breaks; tells what was acknowledged.
        let pusher = std::thread::spawn(move || {
            let mut peer = Peer::connect(address, &Peer::some_id());
            let mut taken = Vec::new();
            while let Some(result) = peer.try_push("q", &round.to_le_bytes()) {
                taken.push(result);
                counted.fetch_add(1, Ordering::Relaxed);
            }
            taken
        });
        eventually("some were pushed in this round", || {
            answered.load(Ordering::Relaxed) >= 40
        });
        house.drop_broker();
        let taken = pusher.join().unwrap();
        assert!(taken.len() >= 40);
        acknowledged.extend(taken);
        house.go_on();
    }
    let mut peer = house.peer();
    let total = peer.stats("q").ready as usize;
    assert!(total >= acknowledged.len());
    let there: HashSet<u64> = peer
        .take_reserved("q", total)
        .iter()
        .map(|job| job.id)
        .collect();
    assert!(acknowledged.is_subset(&there));
}

fn lease(lease_ms: u64) -> wire::JobOptions {
    wire::JobOptions {
        lease_ms,
        ..wire::JobOptions::default()
    }
}
