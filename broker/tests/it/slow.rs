//! Slow readers are held, not buffered; and nobody waits for them.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use verteilt_protocol::limits::CREDIT_BYTES_MAX;
use verteilt_protocol::{FrameType, wire};

use crate::house::{House, eventually};
use crate::job::body;
use crate::peer::{Peer, subscribe};

/// Bytes of memory that this process holds.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

fn fill(peer: &mut Peer, queue: &str, jobs: u64, bytes: usize) {
    for seed in 0..jobs {
        peer.wait_for_credit();
        peer.push(queue, &body(seed, bytes));
    }
}

#[test]
fn a_worker_that_does_not_read_is_given_what_its_window_holds_and_then_waits() {
    let house = House::start();
    let mut pusher = house.peer();
    fill(&mut pusher, "q", 150, 200_000);
    let mut slow = house.peer();
    let window = wire::Subscribe {
        credit_bytes: 10_000_000,
        ..subscribe(1, "q", 65_536)
    };
    slow.send(FrameType::Subscribe, &window, b"");
    eventually("its window is full", || pusher.stats("q").leased == 50);
    // Others are served meanwhile, from the same queue, too.
    let mut other = house.peer();
    for job in other.take_reserved("q", 10) {
        other.ack(&job);
    }
    assert_eq!(pusher.stats("q").leased, 50);
    // It wakes up, and everything arrives.
    let mut got = 0;
    while got < 140 {
        for job in slow.jobs() {
            let seed = job.id - 1;
            assert!(job.body == body(seed, 200_000));
            slow.settle(FrameType::Ack, &job);
            got += 1;
        }
    }
    eventually("all is done", || pusher.stats("q").done == 150);
}

#[test]
fn large_bodies_for_one_that_does_not_read_wait_where_they_are() {
    let house = House::with(|config| config.cache_bytes = 1024 * 1024);
    let mut pusher = house.peer();
    let bytes = body(7, 30_000_000);
    for upload in 1..=2 {
        let pieces: Vec<&[u8]> = bytes.chunks(900_000).collect();
        for (index, piece) in pieces.iter().enumerate() {
            pusher.wait_for_credit();
            let part = wire::PushPart {
                upload,
                index: index as u32,
            };
            let correlation = pusher.send(FrameType::PushPart, &part, piece);
            pusher.ok(correlation);
        }
        let push = wire::Push {
            upload,
            upload_parts: pieces.len() as u32,
            ..crate::peer::push_of("q", &[b"end"])
        };
        pusher.push_frame(&push, b"end");
    }
    let mut slow = house.peer();
    let window = wire::Subscribe {
        credit_bytes: CREDIT_BYTES_MAX,
        ..subscribe(1, "q", 2)
    };
    slow.send(FrameType::Subscribe, &window, b"");
    eventually("both are leased", || pusher.stats("q").leased == 2);
    fill(&mut pusher, "other", 20, 100_000);
    for job in slow.take(2) {
        let (whole, end) = job.body.split_at(bytes.len());
        assert!(whole == bytes && end == b"end");
        slow.ack(&job);
    }
}

/// Sends requests until the socket takes no more for a while; bytes sent.
fn flood(peer: &mut Peer, requests: &[u8], bytes_max: usize) -> usize {
    peer.stream
        .set_write_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    let mut sent = 0;
    while sent < bytes_max {
        match std::io::Write::write(&mut peer.stream, &requests[sent % requests.len()..]) {
            Ok(bytes) => sent += bytes,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return sent;
            }
            Err(error) => panic!("{error}"),
        }
    }
    sent
}

#[test]
fn whoever_asks_and_does_not_read_is_read_no_further() {
    let house = House::start();
    let mut other = house.peer();
    other.push("q", b"x");
    let mut deaf = house.peer();
    // Each is refused with an answer five times as long.
    let unknown = wire::Unsubscribe { subscription: 9 };
    let mut requests = BytesMut::new();
    for _ in 0..10_000 {
        deaf.put(&mut requests, FrameType::Unsubscribe, &unknown, b"");
    }
    let bytes_max = 256 * 1024 * 1024;
    let sent = flood(&mut deaf, &requests, bytes_max);
    assert!(
        sent < bytes_max / 2,
        "{sent} bytes were read without an answer taken"
    );
    let began = Instant::now();
    for at in 0..20u8 {
        other.push("q", &[at]);
        let job = other.reserve("q", 1, 1_000).remove(0);
        other.ack(&job);
    }
    assert!(began.elapsed() < Duration::from_secs(5));
    // It reads again, and the broker reads it again.
    let mut answers = 0;
    while answers < sent / requests.len() * 10_000 {
        let frame = deaf.next();
        assert_eq!(frame.kind(), Some(FrameType::Error));
        answers += 1;
    }
}

#[test]
fn short_requests_with_long_answers_do_not_fill_the_memory() {
    let house = House::start();
    let mut deaf = house.peer();
    fill(&mut deaf, "q", 4, 600_000);
    let peek = wire::QueuePeek {
        queue: "q".to_owned(),
        state: 0,
        jobs_max: 1_000,
    };
    let before = resident_bytes();
    let mut requests = BytesMut::new();
    let count = 3_000;
    for _ in 0..count {
        deaf.put(&mut requests, FrameType::QueuePeek, &peek, b"");
    }
    deaf.send_bytes(&requests);
    let mut other = house.peer();
    for _ in 0..20 {
        other.push("other", b"x");
        std::thread::sleep(Duration::from_millis(10));
    }
    let grown = resident_bytes().saturating_sub(before);
    // All the answers are 1.5 GB.
    assert!(grown < 500_000_000, "{grown} bytes more");
    for _ in 0..count {
        let frame = deaf.next();
        assert_eq!(frame.kind(), Some(FrameType::QueuePeeked));
    }
}
