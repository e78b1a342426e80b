//! Frames that a broker refuses, and what it says.

use bytes::{BufMut, BytesMut};
use prost::Message;
use serde_json::{Value, json};
use verteilt_protocol::wire::{
    Hello, Nack, Push, PushPart, QueuePeek, QueueStatsRequest, Reserve, Settle, Subscribe, Touch,
    Unsubscribe,
};
use verteilt_protocol::{ErrorCode, Frame, FrameError, FrameType, Sender, decode, split_payload};

/// A frame, or the begin of one, with the code it is refused with.
pub(crate) struct Malformed {
    pub(crate) name: &'static str,
    pub(crate) code: ErrorCode,
    pub(crate) bytes: Vec<u8>,
    closed: bool,
    why: &'static str,
}

impl Malformed {
    pub(crate) fn meaning(&self) -> Value {
        json!({
            "error": self.code.name(),
            "error_number": self.code.number(),
            "closed": self.closed,
            "why": self.why,
        })
    }
}

/// What a broker says to the first frame in `bytes`; `None`: nothing is wrong with it.
pub(crate) fn judge(bytes: &[u8]) -> Option<ErrorCode> {
    let frame = match decode(&mut BytesMut::from(bytes)) {
        Ok(Some(frame)) => frame,
        Ok(None) => return None,
        Err(error) => return Some(error.code()),
    };
    let Some(kind) = frame.kind() else {
        return Some(ErrorCode::UnknownFrameType);
    };
    if kind.sender() == Sender::Server {
        return Some(ErrorCode::UnexpectedFrame);
    }
    judge_message(kind, &frame).err().map(|error| error.code())
}

fn judge_message(kind: FrameType, frame: &Frame) -> Result<(), FrameError> {
    match kind {
        FrameType::Hello => frame.message::<Hello>().map(drop),
        FrameType::Push => {
            let push: Push = frame.message()?;
            split_payload(&frame.payload, &push.header_lengths, &push.body_lengths).map(drop)
        }
        FrameType::PushPart => frame.message::<PushPart>().map(drop),
        FrameType::Subscribe => frame.message::<Subscribe>().map(drop),
        FrameType::Unsubscribe => frame.message::<Unsubscribe>().map(drop),
        FrameType::Reserve => frame.message::<Reserve>().map(drop),
        FrameType::Ack | FrameType::Release => frame.message::<Settle>().map(drop),
        FrameType::Nack => frame.message::<Nack>().map(drop),
        FrameType::Touch => frame.message::<Touch>().map(drop),
        FrameType::QueueStats => frame.message::<QueueStatsRequest>().map(drop),
        FrameType::QueuePeek => frame.message::<QueuePeek>().map(drop),
        _ => Ok(()),
    }
}

/// A frame of raw parts; `length` and `meta_length` are what the header claims.
fn raw(length: u32, kind: u8, reserved: u16, meta_length: u32, rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_u32_le(length);
    out.put_u8(kind);
    out.put_u8(0);
    out.put_u16_le(reserved);
    out.put_u64_le(1);
    out.put_u32_le(meta_length);
    out.extend_from_slice(rest);
    out
}

/// A frame whose header is right.
fn honest(kind: u8, meta: &[u8], payload: &[u8]) -> Vec<u8> {
    let length = (16 + meta.len() + payload.len()) as u32;
    raw(
        length,
        kind,
        0,
        meta.len() as u32,
        &[meta, payload].concat(),
    )
}

fn push(body_lengths: Vec<u32>, header_lengths: Vec<u32>, payload: &[u8]) -> Vec<u8> {
    let message = Push {
        queue: "mail".into(),
        body_lengths,
        header_lengths,
        ..Push::default()
    };
    honest(FrameType::Push.number(), &message.encode_to_vec(), payload)
}

pub(crate) fn cases() -> Vec<Malformed> {
    let mut cases = headers();
    cases.extend(types());
    cases.extend(messages());
    cases.extend(payloads());
    cases
}

fn headers() -> Vec<Malformed> {
    let case = |name, code, bytes, why| Malformed {
        name,
        code,
        bytes,
        closed: true,
        why,
    };
    let (frame, large) = (ErrorCode::MalformedFrame, ErrorCode::FrameTooLarge);
    vec![
        case(
            "length_zero",
            frame,
            vec![0; 4],
            "the length does not cover the header",
        ),
        case(
            "length_15",
            frame,
            vec![15, 0, 0, 0],
            "the length does not cover the header",
        ),
        case(
            "length_over_limit",
            large,
            vec![1, 0, 16, 0],
            "1 MiB and one byte; refused before more has come",
        ),
        case(
            "length_largest",
            large,
            vec![0xFF; 4],
            "4 GiB; refused before more has come",
        ),
        case(
            "http",
            large,
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            "another protocol reads as an absurd length",
        ),
        case(
            "meta_beyond_frame",
            frame,
            raw(20, 0x10, 0, 5, b"\x0a\x02ab"),
            "the meta is longer than what the frame holds",
        ),
        case(
            "meta_length_largest",
            frame,
            raw(16, 0x10, 0, u32::MAX, b""),
            "the meta is longer than what the frame holds",
        ),
        case(
            "reserved_not_zero",
            frame,
            raw(16, 0x03, 1, 0, b""),
            "bytes 6 and 7 are not 0",
        ),
    ]
}

fn types() -> Vec<Malformed> {
    let case = |name, code, kind, why| Malformed {
        name,
        code,
        bytes: honest(kind, b"", b""),
        closed: false,
        why,
    };
    let (unknown, unexpected) = (ErrorCode::UnknownFrameType, ErrorCode::UnexpectedFrame);
    vec![
        case(
            "type_unknown",
            unknown,
            0x7F,
            "the connection goes on after this frame",
        ),
        case(
            "type_zero",
            unknown,
            0,
            "0 is no type; the connection goes on",
        ),
        case(
            "type_of_the_broker",
            unexpected,
            0x16,
            "DELIVER from a client",
        ),
    ]
}

fn messages() -> Vec<Malformed> {
    let case = |name, bytes, why| Malformed {
        name,
        code: ErrorCode::MalformedMessage,
        bytes,
        closed: true,
        why,
    };
    vec![
        case(
            "message_cut",
            honest(0x10, b"\x0a\x08mail", b""),
            "field 1 says 8 bytes, 4 are there",
        ),
        case(
            "message_varint_endless",
            honest(0x14, &[0x08; 1], b""),
            "field 1 has a tag and no value",
        ),
        case(
            "message_varint_too_long",
            honest(
                0x18,
                &[
                    0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1,
                ],
                b"",
            ),
            "a varint of eleven bytes",
        ),
        case(
            "message_wrong_wire_type",
            honest(0x10, b"\x08\x01", b""),
            "field 1 (queue) as a number",
        ),
        case(
            "message_not_utf8",
            honest(0x10, b"\x0a\x02\xc3\x28", b""),
            "field 1 (queue) is no UTF-8",
        ),
        case(
            "message_field_zero",
            honest(0x15, b"\x02\x00", b""),
            "there is no field 0",
        ),
        case(
            "message_garbage",
            honest(0x01, &[0xFF; 12], b""),
            "HELLO of bytes 0xff",
        ),
    ]
}

fn payloads() -> Vec<Malformed> {
    let case = |name, bytes, why| Malformed {
        name,
        code: ErrorCode::MalformedMessage,
        bytes,
        closed: false,
        why,
    };
    vec![
        case(
            "payload_too_short",
            push(vec![3, 3], vec![], b"onetw"),
            "the lengths add up to 6, the payload has 5",
        ),
        case(
            "payload_too_long",
            push(vec![3], vec![], b"one!"),
            "the lengths add up to 3, the payload has 4",
        ),
        case(
            "payload_without_lengths",
            push(vec![], vec![], b"one"),
            "no lengths, yet a payload",
        ),
        case(
            "payload_sum_overflows",
            push(vec![u32::MAX, 4], vec![], b"one"),
            "the lengths add up to 3 modulo 2^32",
        ),
        case(
            "header_lengths_too_few",
            push(vec![2, 2], vec![1], b"hbobo"),
            "one header length for two bodies",
        ),
        case(
            "header_lengths_too_many",
            push(vec![2], vec![1, 1], b"hhbo"),
            "two header lengths for one body",
        ),
    ]
}
