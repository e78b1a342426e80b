//! Bodies larger than a frame.

use std::time::Instant;

use verteilt_protocol::limits::{BODY_BYTES_MAX, PART_BYTES};
use verteilt_protocol::{ErrorCode, FrameType, wire};

use crate::house::{House, PATIENCE};
use crate::job::body;
use crate::peer::{Peer, push_of, subscribe};

fn part(upload: u64, index: u32) -> wire::PushPart {
    wire::PushPart { upload, index }
}

/// Sends all but the last piece as parts, without waiting; then the PUSH.
fn upload(peer: &mut Peer, number: u64, queue: &str, bytes: &[u8]) -> u64 {
    let mut pieces: Vec<&[u8]> = bytes.chunks(PART_BYTES).collect();
    let last = pieces.pop().unwrap_or_default();
    let mut sent = Vec::new();
    for (index, piece) in pieces.iter().enumerate() {
        peer.wait_for_credit();
        sent.push(peer.send(FrameType::PushPart, &part(number, index as u32), piece));
    }
    let push = wire::Push {
        upload: number,
        upload_parts: pieces.len() as u32,
        ..push_of(queue, &[last])
    };
    let result = peer.push_frame(&push, last);
    for correlation in sent {
        peer.ok(correlation);
    }
    assert_eq!(result.durability(), wire::Durability::Disk);
    result.first_id
}

#[test]
fn sixty_four_mebibytes_come_out_as_they_went_in() {
    let mut house = House::with(|config| config.cache_bytes = 64 * 1024);
    let mut peer = house.peer();
    let bytes = body(1, BODY_BYTES_MAX as usize);
    let id = upload(&mut peer, 1, "q", &bytes);
    let jobs = peer.reserve("q", 1, 0);
    assert_eq!(jobs[0].id, id);
    assert!(jobs[0].body == bytes, "from the journal");
    peer.checkpoint();
    house.restart();
    let mut peer = house.peer();
    let jobs = peer.reserve("q", 1, 5_000);
    assert!(jobs[0].body == bytes, "from the store");
    assert_eq!(jobs[0].attempt, 2);
    peer.ack(&jobs[0]);
}

#[test]
fn one_byte_more_is_too_large() {
    let house = House::start();
    let mut peer = house.peer();
    let piece = vec![7; PART_BYTES];
    let whole = BODY_BYTES_MAX as usize / PART_BYTES;
    for index in 0..whole {
        peer.wait_for_credit();
        let correlation = peer.send(FrameType::PushPart, &part(1, index as u32), &piece);
        peer.ok(correlation);
    }
    let room = BODY_BYTES_MAX as usize - whole * PART_BYTES;
    peer.wait_for_credit();
    let over = &piece[..room + 1];
    let correlation = peer.send(FrameType::PushPart, &part(1, whole as u32), over);
    peer.refused(correlation, ErrorCode::BodyTooLarge);
    let push = wire::Push {
        upload: 1,
        upload_parts: whole as u32,
        ..push_of("q", &[over])
    };
    peer.wait_for_credit();
    let correlation = peer.send(FrameType::Push, &push, over);
    peer.refused(correlation, ErrorCode::BodyTooLarge);
    let exact = &piece[..room];
    let push = wire::Push {
        upload: 1,
        upload_parts: whole as u32,
        ..push_of("q", &[exact])
    };
    assert_eq!(peer.push_frame(&push, exact).count, 1);
}

#[test]
fn parts_that_do_not_follow_one_another_are_refused() {
    let house = House::start();
    let mut peer = house.peer();
    let cases = [
        (part(1, 1), ErrorCode::UploadUnknown),
        (part(0, 0), ErrorCode::BadArgument),
    ];
    for (message, code) in cases {
        let correlation = peer.send(FrameType::PushPart, &message, b"x");
        peer.refused(correlation, code);
    }
    let correlation = peer.send(FrameType::PushPart, &part(1, 0), b"");
    peer.refused(correlation, ErrorCode::BadArgument);

    let correlation = peer.send(FrameType::PushPart, &part(1, 0), b"one");
    peer.ok(correlation);
    for index in [0, 2] {
        let correlation = peer.send(FrameType::PushPart, &part(1, index), b"x");
        peer.refused(correlation, ErrorCode::UploadUnknown);
    }
    for (upload, upload_parts) in [(1, 0), (1, 2), (2, 1)] {
        let push = wire::Push {
            upload,
            upload_parts,
            ..push_of("q", &[b"x"])
        };
        let correlation = peer.send(FrameType::Push, &push, b"x");
        peer.refused(correlation, ErrorCode::UploadUnknown);
    }
    let two = wire::Push {
        upload: 1,
        upload_parts: 1,
        ..push_of("q", &[b"x", b"y"])
    };
    let correlation = peer.send(FrameType::Push, &two, b"xy");
    peer.refused(correlation, ErrorCode::BadArgument);
    let push = wire::Push {
        upload: 1,
        upload_parts: 1,
        header_lengths: vec![2],
        ..push_of("q", &[b" and the rest"])
    };
    peer.push_frame(&push, b"hh and the rest");
    // It is used up.
    let correlation = peer.send(FrameType::Push, &push, b"hh and the rest");
    peer.refused(correlation, ErrorCode::UploadUnknown);
    let jobs = peer.reserve("q", 1, 0);
    assert_eq!(&jobs[0].headers[..], b"hh");
    assert_eq!(jobs[0].body, b"one and the rest");
}

#[test]
fn an_upload_belongs_to_its_connection() {
    let mut house = House::start();
    let session = Peer::some_id();
    let mut peer = house.peer_of(&session);
    let correlation = peer.send(FrameType::PushPart, &part(1, 0), b"one");
    peer.ok(correlation);
    let push = wire::Push {
        upload: 1,
        upload_parts: 1,
        ..push_of("q", &[b"two"])
    };
    let mut other = house.peer();
    let correlation = other.send(FrameType::Push, &push, b"two");
    other.refused(correlation, ErrorCode::UploadUnknown);
    // A newer connection of the same session begins anew.
    let mut newer = house.peer_of(&session);
    let correlation = newer.send(FrameType::Push, &push, b"two");
    newer.refused(correlation, ErrorCode::UploadUnknown);
    let correlation = newer.send(FrameType::PushPart, &part(2, 0), b"one");
    newer.ok(correlation);
    house.restart();
    let mut back = house.peer_of(&session);
    let push = wire::Push { upload: 2, ..push };
    let correlation = back.send(FrameType::Push, &push, b"two");
    back.refused(correlation, ErrorCode::UploadUnknown);
}

#[test]
fn a_large_push_that_comes_again_is_known_and_gives_its_parts_up() {
    let house = House::start();
    let producer = Peer::some_id();
    let mut peer = house.peer();
    let push = |upload| wire::Push {
        upload,
        upload_parts: 1,
        producer: producer.to_vec().into(),
        sequence: 1,
        ..push_of("q", &[b"two"])
    };
    let correlation = peer.send(FrameType::PushPart, &part(1, 0), b"one");
    peer.ok(correlation);
    let first = peer.push_frame(&push(1), b"two");
    let correlation = peer.send(FrameType::PushPart, &part(2, 0), b"one");
    peer.ok(correlation);
    let again = peer.push_frame(&push(2), b"two");
    assert!(again.duplicate && again.first_id == first.first_id);
    // The number is free for the store: a checkpoint must not trip over the parts.
    peer.checkpoint();
    assert_eq!(peer.reserve("q", 9, 0).len(), 1);
}

#[test]
fn large_bodies_of_several_jobs_go_out_to_several_workers() {
    let house = House::with(|config| config.cache_bytes = 64 * 1024);
    let mut peer = house.peer();
    let bodies: Vec<Vec<u8>> = (0..6)
        .map(|seed| body(seed, 3 * PART_BYTES + 1_000 * seed as usize))
        .collect();
    let mut ids = Vec::new();
    for (number, bytes) in bodies.iter().enumerate() {
        ids.push(upload(&mut peer, number as u64 + 1, "q", bytes));
    }
    // One that fits a frame, but not the half of one that a DELIVER takes.
    let single = body(99, 900_000);
    ids.push(peer.push("q", &single));
    peer.checkpoint();
    let mut workers = [house.peer(), house.peer()];
    for worker in &mut workers {
        let window = wire::Subscribe {
            credit_bytes: BODY_BYTES_MAX,
            ..subscribe(1, "q", 4)
        };
        let correlation = worker.send(FrameType::Subscribe, &window, b"");
        worker.ok(correlation);
    }
    let mut seen = 0;
    for worker in &mut workers {
        let held = if seen == 0 { 4 } else { 3 };
        for job in worker.take(held) {
            let at = ids.iter().position(|id| *id == job.id).unwrap();
            let want = bodies.get(at).unwrap_or(&single);
            assert!(job.body == *want, "body {at}");
            worker.ack(&job);
            seen += 1;
        }
    }
    assert_eq!(seen, 7);
}

/// Each part has to be read when its turn comes, because the cache holds one at a time. Nothing else
/// happens on this broker that would wake it.
#[test]
fn parts_that_have_to_be_read_do_not_wait_for_one_another() {
    let mut house = House::with(|config| config.cache_bytes = 1);
    let mut peer = house.peer();
    let bytes = body(9, 60_000);
    let pieces: Vec<&[u8]> = bytes.chunks(1_000).collect();
    let (last, first) = pieces.split_last().unwrap();
    for (index, piece) in first.iter().enumerate() {
        let correlation = peer.send(FrameType::PushPart, &part(1, index as u32), piece);
        peer.ok(correlation);
    }
    let push = wire::Push {
        upload: 1,
        upload_parts: first.len() as u32,
        ..push_of("q", &[last])
    };
    peer.push_frame(&push, last);
    house.restart();
    let mut peer = house.peer();
    let began = Instant::now();
    let jobs = peer.reserve("q", 1, 5_000);
    assert!(jobs[0].body == bytes);
    // A second each, if every part waited for the tick of an idle broker.
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
}
