//! Connections end, and come back.

use verteilt_protocol::{ErrorCode, FrameType, wire};

use crate::house::House;
use crate::peer::{Peer, push_of, settle_of};

#[test]
fn a_closed_connection_gives_its_jobs_back_at_once() {
    let house = House::start();
    let mut dies = house.peer();
    let mut lives = house.peer();
    dies.push_many("q", &[&b"x"[..]; 3]);
    dies.subscribe(1, "q", 3);
    let held = dies.take(3);
    lives.subscribe(1, "q", 3);
    drop(dies);
    let jobs = lives.take(3);
    assert!(jobs.iter().all(|job| job.attempt == 2));
    assert!(jobs[0].token > held[0].token);
}

#[test]
fn a_newer_connection_of_the_session_takes_over_its_leases() {
    let house = House::start();
    let session = Peer::some_id();
    let mut older = house.peer_of(&session);
    older.push_many("q", &[&b"x"[..]; 4]);
    older.subscribe(1, "q", 2);
    let jobs = older.take(2);
    let waiting = wire::Reserve {
        queue: "empty".to_owned(),
        jobs_max: 1,
        wait_ms: 60_000,
    };
    older.send(FrameType::Reserve, &waiting, b"");
    let mut newer = house.peer_of(&session);
    assert_eq!(newer.welcome.leases_held, 2);
    older.ends_with(ErrorCode::SessionReplaced);
    newer.ack(&jobs[0]);
    newer.ack(&jobs[1]);
    let stats = newer.stats("q");
    assert_eq!((stats.leased, stats.ready, stats.subscriptions), (0, 2, 0));
    assert_eq!(newer.stats("empty").subscriptions, 0);
    // The end of the older connection takes nothing from the newer one.
    newer.subscribe(1, "q", 2);
    let jobs = newer.take(2);
    drop(older);
    newer.push("q", b"later");
    assert_eq!(newer.stats("q").leased, 2);
    newer.ack(&jobs[0]);
}

#[test]
fn two_that_share_a_session_replace_each_other_for_ever_and_harm_nobody() {
    let house = House::start();
    let session = Peer::some_id();
    let mut other = house.peer();
    let mut last = house.peer_of(&session);
    for _ in 0..30 {
        let mut next = house.peer_of(&session);
        last.ends_with(ErrorCode::SessionReplaced);
        next.push("q", b"x");
        last = next;
    }
    other.push("q", b"x");
    assert_eq!(other.stats("q").ready, 31);
}

#[test]
fn whoever_says_goodbye_gets_the_answers_that_are_due() {
    let house = House::start();
    let mut peer = house.peer();
    let mut pushes = Vec::new();
    for _ in 0..100 {
        pushes.push(peer.send(FrameType::Push, &push_of("q", &[b"x"]), b"x"));
    }
    let stats = wire::QueueStatsRequest {
        queue: "q".to_owned(),
        after: String::new(),
    };
    let asked = peer.send(FrameType::QueueStats, &stats, b"");
    peer.send(FrameType::Goodbye, &wire::Goodbye::default(), b"");
    let frames = peer.rest();
    let mut answered: Vec<u64> = frames
        .iter()
        .filter(|frame| frame.kind() == Some(FrameType::Pushed))
        .flat_map(|frame| frame.message::<wire::Pushed>().unwrap().results)
        .map(|result| result.correlation)
        .collect();
    answered.sort_unstable();
    assert_eq!(answered, pushes);
    assert!(frames.iter().any(|frame| frame.correlation == asked));
    assert_eq!(house.peer().stats("q").pushed, 100);
}

#[test]
fn goodbye_gives_jobs_back_and_a_settle_before_it_counts() {
    let house = House::start();
    let mut peer = house.peer();
    peer.push_many("q", &[&b"x"[..]; 2]);
    let jobs = peer.reserve("q", 2, 0);
    let ack = peer.send(FrameType::Ack, &settle_of(&jobs[0]), b"");
    peer.send(FrameType::Goodbye, &wire::Goodbye::default(), b"");
    let frames = peer.rest();
    let is_ok = |frame: &verteilt_protocol::Frame| {
        frame.kind() == Some(FrameType::Ok) && frame.correlation == ack
    };
    assert!(frames.iter().any(is_ok), "{frames:?}");
    let mut other = house.peer();
    let again = other.reserve("q", 2, 5_000);
    assert_eq!((again.len(), again[0].attempt), (1, 2));
    assert_eq!(other.stats("q").done, 1);
}

/// The connection broke behind a DELIVER that never arrived: nobody works on it.
#[test]
fn a_session_that_names_what_it_holds_loses_the_rest_at_once() {
    for restarts in [false, true] {
        let mut house = House::with(|config| config.resume_grace_ms = 20_000);
        let session = Peer::some_id();
        let mut peer = house.peer_of(&session);
        peer.push_many("q", &[&b"x"[..]; 3]);
        let jobs = peer.reserve("q", 3, 0);
        if restarts {
            house.restart();
        }
        let hello = wire::Hello {
            names_leases: true,
            // One of them is held, one under a token of somebody else, one is not known of.
            held_ids: vec![jobs[0].id, jobs[1].id, 77_777],
            held_tokens: vec![jobs[0].token, jobs[1].token + 1, 1],
            ..Peer::hello(&session)
        };
        let mut back = Peer::raw(house.address());
        back.greet(&hello);
        assert_eq!(back.welcome.leases_held, 1);
        let again = house.peer().reserve("q", 3, 5_000);
        let ids: Vec<(u64, u32)> = again.iter().map(|job| (job.id, job.attempt)).collect();
        assert_eq!(ids, [(jobs[1].id, 2), (jobs[2].id, 2)]);
        back.ack(&jobs[0]);
        let late = back.settle(FrameType::Ack, &jobs[1]);
        back.stale(late, jobs[1].id);
    }
}
