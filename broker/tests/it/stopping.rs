//! How a broker ends.

use std::time::Duration;

use verteilt_protocol::{ErrorCode, FrameType, wire};

use crate::house::{House, PATIENCE, eventually};
use crate::peer::{Peer, push_of};

fn is_goodbye(frame: &verteilt_protocol::Frame) -> bool {
    frame.kind() == Some(FrameType::Goodbye)
}

#[test]
fn nothing_new_comes_in_and_what_is_held_may_be_finished() {
    let mut house = House::start();
    let address = house.address();
    let mut peer = house.peer();
    peer.push_many("q", &[&b"x"[..]; 10]);
    peer.subscribe(1, "q", 2);
    let held = peer.take(2);
    let stopping = house.begin_to_stop(PATIENCE);
    // The broker says so at once.
    let goodbye = peer.until(is_goodbye);
    assert_eq!(goodbye.correlation, 0);
    let correlation = peer.send(FrameType::Push, &push_of("q", &[b"x"]), b"x");
    peer.refused(correlation, ErrorCode::ShuttingDown);
    let part = wire::PushPart {
        upload: 1,
        index: 0,
    };
    let correlation = peer.send(FrameType::PushPart, &part, b"x");
    peer.refused(correlation, ErrorCode::ShuttingDown);
    let reserve = wire::Reserve {
        queue: "q".to_owned(),
        jobs_max: 1,
        wait_ms: 0,
    };
    let correlation = peer.send(FrameType::Reserve, &reserve, b"");
    peer.refused(correlation, ErrorCode::ShuttingDown);
    peer.ack(&held[0]);
    assert_eq!(
        peer.stats("q").leased,
        1,
        "no new lease for the free credit"
    );
    assert!(!stopping.is_finished());
    let last = peer.settle(FrameType::Ack, &held[1]);
    let frames = peer.rest();
    let answered = |frame: &verteilt_protocol::Frame| {
        frame.kind() == Some(FrameType::Ok) && frame.correlation == last
    };
    assert!(frames.iter().any(answered), "the last answer is told");
    assert!(!frames.iter().any(is_goodbye), "it says so once");
    let (result, took) = stopping.join().unwrap();
    result.unwrap();
    assert!(took < PATIENCE / 2, "{took:?}");
    assert!(std::net::TcpStream::connect(address).is_err());
    house.go_on();
    let stats = house.peer().stats("q");
    assert_eq!((stats.done, stats.ready, stats.pushed), (2, 8, 10));
}

#[test]
fn a_broker_without_work_in_flight_stops_at_once() {
    let mut house = House::start();
    let mut peer = house.peer();
    peer.push("q", b"x");
    let (result, took) = house.begin_to_stop(PATIENCE).join().unwrap();
    result.unwrap();
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert!(peer.rest().iter().any(is_goodbye));
}

#[test]
fn work_that_does_not_end_is_left_to_the_next_start() {
    let mut house = House::with(|config| config.resume_grace_ms = 20_000);
    let session = Peer::some_id();
    let mut peer = house.peer_of(&session);
    peer.push("q", b"x");
    let job = peer.reserve("q", 1, 0).remove(0);
    let grace = Duration::from_millis(200);
    let (result, took) = house.begin_to_stop(grace).join().unwrap();
    result.unwrap();
    assert!(took >= grace && took < Duration::from_secs(5), "{took:?}");
    house.go_on();
    let mut peer = house.peer_of(&session);
    assert_eq!(peer.welcome.leases_held, 1);
    peer.ack(&job);
}

#[test]
fn a_connection_that_leaves_while_the_broker_stops_does_not_end_its_leases() {
    let mut house = House::with(|config| config.resume_grace_ms = 20_000);
    let session = Peer::some_id();
    let mut peer = house.peer_of(&session);
    peer.push("q", b"x");
    let job = peer.reserve("q", 1, 0).remove(0);
    let stopping = house.begin_to_stop(Duration::from_millis(300));
    peer.until(is_goodbye);
    drop(peer);
    stopping.join().unwrap().0.unwrap();
    house.go_on();
    let mut peer = house.peer_of(&session);
    assert_eq!(peer.welcome.leases_held, 1);
    peer.ack(&job);
}

#[test]
fn health_tells_that_it_stops_and_a_silent_stranger_does_not_hold_it() {
    let mut house = House::start();
    let stranger = Peer::raw(house.address());
    assert!(house.broker().health().ready);
    let (result, took) = house.begin_to_stop(PATIENCE).join().unwrap();
    result.unwrap();
    assert!(took < Duration::from_secs(4), "{took:?}");
    drop(stranger);
}

#[test]
fn dropping_it_is_quick_also_while_jobs_are_held_and_pulls_wait() {
    let mut house = House::start();
    let mut peers: Vec<Peer> = (0..20).map(|_| house.peer()).collect();
    for peer in &mut peers {
        peer.push("q", b"x");
        assert_eq!(peer.reserve("q", 1, 0).len(), 1);
        let wait = wire::Reserve {
            queue: "empty".to_owned(),
            jobs_max: 1,
            wait_ms: 600_000,
        };
        peer.send(FrameType::Reserve, &wait, b"");
    }
    eventually("all wait", || peers[0].stats("empty").subscriptions == 20);
    let began = std::time::Instant::now();
    house.drop_broker();
    assert!(began.elapsed() < Duration::from_secs(4));
    for peer in &mut peers {
        peer.rest();
    }
}
