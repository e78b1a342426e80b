//! Windows onto a queue.

use verteilt_protocol::limits::SUBSCRIPTIONS_MAX;
use verteilt_protocol::{ErrorCode, FrameType, wire};

use crate::house::{House, eventually};
use crate::peer::{Peer, subscribe};

fn set(peer: &mut Peer, subscribe: &wire::Subscribe) {
    let correlation = peer.send(FrameType::Subscribe, subscribe, b"");
    peer.ok(correlation);
}

#[test]
fn a_subscription_holds_no_more_jobs_than_its_credit() {
    let house = House::start();
    let mut peer = house.peer();
    peer.push_many("q", &[&b"x"[..]; 10]);
    peer.subscribe(1, "q", 3);
    let mut held = peer.take(3);
    let mut kinds = [FrameType::Ack, FrameType::Nack, FrameType::Release]
        .into_iter()
        .cycle();
    for _ in 0..7 {
        assert_eq!(peer.stats("q").leased, 3);
        let job = held.remove(0);
        let correlation = peer.settle(kinds.next().unwrap(), &job);
        peer.ok(correlation);
        held.extend(peer.take(1));
    }
    assert!(!peer.has_parked(FrameType::Deliver));
}

#[test]
fn bytes_count_too_and_one_job_is_always_allowed() {
    let house = House::start();
    let mut peer = house.peer();
    peer.push_many(
        "q",
        &[&[0; 1_000], &[1; 1_000], &[2; 1_000], &[3; 9_000], &[4; 10]],
    );
    let window = wire::Subscribe {
        credit_bytes: 2_500,
        ..subscribe(1, "q", 100)
    };
    set(&mut peer, &window);
    let two = peer.take(2);
    assert_eq!(peer.stats("q").leased, 2);
    peer.ack(&two[0]);
    let third = peer.take(1).remove(0);
    peer.ack(&two[1]);
    assert_eq!(
        peer.stats("q").leased,
        1,
        "the large one waits, and nobody overtakes it"
    );
    peer.ack(&third);
    let large = peer.take(1).remove(0);
    assert_eq!(large.body.len(), 9_000);
    assert_eq!(peer.stats("q").leased, 1);
    peer.ack(&large);
    assert_eq!(peer.take(1)[0].body.len(), 10);
}

#[test]
fn a_window_can_be_changed_and_held() {
    let house = House::start();
    let mut peer = house.peer();
    peer.push_many("q", &[&b"x"[..]; 10]);
    peer.subscribe(1, "q", 0);
    assert_eq!(peer.stats("q").leased, 0);
    peer.subscribe(1, "q", 4);
    let held = peer.take(4);
    peer.subscribe(1, "q", 2);
    for (job, leased) in held.iter().zip([3, 2, 2, 2]) {
        peer.ack(job);
        eventually("the window moves", || peer.stats("q").leased == leased);
    }
    assert_eq!(peer.take(2).len(), 2);
}

#[test]
fn numbers_are_checked() {
    let house = House::start();
    let mut peer = house.peer();
    let refused = |peer: &mut Peer, number, queue, code| {
        let correlation = peer.send(FrameType::Subscribe, &subscribe(number, queue, 1), b"");
        peer.refused(correlation, code);
    };
    refused(&mut peer, 0, "q", ErrorCode::BadArgument);
    peer.subscribe(1, "q", 1);
    refused(&mut peer, 1, "other", ErrorCode::SubscriptionExists);
    for number in 2..=SUBSCRIPTIONS_MAX as u64 {
        peer.send(FrameType::Subscribe, &subscribe(number, "q", 1), b"");
    }
    refused(&mut peer, 5_000, "q", ErrorCode::SubscriptionLimit);
    let unknown = wire::Unsubscribe {
        subscription: 5_000,
    };
    let correlation = peer.send(FrameType::Unsubscribe, &unknown, b"");
    peer.refused(correlation, ErrorCode::SubscriptionUnknown);
    assert_eq!(peer.stats("q").subscriptions, SUBSCRIPTIONS_MAX as u64);
}

#[test]
fn what_is_held_stays_held_when_a_subscription_ends() {
    let house = House::start();
    let mut peer = house.peer();
    peer.push_many("q", &[&b"x"[..]; 4]);
    peer.subscribe(1, "q", 2);
    let held = peer.take(2);
    let end = wire::Unsubscribe { subscription: 1 };
    let correlation = peer.send(FrameType::Unsubscribe, &end, b"");
    peer.ok(correlation);
    peer.ack(&held[0]);
    peer.ack(&held[1]);
    let stats = peer.stats("q");
    assert_eq!(
        (stats.done, stats.leased, stats.ready, stats.subscriptions),
        (2, 0, 2, 0)
    );
}

#[test]
fn subscriptions_of_many_queues_are_told_apart() {
    let house = House::start();
    let mut peer = house.peer();
    for number in 1..=20 {
        peer.subscribe(number, &format!("q{number}"), 1);
    }
    for number in (1..=20).rev() {
        peer.push(&format!("q{number}"), number.to_string().as_bytes());
        let frame = peer.next_of(FrameType::Deliver);
        let (deliver, jobs) = crate::job::jobs_of(&frame);
        assert_eq!(deliver.subscription, number);
        assert_eq!(frame.correlation, 0);
        assert_eq!(jobs[0].body, number.to_string().as_bytes());
    }
}

#[test]
fn a_queue_limit_is_told() {
    let house = House::with(|config| config.queues_max = 2);
    let mut peer = house.peer();
    peer.push("a", b"x");
    peer.subscribe(1, "b", 1);
    let correlation = peer.send(FrameType::Subscribe, &subscribe(2, "c", 1), b"");
    peer.refused(correlation, ErrorCode::QueueLimit);
    let push = crate::peer::push_of("c", &[b"x"]);
    let correlation = peer.send(FrameType::Push, &push, b"x");
    peer.refused(correlation, ErrorCode::QueueLimit);
    peer.push("b", b"goes on");
}
