//! Jobs in: batches, options, durability, credit.

use bytes::{Bytes, BytesMut};
use verteilt_protocol::limits::BATCH_JOBS_MAX;
use verteilt_protocol::{ErrorCode, FrameType, encode_headers, wire};

use crate::house::House;
use crate::job::body;
use crate::peer::push_of;

#[test]
fn a_batch_has_dense_ids_and_comes_out_in_order() {
    let house = House::start();
    let mut peer = house.peer();
    let first = peer.push("q", b"one");
    let second = peer.push_many("q", &[b"two", b"", b"four"]);
    assert_eq!(second, first + 1);
    let jobs = peer.reserve("q", 10, 0);
    let got: Vec<(u64, &[u8])> = jobs.iter().map(|job| (job.id, &job.body[..])).collect();
    let want: [(u64, &[u8]); 4] = [
        (first, b"one"),
        (second, b"two"),
        (second + 1, b""),
        (second + 2, b"four"),
    ];
    assert_eq!(got, want);
    assert!(
        jobs.iter()
            .all(|job| job.attempt == 1 && job.lease_ms == 30_000)
    );
}

#[test]
fn headers_travel_as_they_are() {
    let house = House::start();
    let mut peer = house.peer();
    let headers = wire::Headers {
        entries: vec![wire::Header {
            name: "trace".to_owned(),
            value: Bytes::from_static(b"\x00\xFF"),
        }],
    };
    let mut block = BytesMut::new();
    let length = encode_headers(&mut block, &headers).unwrap();
    let push = wire::Push {
        header_lengths: vec![length, 0, 3],
        ..push_of("q", &[b"one", b"two", b""])
    };
    let payload = [&block[..], b"one", b"two", b"???"].concat();
    peer.push_frame(&push, &payload);
    for checkpoint in [false, true] {
        if checkpoint {
            peer.checkpoint();
        }
        let jobs = peer.reserve("q", 3, 0);
        assert_eq!(
            (&jobs[0].headers[..], &jobs[0].body[..]),
            (&block[..], &b"one"[..])
        );
        assert_eq!(
            (&jobs[1].headers[..], &jobs[1].body[..]),
            (&b""[..], &b"two"[..])
        );
        assert_eq!(
            (&jobs[2].headers[..], &jobs[2].body[..]),
            (&b"???"[..], &b""[..])
        );
        for job in &jobs {
            let release = peer.settle(FrameType::Release, job);
            peer.ok(release);
        }
    }
}

#[test]
fn priority_then_due_time_then_id() {
    let house = House::start();
    let mut peer = house.peer();
    let with = |priority, delay_ms| wire::JobOptions {
        priority,
        delay_ms,
        ..wire::JobOptions::default()
    };
    peer.push_with("q", with(0, 60_000), &[b"much later"]);
    peer.push_with("q", with(0, 0), &[b"normal"]);
    peer.push_with("q", with(i32::MIN, 0), &[b"last"]);
    peer.push_with("q", with(i32::MAX, 60), &[b"soon, then first"]);
    peer.push_with("q", with(5, 0), &[b"high"]);
    assert_eq!(peer.stats("q").scheduled, 2);
    let now: Vec<_> = peer
        .reserve("q", 2, 0)
        .into_iter()
        .map(|job| job.body)
        .collect();
    assert_eq!(now, [b"high".to_vec(), b"normal".to_vec()]);
    crate::house::eventually("the job gets due", || peer.stats("q").scheduled == 1);
    let then: Vec<_> = peer
        .reserve("q", 9, 0)
        .into_iter()
        .map(|job| job.body)
        .collect();
    assert_eq!(then, [b"soon, then first".to_vec(), b"last".to_vec()]);
}

#[test]
fn a_delayed_job_wakes_who_waits_for_it() {
    let house = House::start();
    let mut peer = house.peer();
    let delay = wire::JobOptions {
        delay_ms: 80,
        ..wire::JobOptions::default()
    };
    let began = std::time::Instant::now();
    peer.push_with("q", delay, &[b"x"]);
    assert!(peer.reserve("q", 1, 0).is_empty());
    assert_eq!(peer.reserve("q", 1, 10_000).len(), 1);
    let took = began.elapsed().as_millis();
    assert!((79..1_500).contains(&took), "{took}");
}

#[test]
fn the_answer_names_the_durability_that_was_reached() {
    let house = House::start();
    let mut peer = house.peer();
    for (asked, reached) in [
        (wire::Durability::Default, wire::Durability::Disk),
        (wire::Durability::Disk, wire::Durability::Disk),
        (wire::Durability::Memory, wire::Durability::Memory),
    ] {
        let options = wire::JobOptions {
            durability: asked.into(),
            ..wire::JobOptions::default()
        };
        let push = wire::Push {
            options: Some(options),
            ..push_of("q", &[b"x"])
        };
        let result = peer.push_frame(&push, b"x");
        assert_eq!(result.durability(), reached);
        let is_volatile = result.first_id > u64::MAX / 2;
        assert_eq!(is_volatile, reached == wire::Durability::Memory);
    }
    // One queue, both kinds; a pull gets one kind at a time.
    let mut bodies = 0;
    while bodies < 3 {
        let jobs = peer.reserve("q", 3, 1_000);
        bodies += jobs.len();
        jobs.iter().for_each(|job| peer.ack(job));
    }
    assert_eq!(peer.stats("q").done, 3);
}

#[test]
fn bodies_of_memory_jobs_are_bounded() {
    let house = House::with(|config| config.memory_bytes_max = 10_000);
    let mut peer = house.peer();
    let options = wire::JobOptions {
        durability: wire::Durability::Memory.into(),
        ..wire::JobOptions::default()
    };
    peer.push_with("q", options.clone(), &[&[1; 9_000]]);
    let push = wire::Push {
        options: Some(options.clone()),
        ..push_of("q", &[&[2; 1_001]])
    };
    let correlation = peer.send(FrameType::Push, &push, &[2; 1_001]);
    peer.refused(correlation, ErrorCode::MemoryFull);
    let job = peer.reserve("q", 1, 0).remove(0);
    peer.ack(&job);
    peer.push_with("q", options, &[&[2; 1_001]]);
}

#[test]
fn credit_comes_back_however_much_is_pushed() {
    let house = House::with(|config| config.push_credit_bytes = 256 * 1024);
    let mut peer = house.peer();
    let body = body(3, 60_000);
    let mut last = 0;
    for _ in 0..100 {
        last = peer.push("q", &body);
    }
    // And without waiting for answers, as far as the credit goes.
    for _ in 0..100 {
        peer.wait_for_credit();
        last = peer.send(FrameType::Push, &push_of("q", &[&body]), &body);
    }
    peer.pushed(last);
    assert_eq!(peer.stats("q").pushed, 200);
}

#[test]
fn credit_comes_back_for_pushes_that_were_refused() {
    let house = House::with(|config| config.push_credit_bytes = 256 * 1024);
    let mut peer = house.peer();
    let body = body(4, 50_000);
    let bad = [
        push_of("Bad Name", &[&body]),
        push_of("q", &[&body, b"more than there is"]),
        wire::Push {
            options: Some(wire::JobOptions {
                attempts: 1_000_000,
                ..wire::JobOptions::default()
            }),
            ..push_of("q", &[&body])
        },
        wire::Push {
            upload: 7,
            upload_parts: 3,
            ..push_of("q", &[&body])
        },
    ];
    for round in 0..40 {
        peer.wait_for_credit();
        let push = &bad[round % bad.len()];
        let correlation = peer.send(FrameType::Push, push, &body);
        assert_ne!(peer.error(correlation).code, 0);
        peer.wait_for_credit();
        let part = wire::PushPart {
            upload: 0,
            index: 0,
        };
        let correlation = peer.send(FrameType::PushPart, &part, &body);
        peer.refused(correlation, ErrorCode::BadArgument);
    }
    peer.push("q", &body);
}

#[test]
fn pushing_without_credit_ends_the_connection() {
    let house = House::with(|config| config.push_credit_bytes = 256 * 1024);
    let mut peer = house.peer();
    let body = body(5, 300_000);
    let mut out = BytesMut::new();
    // Far faster than a disk can sync them one by one: soon one comes before the credit of those
    // in front of it is back.
    for _ in 0..64 {
        peer.put(&mut out, FrameType::Push, &push_of("q", &[&body]), &body);
    }
    peer.send_what_it_takes(&out);
    let frames = peer.rest();
    let codes: Vec<u32> = frames
        .iter()
        .filter(|frame| frame.kind() == Some(FrameType::Error))
        .map(|frame| frame.message::<wire::Error>().unwrap().code)
        .collect();
    assert_eq!(codes, [ErrorCode::CreditExceeded.number()]);
}

#[test]
fn a_flood_of_empty_jobs_does_not_end_the_broker() {
    let house = House::start();
    let mut peer = house.peer();
    let none: Vec<&[u8]> = vec![b""; BATCH_JOBS_MAX];
    let push = push_of("q", &none);
    let mut out = BytesMut::new();
    let mut last = 0;
    for _ in 0..100 {
        last = peer.put(&mut out, FrameType::Push, &push, b"");
    }
    peer.send_bytes(&out);
    peer.pushed(last);
    assert_eq!(peer.stats("q").pushed, 100 * BATCH_JOBS_MAX as u64);
    assert!(house.broker().health().ready);
}
