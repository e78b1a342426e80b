//! What is said first.

use std::time::{Duration, Instant};

use verteilt_protocol::{
    CAPABILITY_JOBS, CAPABILITY_REQUESTS, CAPABILITY_TOPICS, ErrorCode, FrameType, limits, wire,
};

use crate::house::{House, eventually};
use crate::peer::Peer;

#[test]
fn welcome_tells_what_the_broker_takes() {
    let house = House::start();
    let one = house.peer().welcome;
    assert_eq!((one.version, one.epoch, one.leases_held), (1, 1, 0));
    let all = [CAPABILITY_JOBS, CAPABILITY_TOPICS, CAPABILITY_REQUESTS];
    assert_eq!(one.capabilities, all);
    assert_eq!(one.broker_id.len(), 16);
    assert_eq!(one.heartbeat_ms, limits::HEARTBEAT_MS);
    assert_eq!(one.push_credit, limits::PUSH_CREDIT_BYTES);
    let told = one.limits.unwrap();
    assert_eq!(told.frame_bytes as usize, limits::FRAME_BYTES_MAX);
    assert_eq!(told.body_bytes, limits::BODY_BYTES_MAX);
    assert_eq!(told.batch_jobs as usize, limits::BATCH_JOBS_MAX);
    assert_eq!(house.peer().welcome.broker_id, one.broker_id);
}

#[test]
fn a_later_version_that_speaks_ours_too_is_welcome() {
    let house = House::start();
    let mut peer = Peer::raw(house.address());
    let hello = wire::Hello {
        version_max: 9,
        ..Peer::hello(&[7; 16])
    };
    peer.greet(&hello);
    assert_eq!(peer.welcome.version, 1);
}

#[test]
fn a_hello_that_cannot_be_served_is_refused() {
    let house = House::start();
    let good = Peer::hello(&Peer::some_id());
    let namespace = |name: &str| wire::Hello {
        namespace: name.to_owned(),
        ..good.clone()
    };
    let versions = |version_min, version_max| wire::Hello {
        version_min,
        version_max,
        ..good.clone()
    };
    let held = |held_ids: &[u64]| wire::Hello {
        names_leases: true,
        held_ids: held_ids.to_vec(),
        ..good.clone()
    };
    let cases = [
        (held(&[1]), ErrorCode::BadArgument),
        (versions(2, 3), ErrorCode::VersionUnsupported),
        (versions(0, 0), ErrorCode::VersionUnsupported),
        (Peer::hello(b"short"), ErrorCode::BadArgument),
        (Peer::hello(&[1; 17]), ErrorCode::BadArgument),
        (Peer::hello(b""), ErrorCode::BadArgument),
        (namespace("Upper"), ErrorCode::BadName),
        (namespace(&"n".repeat(201)), ErrorCode::BadName),
        (namespace("-"), ErrorCode::BadName),
    ];
    for (hello, code) in cases {
        let mut peer = Peer::raw(house.address());
        peer.send(FrameType::Hello, &hello, b"");
        peer.ends_with(code);
    }
}

#[test]
fn a_long_client_name_is_cut_and_no_reason_to_refuse() {
    let house = House::start();
    let hello = wire::Hello {
        client_name: "ü".repeat(150),
        ..Peer::hello(&Peer::some_id())
    };
    Peer::raw(house.address()).greet(&hello);
    let huge = wire::Hello {
        client_name: "x".repeat(300 * 1024),
        ..hello
    };
    let mut peer = Peer::raw(house.address());
    peer.send(FrameType::Hello, &huge, b"");
    peer.ends_with(ErrorCode::MalformedMessage);
}

#[test]
fn hello_comes_first_and_once() {
    let house = House::start();
    let mut peer = Peer::raw(house.address());
    peer.send(FrameType::Checkpoint, &wire::Checkpoint {}, b"");
    peer.ends_with(ErrorCode::HandshakeExpected);

    let mut peer = house.peer();
    let again = peer.send(FrameType::Hello, &Peer::hello(&[1; 16]), b"");
    peer.refused(again, ErrorCode::UnexpectedFrame);
    peer.push("q", b"goes on");
}

#[test]
fn who_says_nothing_or_half_a_hello_is_closed() {
    let house = House::with(|config| config.handshake_deadline_ms = 100);
    let mut silent = Peer::raw(house.address());
    let mut half = Peer::raw(house.address());
    half.send_bytes(&[40, 0, 0, 0, 1]);
    let began = Instant::now();
    silent.ends_with(ErrorCode::HandshakeTimeout);
    half.ends_with(ErrorCode::HandshakeTimeout);
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn namespaces_do_not_see_each_other() {
    let house = House::start();
    let mut ours = house.peer();
    ours.push("same", b"ours");
    let mut theirs = Peer::raw(house.address());
    let hello = wire::Hello {
        namespace: "theirs".to_owned(),
        ..Peer::hello(&Peer::some_id())
    };
    theirs.greet(&hello);
    assert!(theirs.reserve("same", 1, 0).is_empty());
    theirs.push("same", b"theirs");
    assert_eq!(theirs.reserve("same", 9, 0)[0].body, b"theirs");
    assert_eq!(ours.reserve("same", 9, 0)[0].body, b"ours");
}

#[test]
fn connections_have_a_limit_and_a_closed_one_makes_room() {
    let house = House::with(|config| config.connections_max = 2);
    let first = house.peer();
    let mut second = house.peer();
    Peer::raw(house.address()).ends_with(ErrorCode::ConnectionLimit);
    drop(first);
    eventually("room for another one", || {
        let mut third = Peer::raw(house.address());
        third.send(FrameType::Hello, &Peer::hello(&[9; 16]), b"");
        third.next().kind() == Some(FrameType::Welcome)
    });
    second.push("q", b"the other one goes on");
}
