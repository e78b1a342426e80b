//! A push that comes twice is taken once.

use verteilt_protocol::limits::PRODUCER_WINDOW;
use verteilt_protocol::{ErrorCode, FrameType, wire};

use crate::house::House;
use crate::peer::{Peer, push_of};

fn numbered(producer: &[u8], sequence: u64, bodies: &[&[u8]]) -> wire::Push {
    wire::Push {
        producer: producer.to_vec().into(),
        sequence,
        ..push_of("q", bodies)
    }
}

#[test]
fn a_client_that_reconnects_after_a_lost_answer_does_not_push_twice() {
    let mut house = House::start();
    let producer = Peer::some_id();
    let push = numbered(&producer, 1, &[b"a", b"b"]);
    // Its answer is never read.
    house.peer().send(FrameType::Push, &push, b"ab");
    let first = house.peer().push_frame(&push, b"ab");
    // Whether the first connection was served before it closed is open; that it counts once is not.
    let mut peer = house.peer();
    assert_eq!(peer.stats("q").pushed, 2);
    let again = peer.push_frame(&push, b"ab");
    assert!(again.duplicate);
    assert_eq!((again.first_id, again.count), (first.first_id, 2));

    for round in 0..3 {
        house.restart();
        let mut peer = house.peer();
        let again = peer.push_frame(&push, b"ab");
        assert!(again.duplicate, "after restart {round}");
        assert_eq!((again.first_id, again.count), (first.first_id, 2));
        peer.checkpoint();
    }
    let mut peer = house.peer();
    let job = peer.reserve("q", 1, 0).remove(0);
    peer.ack(&job);
    let again = peer.push_frame(&push, b"ab");
    assert!(again.duplicate, "also when the job is done");
    assert_eq!(peer.stats("q").pushed, 2);
}

#[test]
fn gaps_may_be_filled_and_what_is_behind_the_window_is_refused() {
    let house = House::start();
    let mut peer = house.peer();
    let producer = Peer::some_id();
    assert!(
        !peer
            .push_frame(&numbered(&producer, 5, &[b"x"]), b"x")
            .duplicate
    );
    assert!(
        !peer
            .push_frame(&numbered(&producer, 3, &[b"x"]), b"x")
            .duplicate
    );
    assert!(
        peer.push_frame(&numbered(&producer, 5, &[b"x"]), b"x")
            .duplicate
    );
    let far = 5 + PRODUCER_WINDOW;
    assert!(
        !peer
            .push_frame(&numbered(&producer, far, &[b"x"]), b"x")
            .duplicate
    );
    for old in [3, 4, 5] {
        let correlation = peer.send(FrameType::Push, &numbered(&producer, old, &[b"x"]), b"x");
        peer.refused(correlation, ErrorCode::SequenceTooOld);
    }
    assert!(
        !peer
            .push_frame(&numbered(&producer, 6, &[b"x"]), b"x")
            .duplicate
    );
    // Another producer counts for itself.
    let other = Peer::some_id();
    assert!(
        !peer
            .push_frame(&numbered(&other, 5, &[b"x"]), b"x")
            .duplicate
    );
}

#[test]
fn a_refused_push_may_come_again_under_its_number() {
    let house = House::start();
    let mut peer = house.peer();
    let producer = Peer::some_id();
    let bad = wire::Push {
        queue: "No".to_owned(),
        ..numbered(&producer, 1, &[b"x"])
    };
    let correlation = peer.send(FrameType::Push, &bad, b"x");
    peer.refused(correlation, ErrorCode::BadName);
    assert!(
        !peer
            .push_frame(&numbered(&producer, 1, &[b"x"]), b"x")
            .duplicate
    );
}

#[test]
fn bad_producers_are_refused() {
    let house = House::start();
    let mut peer = house.peer();
    for (producer, sequence) in [(&[1u8; 15][..], 1), (&[1; 17], 1), (&[1; 16], 0)] {
        let push = numbered(producer, sequence, &[b"x"]);
        let correlation = peer.send(FrameType::Push, &push, b"x");
        peer.refused(correlation, ErrorCode::BadArgument);
    }
    // Without a producer the number means nothing.
    for _ in 0..2 {
        assert!(!peer.push_frame(&numbered(b"", 7, &[b"x"]), b"x").duplicate);
    }
}

#[test]
fn what_memory_pushes_leave_behind_is_known_until_the_broker_stops() {
    let house = House::start();
    let mut peer = house.peer();
    let producer = Peer::some_id();
    let options = wire::JobOptions {
        durability: wire::Durability::Memory.into(),
        ..wire::JobOptions::default()
    };
    let push = wire::Push {
        options: Some(options),
        ..numbered(&producer, 1, &[b"x"])
    };
    let first = peer.push_frame(&push, b"x");
    let again = peer.push_frame(&push, b"x");
    assert!(again.duplicate && again.first_id == first.first_id);
    assert_eq!(again.durability(), wire::Durability::Memory);
}
