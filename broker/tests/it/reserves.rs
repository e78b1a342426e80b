//! Jobs asked for once.

use std::time::{Duration, Instant};

use verteilt_protocol::{ErrorCode, FrameType, wire};

use crate::house::House;
use crate::job::body;

fn reserve(queue: &str, jobs_max: u32, wait_ms: u64) -> wire::Reserve {
    wire::Reserve {
        queue: queue.to_owned(),
        jobs_max,
        wait_ms,
    }
}

#[test]
fn a_pull_takes_what_is_there_and_waits_for_nothing_more() {
    let house = House::start();
    let mut peer = house.peer();
    assert!(peer.reserve("q", 5, 0).is_empty());
    peer.push_many("q", &[&b"x"[..]; 3]);
    assert_eq!(peer.reserve("q", 5, 60_000).len(), 3);
    peer.push_many("q", &[&b"x"[..]; 3]);
    assert_eq!(peer.reserve("q", 2, 0).len(), 2);
    let correlation = peer.send(FrameType::Reserve, &reserve("q", 0, 0), b"");
    peer.refused(correlation, ErrorCode::BadArgument);
}

#[test]
fn a_wait_ends_with_a_job_or_with_nothing() {
    let house = House::start();
    let mut peer = house.peer();
    let began = Instant::now();
    assert!(peer.reserve("q", 1, 60).is_empty());
    assert!(began.elapsed() >= Duration::from_millis(59));
    let waiting = peer.send(FrameType::Reserve, &reserve("q", 5, 60_000), b"");
    house.peer().push("q", b"x");
    let frame = peer.answer(waiting);
    assert_eq!(peer.whole(&frame).len(), 1);
}

#[test]
fn a_pull_that_is_given_up_is_answered_once() {
    let house = House::start();
    let mut peer = house.peer();
    let waiting = peer.send(FrameType::Reserve, &reserve("q", 1, 60_000), b"");
    peer.send_empty(FrameType::Cancel, waiting);
    peer.refused(waiting, ErrorCode::Cancelled);
    // Again, of something unknown, and of what was answered: nothing comes.
    peer.send_empty(FrameType::Cancel, waiting);
    peer.send_empty(FrameType::Cancel, 12_345);
    peer.push("q", b"x");
    assert_eq!(peer.stats("q").leased, 0);
    let served = peer.send(FrameType::Reserve, &reserve("q", 1, 60_000), b"");
    peer.send_empty(FrameType::Cancel, served);
    let frame = peer.answer(served);
    if frame.kind() == Some(FrameType::Deliver) {
        let jobs = peer.whole(&frame);
        assert_eq!(jobs.len(), 1);
        peer.ack(&jobs[0]);
    }
    assert!(peer.read_within(Duration::from_millis(30)).is_none());
}

#[test]
fn pulls_are_served_in_turn() {
    let house = House::start();
    let mut peers: Vec<_> = (0..4).map(|_| house.peer()).collect();
    let waiting: Vec<u64> = peers
        .iter_mut()
        .map(|peer| {
            let correlation = peer.send(FrameType::Reserve, &reserve("q", 1, 60_000), b"");
            crate::house::eventually("it waits", || peer.stats("q").subscriptions > 0);
            correlation
        })
        .collect();
    house.peer().push_many("q", &[&b"x"[..]; 4]);
    for (peer, correlation) in peers.iter_mut().zip(waiting) {
        let frame = peer.answer(correlation);
        assert_eq!(peer.whole(&frame).len(), 1);
    }
}

#[test]
fn waiting_pulls_count_as_subscriptions() {
    let house = House::start();
    let mut peer = house.peer();
    let mut last = 0;
    for _ in 0..1_025 {
        last = peer.send(FrameType::Reserve, &reserve("q", 1, 60_000), b"");
    }
    peer.refused(last, ErrorCode::SubscriptionLimit);
}

/// A client takes the first DELIVER of its correlation for the whole answer, and keeps what it
/// holds by token.
#[test]
fn a_pull_has_exactly_one_answer_and_a_token_exactly_one_frame() {
    let house = House::start();
    let mut peer = house.peer();
    for seed in 0..6 {
        peer.push("q", &body(seed, 400_000));
    }
    let correlation = peer.send(FrameType::Reserve, &reserve("q", 6, 0), b"");
    peer.answer(correlation);
    while let Some(frame) = peer.read_within(Duration::from_millis(100)) {
        assert_ne!(frame.correlation, correlation, "a second answer");
    }
    let mut other = house.peer();
    drop(peer);
    other.subscribe(1, "q", 6);
    let mut tokens = std::collections::HashSet::new();
    let mut jobs = 0;
    while jobs < 6 {
        let some = other.jobs();
        jobs += some.len();
        assert!(tokens.insert(some[0].token), "a token in two frames");
    }
}
