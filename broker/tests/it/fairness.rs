//! Equal workers get equal shares, a slow one only what it can hold.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use verteilt_protocol::FrameType;

use crate::house::{House, eventually};
use crate::peer::{Peer, settle_of};

const WORKERS: usize = 8;
const JOBS: u64 = 100_000;
const CREDIT: u32 = 64;
const BATCH: usize = 250;

fn work(mut peer: Peer, start: &Barrier, done: &AtomicU64) -> u64 {
    peer.subscribe(1, "q", CREDIT);
    start.wait();
    let mut mine = 0;
    let mut out = BytesMut::new();
    while done.load(Ordering::Relaxed) < JOBS {
        let Some(frame) = peer.read_within(Duration::from_millis(20)) else {
            continue;
        };
        if frame.kind() != Some(FrameType::Deliver) {
            continue;
        }
        let jobs = peer.whole(&frame);
        assert!(jobs.len() <= CREDIT as usize);
        out.clear();
        for job in &jobs {
            peer.put(&mut out, FrameType::Ack, &settle_of(job), b"");
        }
        peer.send_bytes(&out);
        mine += jobs.len() as u64;
        done.fetch_add(jobs.len() as u64, Ordering::Relaxed);
    }
    mine
}

#[test]
fn eight_equal_workers_get_equal_shares_and_a_slow_one_holds_its_credit() {
    let house = House::with(|config| config.checkpoint_bytes = 2 * 1024 * 1024);
    let start = Barrier::new(WORKERS + 1);
    let done = AtomicU64::new(0);
    let mut slow = house.peer();
    slow.subscribe(1, "q", 7);
    let shares: Vec<u64> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|_| {
                let peer = house.peer();
                let (start, done) = (&start, &done);
                scope.spawn(move || work(peer, start, done))
            })
            .collect();
        start.wait();
        let mut pusher = house.peer();
        // Workers are equal when all of them wait for work; the machine must not decide who is
        // quicker.
        pusher.push_many("q", &[&b"for the slow one"[..]; 7]);
        let bodies = [&b"a job of some bytes"[..]; BATCH];
        for batch in 1..=JOBS / BATCH as u64 {
            pusher.push_many("q", &bodies);
            eventually("the batch is done", || {
                done.load(Ordering::Relaxed) == batch * BATCH as u64
            });
        }
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .collect()
    });
    let mean = shares.iter().sum::<u64>() / WORKERS as u64;
    assert_eq!(shares.iter().sum::<u64>(), JOBS);
    for share in &shares {
        assert!(share.abs_diff(mean) * 10 <= mean, "{shares:?}");
    }
    // The slow one took nothing off its hands, and was given nothing more.
    assert_eq!(slow.take(7).len(), 7);
    let stats = slow.stats("q");
    assert_eq!(stats.leased, 7);
    assert!(!slow.has_parked(FrameType::Deliver));
}
