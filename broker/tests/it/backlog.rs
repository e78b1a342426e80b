//! A backlog far larger than the cache, drained by several while more comes in and checkpoints
//! move it about.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use verteilt_protocol::{FrameType, wire};

use crate::house::{House, PATIENCE};
use crate::job::body;
use crate::peer::{Peer, push_of, subscribe};

const PUSHERS: u64 = 2;
const FRAMES: u64 = 120;
const JOBS: u64 = 25;
const ALL: u64 = PUSHERS * FRAMES * JOBS;

fn body_of(number: u64) -> Vec<u8> {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.extend(body(number, (number % 17 * 250) as usize));
    bytes
}

fn pusher(mut peer: Peer, from: u64) {
    for frame in 0..FRAMES {
        let first = from + frame * JOBS;
        let bodies: Vec<Vec<u8>> = (first..first + JOBS).map(body_of).collect();
        let slices: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
        peer.push_frame(&push_of("q", &slices), &slices.concat());
    }
}

/// Checks what it gets; releases some once, acks the rest.
fn worker(mut peer: Peer, seen: &Mutex<HashMap<u64, u32>>, done: &AtomicU64) {
    let window = wire::Subscribe {
        credit_bytes: 256 * 1024,
        ..subscribe(1, "q", 64)
    };
    let correlation = peer.send(FrameType::Subscribe, &window, b"");
    peer.ok(correlation);
    let until = Instant::now() + 2 * PATIENCE;
    while done.load(Ordering::Relaxed) < ALL {
        assert!(
            Instant::now() < until,
            "{} of {ALL}",
            done.load(Ordering::Relaxed)
        );
        let wait = std::time::Duration::from_millis(20);
        let Some(frame) = peer.read_within(wait) else {
            continue;
        };
        if frame.kind() != Some(FrameType::Deliver) {
            assert!(matches!(frame.kind(), Some(FrameType::Ok)), "{frame:?}");
            continue;
        }
        for job in peer.whole(&frame) {
            let number = u64::from_le_bytes(job.body[..8].try_into().unwrap());
            assert!(job.body == body_of(number), "body {number}");
            let runs = {
                let mut seen = seen.lock().unwrap();
                let runs = seen.entry(number).or_default();
                *runs += 1;
                *runs
            };
            assert_eq!(
                job.attempt, runs,
                "job {number} runs again for a reason only"
            );
            let release = number.is_multiple_of(9) && runs == 1;
            let kind = if release {
                FrameType::Release
            } else {
                done.fetch_add(1, Ordering::Relaxed);
                FrameType::Ack
            };
            peer.settle(kind, &job);
        }
    }
}

#[test]
fn nothing_is_lost_nothing_comes_twice_and_bodies_are_what_they_were() {
    let house = House::with(|config| {
        config.cache_bytes = 64 * 1024;
        config.checkpoint_bytes = 1024 * 1024;
        config.journal_bytes_max = 64 * 1024 * 1024;
    });
    let seen = Mutex::new(HashMap::new());
    let done = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for number in 0..PUSHERS {
            let peer = house.peer();
            let push = scope.spawn(move || pusher(peer, number * FRAMES * JOBS));
            if number == 0 {
                // A backlog before anyone works on it.
                push.join().unwrap();
                house.peer().checkpoint();
            }
        }
        let mut keeper = house.peer();
        let stop = &stop;
        let keep = scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                keeper.checkpoint();
            }
        });
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let peer = house.peer();
                let (seen, done) = (&seen, &done);
                scope.spawn(move || worker(peer, seen, done))
            })
            .collect();
        let results: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        stop.store(true, Ordering::Relaxed);
        keep.join().unwrap();
        results.into_iter().for_each(|result| result.unwrap());
    });
    let mut peer = house.peer();
    crate::house::eventually("all is done", || peer.stats("q").done == ALL);
    assert_eq!(seen.lock().unwrap().len() as u64, ALL);
}
