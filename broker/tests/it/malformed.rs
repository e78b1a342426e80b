//! What is said wrong: each gets its code or a clean end, and nobody else notices.

use bytes::{BufMut, BytesMut};
use verteilt_protocol::limits::{BATCH_JOBS_MAX, FRAME_BYTES_MAX, HEADER_BYTES_MAX};
use verteilt_protocol::{ErrorCode, FrameType, encode, wire};

use crate::house::House;
use crate::job::Dice;
use crate::peer::{Peer, push_of};

fn header(length: u32, kind: u8, reserved: u16, correlation: u64, meta_length: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.put_u32_le(length);
    bytes.put_u8(kind);
    bytes.put_u8(0);
    bytes.put_u16_le(reserved);
    bytes.put_u64_le(correlation);
    bytes.put_u32_le(meta_length);
    bytes
}

#[test]
fn a_broken_header_closes_with_its_code() {
    let house = House::start();
    let mut other = house.peer();
    let push = FrameType::Push.number();
    let cases = [
        (header(u32::MAX, push, 0, 2, 0), ErrorCode::FrameTooLarge),
        (
            header(FRAME_BYTES_MAX as u32 + 1, push, 0, 2, 0),
            ErrorCode::FrameTooLarge,
        ),
        (header(15, push, 0, 2, 0), ErrorCode::MalformedFrame),
        (header(0, push, 0, 2, 0), ErrorCode::MalformedFrame),
        (header(16, push, 0, 2, 1), ErrorCode::MalformedFrame),
        (header(16, push, 0, 2, u32::MAX), ErrorCode::MalformedFrame),
        (header(16, push, 1, 2, 0), ErrorCode::MalformedFrame),
        // The length alone is enough to refuse.
        (vec![0xFF; 4], ErrorCode::FrameTooLarge),
    ];
    for (at, (bytes, code)) in cases.into_iter().enumerate() {
        let mut peer = house.peer();
        peer.send_bytes(&bytes);
        peer.ends_with(code);
        // The same before a handshake.
        let mut stranger = Peer::raw(house.address());
        stranger.send_bytes(&bytes);
        stranger.ends_with(code);
        other.push("q", format!("goes on {at}").as_bytes());
    }
}

#[test]
fn a_frame_that_ends_in_the_middle_is_a_closed_connection() {
    let house = House::start();
    let mut whole = BytesMut::new();
    encode(
        &mut whole,
        FrameType::Push,
        0,
        2,
        &push_of("cut", &[b"body"]),
        b"body",
    );
    for cut in 1..whole.len() {
        let mut peer = house.peer();
        peer.send_bytes(&whole[..cut]);
        peer.stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(peer.rest().is_empty());
    }
    let mut other = house.peer();
    let stats = wire::QueueStatsRequest {
        queue: "cut".to_owned(),
        after: String::new(),
    };
    let correlation = other.send(FrameType::QueueStats, &stats, b"");
    other.refused(correlation, ErrorCode::QueueUnknown);
}

#[test]
fn random_bytes_end_the_connection_and_nothing_else() {
    let house = House::start();
    let mut other = house.peer();
    let mut dice = Dice::new(11);
    for round in 0..200 {
        let mut peer = if round % 2 == 0 {
            house.peer()
        } else {
            Peer::raw(house.address())
        };
        let noise: Vec<u8> = (0..dice.below(400))
            .map(|_| dice.below(256) as u8)
            .collect();
        // The broker may have closed already.
        let _ = std::io::Write::write_all(&mut peer.stream, &noise);
        let _ = peer.stream.shutdown(std::net::Shutdown::Write);
        peer.rest();
    }
    other.push("q", b"goes on");
}

#[test]
fn random_messages_in_whole_frames_get_an_answer_or_an_end() {
    let house = House::start();
    let mut other = house.peer();
    let mut dice = Dice::new(12);
    for _ in 0..400 {
        let mut peer = house.peer();
        let kind = FrameType::ALL[dice.below(FrameType::ALL.len() as u64) as usize];
        let meta: Vec<u8> = (0..dice.below(24)).map(|_| dice.below(40) as u8).collect();
        let mut frame = header(
            16 + meta.len() as u32 + 3,
            kind.number(),
            0,
            2,
            meta.len() as u32,
        );
        frame.extend_from_slice(&meta);
        frame.extend_from_slice(b"xyz");
        peer.send_bytes(&frame);
        peer.send_empty(FrameType::Goodbye, 0);
        for answer in peer.rest() {
            let fits = answer.correlation == 2
                || answer.correlation == 0
                || answer.kind() == Some(FrameType::Pushed);
            assert!(fits, "{answer:?}");
        }
    }
    other.push("q", b"goes on");
}

#[test]
fn a_message_that_cannot_be_decoded_closes() {
    let house = House::start();
    let mut other = house.peer();
    let kinds = [
        FrameType::Push,
        FrameType::PushPart,
        FrameType::Subscribe,
        FrameType::Unsubscribe,
        FrameType::Reserve,
        FrameType::Ack,
        FrameType::Nack,
        FrameType::Release,
        FrameType::Touch,
        FrameType::QueueStats,
        FrameType::QueuePeek,
        FrameType::QueuePause,
        FrameType::QueuePurge,
    ];
    for kind in kinds {
        let mut peer = house.peer();
        let mut frame = header(18, kind.number(), 0, 2, 2);
        // Field 1, length-delimited, longer than what is there.
        frame.extend_from_slice(&[0x0A, 0x7F]);
        peer.send_bytes(&frame);
        peer.ends_with(ErrorCode::MalformedMessage);
    }
    other.push("q", b"goes on");
}

#[test]
fn unknown_types_and_types_of_the_broker_are_refused_and_the_connection_goes_on() {
    let house = House::start();
    let mut peer = house.peer();
    for (number, kind) in (2..).zip([0x00u8, 0x09, 0x2F, 0x5F, 0xFF]) {
        let mut frame = header(16 + 5, kind, 0, number, 2);
        frame.extend_from_slice(b"what?");
        peer.send_bytes(&frame);
        peer.refused(number, ErrorCode::UnknownFrameType);
    }
    for (number, kind) in (10..).zip([
        FrameType::Welcome,
        FrameType::Ok,
        FrameType::Error,
        FrameType::Pushed,
        FrameType::PushCredit,
        FrameType::Deliver,
        FrameType::DeliverPart,
        FrameType::Settled,
        FrameType::LeaseLost,
        FrameType::CheckpointDone,
        FrameType::Published,
        FrameType::Records,
        FrameType::TopicAssigned,
        FrameType::RequestEnded,
        FrameType::ServicesReply,
        FrameType::TraceReply,
    ]) {
        peer.send_empty(kind, number);
        peer.refused(number, ErrorCode::UnexpectedFrame);
    }
    for (number, (kind, code)) in (30..).zip([
        (FrameType::Request, ErrorCode::BadArgument),
        (FrameType::BodyPart, ErrorCode::BadArgument),
        (FrameType::StreamCredit, ErrorCode::BadArgument),
        (FrameType::RequestCancel, ErrorCode::BadArgument),
        (FrameType::Inbox, ErrorCode::BadArgument),
        (FrameType::Trace, ErrorCode::BadArgument),
        (FrameType::Forward, ErrorCode::BadName),
        (FrameType::Serve, ErrorCode::BadName),
        (FrameType::Unserve, ErrorCode::SubscriptionUnknown),
    ]) {
        peer.send_empty(kind, number);
        peer.refused(number, code);
    }
    peer.push("q", b"goes on");
}

#[test]
fn unknown_flags_and_fields_are_ignored() {
    let house = House::start();
    let mut peer = house.peer();
    let mut frame = BytesMut::new();
    let push = push_of("q", &[b"abc"]);
    let mut meta = prost::Message::encode_to_vec(&push);
    meta.extend_from_slice(&[0xFA, 0x7F, 0x02, 1, 2]); // field 2047, bytes
    frame.put_slice(&header(
        16 + meta.len() as u32 + 3,
        0x10,
        0,
        2,
        meta.len() as u32,
    ));
    frame.put_slice(&meta);
    frame.put_slice(b"abc");
    frame[5] = 0xFE;
    peer.send_bytes(&frame);
    assert_eq!(peer.pushed(2).count, 1);
}

#[test]
fn lengths_that_do_not_fit_are_refused_and_the_connection_goes_on() {
    let house = House::start();
    let mut peer = house.peer();
    let push = |bodies: &[u32], headers: &[u32]| wire::Push {
        queue: "q".to_owned(),
        body_lengths: bodies.to_vec(),
        header_lengths: headers.to_vec(),
        ..wire::Push::default()
    };
    let many = vec![0; BATCH_JOBS_MAX + 1];
    let cases = [
        (push(&[4], &[]), ErrorCode::MalformedMessage),
        (push(&[2], &[]), ErrorCode::MalformedMessage),
        (push(&[u32::MAX; 3], &[]), ErrorCode::MalformedMessage),
        (push(&[3], &[0, 0]), ErrorCode::MalformedMessage),
        (push(&[3, 0], &[0]), ErrorCode::MalformedMessage),
        (push(&[3], &[1]), ErrorCode::MalformedMessage),
        (push(&[], &[]), ErrorCode::BatchTooLarge),
        (push(&many, &[]), ErrorCode::BatchTooLarge),
        (
            push(&[3], &[HEADER_BYTES_MAX as u32 + 1]),
            ErrorCode::HeadersTooLarge,
        ),
    ];
    for (message, code) in cases {
        let correlation = peer.send(FrameType::Push, &message, b"xyz");
        peer.refused(correlation, code);
    }
    let settle = |ids: usize, tokens: usize| wire::Settle {
        ids: vec![1; ids],
        tokens: vec![1; tokens],
    };
    for (message, code) in [
        (settle(2, 3), ErrorCode::MalformedMessage),
        (settle(2, 0), ErrorCode::MalformedMessage),
        (settle(BATCH_JOBS_MAX + 1, 1), ErrorCode::BatchTooLarge),
    ] {
        let correlation = peer.send(FrameType::Ack, &message, b"");
        peer.refused(correlation, code);
    }
    let nothing = peer.send(FrameType::Ack, &settle(0, 0), b"");
    peer.ok(nothing);
    peer.push("q", b"goes on");
}

#[test]
fn names_and_numbers_out_of_bounds_are_refused() {
    let house = House::start();
    let mut peer = house.peer();
    for name in ["", "Q", "-q", "q q", "ü", &"q".repeat(201)] {
        let correlation = peer.send(FrameType::Push, &push_of(name, &[b"x"]), b"x");
        peer.refused(correlation, ErrorCode::BadName);
        let reserve = wire::Reserve {
            queue: name.to_owned(),
            jobs_max: 1,
            wait_ms: 0,
        };
        let correlation = peer.send(FrameType::Reserve, &reserve, b"");
        peer.refused(correlation, ErrorCode::BadName);
    }
    let options = |options| wire::Push {
        options: Some(options),
        ..push_of("q", &[b"x"])
    };
    let none = wire::JobOptions::default;
    #[rustfmt::skip]
    let cases = [
        (wire::JobOptions { attempts: 65_536, ..none() }, ErrorCode::BadArgument),
        (wire::JobOptions { lease_ms: 86_400_001, ..none() }, ErrorCode::BadArgument),
        (wire::JobOptions { lease_ms: u64::MAX, ..none() }, ErrorCode::BadArgument),
        (wire::JobOptions { delay_ms: 366 * 86_400_000 + 1, ..none() }, ErrorCode::BadArgument),
        (wire::JobOptions { delay_ms: u64::MAX, ..none() }, ErrorCode::BadArgument),
        (wire::JobOptions { durability: 3, ..none() }, ErrorCode::Unsupported),
        (wire::JobOptions { unique_key: b"k".to_vec().into(), ..none() }, ErrorCode::Unsupported),
        (wire::JobOptions { ordering_key: b"k".to_vec().into(), ..none() }, ErrorCode::Unsupported),
        (wire::JobOptions { time_to_live_ms: 1, ..none() }, ErrorCode::Unsupported),
        (wire::JobOptions { keep_result: true, ..none() }, ErrorCode::Unsupported),
    ];
    for (case, code) in cases {
        let correlation = peer.send(FrameType::Push, &options(case), b"x");
        peer.refused(correlation, code);
    }
    peer.push("q", b"goes on");
}
