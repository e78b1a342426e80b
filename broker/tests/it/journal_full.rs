//! The journal is as full as it may be.

use std::time::{Duration, Instant};

use verteilt_protocol::{ErrorCode, FrameType, wire};

use crate::house::{House, PATIENCE};
use crate::job::body;
use crate::peer::push_of;

const FULL: u64 = 16 * 1024 * 1024;

/// Checkpoints come by themselves only at half of it; pushes wait then, and go on.
#[test]
fn pushes_are_held_and_go_on_and_acks_are_taken_all_the_while() {
    let house = House::with(|config| {
        config.journal_bytes_max = FULL;
        config.checkpoint_bytes = FULL / 2;
    });
    let mut worker = house.peer();
    worker.push_many("q", &[&b"x"[..]; 100]);
    let mut held = worker.reserve("q", 100, 0);
    let mut pusher = house.peer();
    let body = body(1, 250_000);
    let began = Instant::now();
    let (mut taken, mut busy) = (0, 0);
    while taken < 60 * 1024 * 1024 {
        assert!(
            began.elapsed() < 2 * PATIENCE,
            "{taken} taken, {busy} refused"
        );
        pusher.wait_for_credit();
        let correlation = pusher.send(FrameType::Push, &push_of("big", &[&body]), &body);
        let frame = pusher
            .until(|frame| matches!(frame.kind(), Some(FrameType::Pushed | FrameType::Error)));
        if frame.kind() == Some(FrameType::Error) {
            let error: wire::Error = frame.message().unwrap();
            assert_eq!(
                (error.code, frame.correlation),
                (ErrorCode::Busy.number(), correlation)
            );
            assert!(error.retryable);
            busy += 1;
            std::thread::sleep(Duration::from_millis(5));
        } else {
            taken += body.len();
        }
        if let Some(job) = held.pop() {
            worker.ack(&job);
        }
    }
    let used = std::fs::read_dir(house.data().join("journal")).unwrap();
    let used: u64 = used
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    // What is written, and the segments that wait to be used.
    assert!(used <= FULL / 4 * 5 + 8 * 4 * 1024 * 1024, "{used}");
}
