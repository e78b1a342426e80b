//! Looking at queues and changing them.

use verteilt_protocol::{ErrorCode, FrameType, split_payload_by, wire};

use crate::house::House;
use crate::peer::Peer;

fn all(peer: &mut Peer, after: &str) -> Vec<String> {
    let request = wire::QueueStatsRequest {
        queue: String::new(),
        after: after.to_owned(),
    };
    let correlation = peer.send(FrameType::QueueStats, &request, b"");
    let reply: wire::QueueStatsReply = peer.message(correlation, FrameType::QueueStatsReply);
    assert!(!reply.more);
    reply.queues.into_iter().map(|queue| queue.queue).collect()
}

#[test]
fn stats_count_every_state() {
    let house = House::start();
    let mut peer = house.peer();
    assert!(all(&mut peer, "").is_empty());
    peer.push("b", b"x");
    peer.push("a.x", b"x");
    peer.push("c", b"x");
    assert_eq!(all(&mut peer, ""), ["a.x", "b", "c"]);
    assert_eq!(all(&mut peer, "b"), ["c"]);
    for request in [
        FrameType::QueueStats,
        FrameType::QueuePeek,
        FrameType::QueuePurge,
    ] {
        let unknown = wire::QueueStatsRequest {
            queue: "unknown".to_owned(),
            after: String::new(),
        };
        let correlation = peer.send(request, &unknown, b"");
        peer.refused(correlation, ErrorCode::QueueUnknown);
    }
}

#[test]
fn a_paused_queue_hands_nothing_out_also_after_a_restart() {
    let mut house = House::start();
    let mut peer = house.peer();
    peer.push_many("q", &[&b"x"[..]; 2]);
    let held = peer.reserve("q", 1, 0).remove(0);
    let pause = |paused| wire::QueuePause {
        queue: "q".to_owned(),
        paused,
    };
    let correlation = peer.send(FrameType::QueuePause, &pause(true), b"");
    peer.ok(correlation);
    assert!(peer.stats("q").paused);
    assert!(peer.reserve("q", 1, 0).is_empty());
    peer.ack(&held);
    house.restart();
    let mut peer = house.peer();
    assert!(peer.reserve("q", 1, 0).is_empty());
    peer.subscribe(1, "q", 1);
    let correlation = peer.send(FrameType::QueuePause, &pause(false), b"");
    peer.ok(correlation);
    assert_eq!(peer.take(1).len(), 1);
}

#[test]
fn purge_takes_what_nobody_holds_in_steps() {
    let house = House::start();
    let mut peer = house.peer();
    peer.push_many("q", &vec![&b"x"[..]; 2_500]);
    let held = peer.reserve("q", 100, 0);
    let delay = wire::JobOptions {
        delay_ms: 60_000,
        ..wire::JobOptions::default()
    };
    peer.push_with("q", delay, &[b"later"]);
    let purge = wire::QueuePurge {
        queue: "q".to_owned(),
        jobs_max: 1_000,
    };
    let mut steps = Vec::new();
    loop {
        let correlation = peer.send(FrameType::QueuePurge, &purge, b"");
        let purged: wire::QueuePurged = peer.message(correlation, FrameType::QueuePurged);
        steps.push(purged.jobs);
        if !purged.more {
            break;
        }
    }
    assert_eq!(steps, [1_000, 1_000, 401]);
    peer.ack(&held[0]);
    let stats = peer.stats("q");
    assert_eq!(
        (stats.leased, stats.ready, stats.scheduled, stats.done),
        (99, 0, 0, 1)
    );
}

#[test]
fn peek_shows_bodies_and_changes_nothing() {
    let house = House::start();
    let mut peer = house.peer();
    let bodies: Vec<Vec<u8>> = (0..50).map(|at| vec![at; 20_000]).collect();
    for body in &bodies {
        peer.push("q", body);
    }
    peer.checkpoint();
    let peek = wire::QueuePeek {
        queue: "q".to_owned(),
        state: 0,
        jobs_max: 1_000,
    };
    let correlation = peer.send(FrameType::QueuePeek, &peek, b"");
    let frame = peer.answer(correlation);
    let peeked: wire::QueuePeeked = frame.message().unwrap();
    assert_eq!(peeked.jobs.len(), 50);
    let lengths = peeked
        .jobs
        .iter()
        .map(|job| (job.header_length, job.body_length));
    let slices = split_payload_by(&frame.payload, lengths).unwrap();
    for ((slice, job), body) in slices.zip(&peeked.jobs).zip(&bodies) {
        assert_eq!(job.body_bytes, 20_000);
        assert!(!slice.body.is_empty() && body.starts_with(&slice.body));
        assert_eq!(job.attempts, 0);
    }
    assert_eq!(peer.reserve("q", 1, 0)[0].attempt, 1);
    let waiting = wire::QueuePeek {
        state: wire::JobState::Waiting.into(),
        ..peek
    };
    let correlation = peer.send(FrameType::QueuePeek, &waiting, b"");
    peer.refused(correlation, ErrorCode::BadArgument);
}

#[test]
fn a_checkpoint_holds_what_was_acknowledged_before_it() {
    let house = House::start();
    let mut peer = house.peer();
    let empty = peer.checkpoint();
    peer.push("q", b"x");
    let one = peer.checkpoint();
    assert!(one > empty);
    assert_eq!(peer.checkpoint(), one, "nothing happened between");
    // Several at once are all answered.
    let mut asked = Vec::new();
    for _ in 0..5 {
        peer.push("q", b"x");
        asked.push(peer.send(FrameType::Checkpoint, &wire::Checkpoint {}, b""));
    }
    let mut last = one;
    for correlation in asked {
        let done: wire::CheckpointDone = peer.message(correlation, FrameType::CheckpointDone);
        assert!(done.lsn >= last);
        last = done.lsn;
    }
    assert!(last >= one + 5);
}
