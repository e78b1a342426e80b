//! REQUEST to INBOX.

use bytes::Bytes;
use verteilt_protocol::wire::{
    BodyPart, Durability, Forward, Inbox, Reply, Request, RequestCancel, RequestEnded, StreamCredit,
};
use verteilt_protocol::{ErrorCode, FrameType};

use crate::case::{Case, case};
use crate::connection::id;
use crate::jobs::header_block;

/// The top bit is that of all tokens of requests.
const TOKEN: u64 = (1 << 63) + 950;

pub(crate) fn cases() -> Vec<Case> {
    let inbox = Inbox {
        gateway_id: id(0x40),
        request_ids: vec![],
    };
    let back = Inbox {
        request_ids: vec![id(0x20), id(0x21)],
        ..inbox.clone()
    };
    let cancel = RequestCancel {
        request_id: id(0x20),
    };
    let ended = RequestEnded {
        request_id: id(0x20),
        token: 0,
        code: ErrorCode::DeadlineExceeded.number(),
        message: "too late".into(),
        service: "thumbnails".into(),
        version: "2".into(),
        instance: "one".into(),
    };
    let cancelled = RequestEnded {
        token: TOKEN,
        code: ErrorCode::Cancelled.number(),
        ..RequestEnded::default()
    };
    let mut cases = vec![
        case("inbox", FrameType::Inbox, 49, inbox, b""),
        case("inbox_again", FrameType::Inbox, 2, back, b""),
        case("request_cancel", FrameType::RequestCancel, 0, cancel, b""),
        case("request_ended", FrameType::RequestEnded, 0, ended, b""),
        case(
            "request_ended_worker",
            FrameType::RequestEnded,
            0,
            cancelled,
            b"",
        ),
    ];
    cases.extend(ways());
    cases.extend(bodies());
    cases
}

fn ways() -> Vec<Case> {
    let block = header_block();
    let payload = [&block[..], b"body"].concat();
    let request = Request {
        service: "thumbnails".into(),
        version: "2".into(),
        request_id: id(0x20),
        deadline_ms: 30_000,
        endpoint: "resize".into(),
        durability: Durability::Memory.into(),
        header_length: block.len() as u32,
        more: true,
        parent_request_id: id(0x10),
        ..Request::default()
    };
    let delivered = Request {
        request_id: id(0x20),
        gateway_id: id(0x40),
        deadline_ms: 29_998,
        endpoint: "resize".into(),
        subscription: 3,
        token: TOKEN,
        forwards: 1,
        ..Request::default()
    };
    let reply = Reply {
        token: TOKEN,
        status: 200,
        header_length: block.len() as u32,
        more: true,
        ..Reply::default()
    };
    let answered = Reply {
        request_id: id(0x20),
        status: 404,
        ..Reply::default()
    };
    let forward = Forward {
        token: TOKEN,
        service: "watermark".into(),
        version: "1".into(),
        endpoint: "apply".into(),
        header_length: block.len() as u32,
        more: false,
        rest_from_caller: true,
    };
    vec![
        case("request", FrameType::Request, 50, request, &payload),
        case(
            "request_delivered",
            FrameType::Request,
            0,
            delivered,
            b"body",
        ),
        case("reply", FrameType::Reply, 52, reply, &payload),
        case(
            "reply_delivered",
            FrameType::Reply,
            0,
            answered,
            b"not here",
        ),
        case("forward", FrameType::Forward, 53, forward, &payload),
    ]
}

fn bodies() -> Vec<Case> {
    let part = BodyPart {
        request_id: id(0x20),
        more: true,
        ..BodyPart::default()
    };
    let last = BodyPart {
        request_id: Bytes::new(),
        token: TOKEN,
        ..BodyPart::default()
    };
    let broken = BodyPart {
        abort_code: ErrorCode::BodyBroken.number(),
        ..last.clone()
    };
    let caller = StreamCredit {
        request_id: id(0x20),
        token: 0,
        bytes: 65_536,
    };
    let worker = StreamCredit {
        request_id: Bytes::new(),
        token: TOKEN,
        bytes: 1,
    };
    vec![
        case("body_part", FrameType::BodyPart, 0, part, b" goes on"),
        case("body_part_last", FrameType::BodyPart, 0, last, b""),
        case("body_part_broken", FrameType::BodyPart, 0, broken, b""),
        case("stream_credit", FrameType::StreamCredit, 0, caller, b""),
        case(
            "stream_credit_worker",
            FrameType::StreamCredit,
            0,
            worker,
            b"",
        ),
    ]
}
