//! Frames from bytes and back: what a peer sends, in whatever pieces, and what an enemy sends.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use bytes::{BufMut, Bytes, BytesMut};
use proptest::prelude::*;
use verteilt_protocol::limits::FRAME_BYTES_MAX;
use verteilt_protocol::wire::{Push, PushPart};
use verteilt_protocol::{
    ErrorCode, FLAG_CUMULATIVE, Frame, FrameError, FrameHeader, FrameType, HEADER_BYTES, decode,
    encode, encode_empty, encode_with, fits,
};

fn push(lengths: Vec<u32>) -> Push {
    Push {
        queue: "mail".into(),
        body_lengths: lengths,
        sequence: 9,
        ..Push::default()
    }
}

fn header(length: u32, reserved: u16, meta_length: u32) -> BytesMut {
    let mut bytes = BytesMut::new();
    bytes.put_u32_le(length);
    bytes.put_u8(FrameType::Push.number());
    bytes.put_u8(0);
    bytes.put_u16_le(reserved);
    bytes.put_u64_le(1);
    bytes.put_u32_le(meta_length);
    bytes
}

#[test]
fn the_header_stands_where_the_document_says() {
    let mut out = BytesMut::new();
    encode(
        &mut out,
        FrameType::PushPart,
        3,
        0x0102_0304_0506_0708,
        &PushPart {
            upload: 1,
            index: 0,
        },
        b"xyz",
    );
    assert_eq!(
        &out[..],
        &[
            21, 0, 0, 0, 0x12, 3, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1, 2, 0, 0, 0, 0x08, 1, b'x', b'y',
            b'z'
        ]
    );
}

#[test]
fn a_frame_without_message_is_its_header() {
    let mut out = BytesMut::new();
    encode_empty(&mut out, FrameType::Ok, FLAG_CUMULATIVE, 7);
    assert_eq!(out.len(), HEADER_BYTES);
    let frame = decode(&mut out).unwrap().unwrap();
    assert_eq!(frame.kind(), Some(FrameType::Ok));
    assert!(frame.is_cumulative());
    assert_eq!(
        (frame.correlation, frame.meta.len(), frame.payload.len()),
        (7, 0, 0)
    );
    assert!(out.is_empty());
}

#[test]
fn decoding_copies_nothing() {
    let mut out = BytesMut::new();
    encode(&mut out, FrameType::Push, 0, 1, &push(vec![4]), b"body");
    let (from, to) = (out.as_ptr() as usize, out.as_ptr() as usize + out.len());
    let frame = decode(&mut out).unwrap().unwrap();
    assert!((from..to).contains(&(frame.meta.as_ptr() as usize)));
    assert_eq!(frame.payload.as_ptr() as usize, to - 4);
}

#[test]
fn a_frame_split_at_every_byte_comes_out_whole() {
    let mut whole = BytesMut::new();
    encode(
        &mut whole,
        FrameType::Push,
        0,
        1,
        &push(vec![3, 2]),
        b"abcde",
    );
    encode_empty(&mut whole, FrameType::Heartbeat, 0, 0);
    let mut reference = whole.clone();
    let first = decode(&mut reference).unwrap().unwrap();
    let second = decode(&mut reference).unwrap().unwrap();
    for at in 0..=whole.len() {
        let mut buffer = BytesMut::from(&whole[..at]);
        let mut frames = Vec::new();
        while let Some(frame) = decode(&mut buffer).unwrap() {
            frames.push(frame);
        }
        buffer.extend_from_slice(&whole[at..]);
        while let Some(frame) = decode(&mut buffer).unwrap() {
            frames.push(frame);
        }
        assert_eq!(frames, [first.clone(), second.clone()], "split at {at}");
        assert!(buffer.is_empty());
    }
}

#[test]
fn room_for_the_missing_part_is_reserved() {
    let mut buffer = header(FRAME_BYTES_MAX as u32, 0, 0);
    assert_eq!(decode(&mut buffer), Ok(None));
    let capacity = buffer.capacity();
    assert!(
        (FRAME_BYTES_MAX + 4..=FRAME_BYTES_MAX + 64).contains(&capacity),
        "{capacity}"
    );
}

#[test]
fn a_length_is_refused_before_anything_else_has_come() {
    for length in [0, 1, 15] {
        let mut buffer = BytesMut::from(&u32::to_le_bytes(length)[..]);
        let error = decode(&mut buffer).unwrap_err();
        assert_eq!(error, FrameError::TooShort { length });
        assert_eq!(error.code(), ErrorCode::MalformedFrame);
    }
    for length in [FRAME_BYTES_MAX as u32 + 1, u32::MAX] {
        let mut buffer = BytesMut::from(&u32::to_le_bytes(length)[..]);
        let capacity = buffer.capacity();
        let error = decode(&mut buffer).unwrap_err();
        assert_eq!(error, FrameError::TooLarge { length });
        assert_eq!(error.code(), ErrorCode::FrameTooLarge);
        assert_eq!(
            buffer.capacity(),
            capacity,
            "nothing may be allocated for it"
        );
    }
}

#[test]
fn a_header_that_contradicts_itself_is_refused_before_its_body() {
    let error = decode(&mut header(100, 0, 85)).unwrap_err();
    assert_eq!(
        error,
        FrameError::MetaTooLong {
            meta_length: 85,
            length: 100
        }
    );
    assert_eq!(error.code(), ErrorCode::MalformedFrame);
    assert_eq!(decode(&mut header(100, 0, 84)), Ok(None));
    let error = decode(&mut header(100, 0x0100, 0)).unwrap_err();
    assert_eq!(error, FrameError::ReservedNotZero { found: 0x0100 });
    assert_eq!(error.code(), ErrorCode::MalformedFrame);
}

#[test]
fn a_message_that_is_none_is_malformed() {
    let mut buffer = header(16 + 2, 0, 2);
    buffer.extend_from_slice(&[0x0A, 0xFF]);
    let error = decode(&mut buffer)
        .unwrap()
        .unwrap()
        .message::<Push>()
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::MalformedMessage);
}

#[test]
fn unknown_types_flags_and_fields_pass() {
    let mut buffer = header(16 + 3, 0, 3);
    buffer[4] = 0xEE;
    buffer[5] = 0xF0;
    // Field 1000 of a newer schema, a number: 1.
    buffer.extend_from_slice(&[0xC0, 0x3E, 0x01]);
    let frame = decode(&mut buffer).unwrap().unwrap();
    assert_eq!(
        (frame.kind(), frame.frame_type, frame.flags),
        (None, 0xEE, 0xF0)
    );
    assert_eq!(frame.message::<Push>(), Ok(Push::default()));
}

#[test]
fn the_largest_frame_passes_and_one_byte_more_does_not_fit() {
    let part = PushPart {
        upload: 1,
        index: 1,
    };
    let room = FRAME_BYTES_MAX - 16 - 4;
    assert!(fits(&part, room) && !fits(&part, room + 1));
    let mut out = BytesMut::new();
    encode(&mut out, FrameType::PushPart, 0, 1, &part, &vec![7; room]);
    assert_eq!(out.len(), FRAME_BYTES_MAX + 4);
    assert_eq!(decode(&mut out).unwrap().unwrap().payload.len(), room);
}

#[test]
#[should_panic(expected = "over the frame limit")]
fn sending_an_overlong_frame_is_a_bug() {
    encode(
        &mut BytesMut::new(),
        FrameType::Push,
        0,
        1,
        &push(vec![]),
        &vec![0; FRAME_BYTES_MAX],
    );
}

#[test]
#[should_panic(expected = "not as long as announced")]
fn sending_another_payload_than_announced_is_a_bug() {
    encode_with(
        &mut BytesMut::new(),
        FrameType::Push,
        0,
        1,
        &push(vec![]),
        4,
        |out| {
            out.extend_from_slice(b"abc");
        },
    );
}

fn frames() -> impl Strategy<Value = (u8, u8, u64, Vec<u8>, Vec<u8>)> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..200);
    (any::<u8>(), any::<u8>(), any::<u64>(), bytes(), bytes())
}

/// As `encode`, but of raw parts: any type number, any meta.
fn encode_raw(out: &mut BytesMut, frame: &Frame) {
    out.put_u32_le((16 + frame.meta.len() + frame.payload.len()) as u32);
    out.put_u8(frame.frame_type);
    out.put_u8(frame.flags);
    out.put_u16_le(0);
    out.put_u64_le(frame.correlation);
    out.put_u32_le(frame.meta.len() as u32);
    out.extend_from_slice(&frame.meta);
    out.extend_from_slice(&frame.payload);
}

proptest! {
    #[test]
    fn any_frames_in_any_pieces_come_out_as_they_went_in(
        parts in prop::collection::vec(frames(), 1..6),
        piece in 1_usize..64,
    ) {
        let sent: Vec<Frame> = parts
            .into_iter()
            .map(|(frame_type, flags, correlation, meta, payload)| Frame {
                frame_type, flags, correlation, meta: Bytes::from(meta), payload: Bytes::from(payload),
            })
            .collect();
        let mut stream = BytesMut::new();
        sent.iter().for_each(|frame| encode_raw(&mut stream, frame));
        let (mut buffer, mut got) = (BytesMut::new(), Vec::new());
        for bytes in stream.chunks(piece) {
            buffer.extend_from_slice(bytes);
            while let Some(frame) = decode(&mut buffer).unwrap() {
                got.push(frame);
            }
        }
        prop_assert_eq!(got, sent);
        prop_assert!(buffer.is_empty());
    }

    #[test]
    fn a_message_comes_out_as_it_went_in(
        queue in ".{0,40}", lengths in prop::collection::vec(any::<u32>(), 0..50),
        sequence: u64, upload: u64, correlation: u64, flags: u8, producer: [u8; 16],
        payload in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let message = Push {
            queue, sequence, upload, body_lengths: lengths,
            producer: Bytes::copy_from_slice(&producer), ..Push::default()
        };
        let mut out = BytesMut::new();
        encode(&mut out, FrameType::Push, flags, correlation, &message, &payload);
        let frame = decode(&mut out).unwrap().unwrap();
        prop_assert_eq!((frame.kind(), frame.flags, frame.correlation), (Some(FrameType::Push), flags, correlation));
        prop_assert_eq!(frame.message::<Push>().unwrap(), message);
        prop_assert_eq!(&frame.payload[..], &payload[..]);
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_never_cost_more_than_a_frame(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut buffer = BytesMut::from(&bytes[..]);
        while let Ok(Some(frame)) = decode(&mut buffer) {
            let _ = frame.message::<Push>();
        }
        prop_assert!(buffer.capacity() <= FRAME_BYTES_MAX + 1024);
    }

    /// Random bytes rarely make a header; these always do.
    #[test]
    fn arbitrary_messages_never_panic(
        meta in prop::collection::vec(any::<u8>(), 0..300), cut in 0_usize..300,
    ) {
        let mut out = BytesMut::new();
        let frame = Frame {
            frame_type: 0x10, flags: 0, correlation: 1,
            meta: Bytes::from(meta), payload: Bytes::new(),
        };
        encode_raw(&mut out, &frame);
        out.truncate(cut.max(1));
        prop_assert!(FrameHeader::peek(&out).is_ok());
        if let Ok(Some(frame)) = decode(&mut out) {
            let _ = frame.message::<Push>();
            let _ = frame.message::<verteilt_protocol::wire::Deliver>();
            let _ = frame.message::<verteilt_protocol::wire::Hello>();
        }
    }
}
