//! Requests of durability `disk`: REQUEST_ACCEPTED to RESULT_REPLY.

use bytes::Bytes;
use verteilt_protocol::wire::{
    Durability, Request, RequestAccepted, ResultReply, ResultRequest, ResultState,
};
use verteilt_protocol::{ErrorCode, FrameType};

use crate::case::{Case, case};
use crate::connection::id;
use crate::jobs::header_block;

pub(crate) fn cases() -> Vec<Case> {
    let block = header_block();
    let payload = [&block[..], b"body"].concat();
    let request = Request {
        service: "pay".into(),
        request_id: id(0x20),
        deadline_ms: 600_000,
        durability: Durability::Disk.into(),
        header_length: block.len() as u32,
        detach: true,
        fingerprint: Bytes::from_static(b"0123456789abcdef"),
        ..Request::default()
    };
    let accepted = RequestAccepted {
        request_id: id(0x20),
        known: true,
    };
    let ask = ResultRequest {
        request_id: id(0x20),
        wait_ms: 10_000,
    };
    let pending = ResultReply {
        request_id: id(0x20),
        state: ResultState::Pending.into(),
        left_ms: 599_000,
        ..ResultReply::default()
    };
    let replied = ResultReply {
        state: ResultState::Replied.into(),
        left_ms: 86_400_000,
        status: 201,
        header_length: block.len() as u32,
        ..pending.clone()
    };
    let failed = ResultReply {
        state: ResultState::Failed.into(),
        left_ms: 86_400_000,
        code: ErrorCode::WorkerLost.number(),
        message: "gone".into(),
        service: "pay".into(),
        ..pending.clone()
    };
    vec![
        case("request_disk", FrameType::Request, 60, request, &payload),
        case(
            "request_accepted",
            FrameType::RequestAccepted,
            60,
            accepted,
            b"",
        ),
        case("result", FrameType::Result, 61, ask, b""),
        case("result_pending", FrameType::ResultReply, 61, pending, b""),
        case(
            "result_replied",
            FrameType::ResultReply,
            61,
            replied,
            &payload,
        ),
        case("result_failed", FrameType::ResultReply, 61, failed, b""),
    ]
}
