//! HELLO to PUSH_CREDIT.

use bytes::Bytes;
use verteilt_protocol::wire::{Authentication, Error, Goodbye, Hello, Limits, PushCredit, Welcome};
use verteilt_protocol::{ErrorCode, FLAG_CUMULATIVE, FrameType, limits};

use crate::case::{Case, case, empty};

/// Sixteen bytes `first`, `first + 1`, ...
pub(crate) fn id(first: u8) -> Bytes {
    (first..first + 16).collect()
}

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case("hello", FrameType::Hello, 1, hello(), b""),
        case(
            "hello_authenticated",
            FrameType::Hello,
            1,
            hello_authenticated(),
            b"",
        ),
        case("welcome", FrameType::Welcome, 1, welcome(), b""),
        empty("heartbeat", FrameType::Heartbeat, 0, 0),
        case(
            "goodbye",
            FrameType::Goodbye,
            0,
            Goodbye {
                reason: "done".into(),
            },
            b"",
        ),
        case(
            "goodbye_empty",
            FrameType::Goodbye,
            0,
            Goodbye::default(),
            b"",
        ),
        empty("ok", FrameType::Ok, 0, 300),
        empty(
            "ok_cumulative",
            FrameType::Ok,
            FLAG_CUMULATIVE,
            1_000_000_007,
        ),
        empty("ok_largest_correlation", FrameType::Ok, 0, u64::MAX),
        case(
            "error",
            FrameType::Error,
            12,
            ErrorCode::BadName.error("bad queue name"),
            b"",
        ),
        case("error_retryable", FrameType::Error, 13, disk_full(), b""),
        case(
            "error_connection",
            FrameType::Error,
            0,
            ErrorCode::HeartbeatMissed.error(""),
            b"",
        ),
        case("error_unknown_code", FrameType::Error, 14, unknown(), b""),
        empty("cancel", FrameType::Cancel, 0, 21),
        case(
            "push_credit",
            FrameType::PushCredit,
            0,
            PushCredit { bytes: 65_536 },
            b"",
        ),
    ]
}

fn hello() -> Hello {
    Hello {
        held_ids: vec![7, 300],
        held_tokens: vec![21, 22],
        names_leases: true,
        version_min: 1,
        version_max: 1,
        client_name: "verteilt-rust".into(),
        client_version: "0.1.0".into(),
        capabilities: vec!["jobs".into()],
        session: id(0),
        ..Hello::default()
    }
}

fn hello_authenticated() -> Hello {
    Hello {
        held_ids: Vec::new(),
        held_tokens: Vec::new(),
        names_leases: false,
        version_min: 1,
        version_max: 3,
        capabilities: vec!["jobs".into(), "topics".into()],
        authentication: Some(Authentication {
            scheme: "token".into(),
            data: Bytes::from_static(b"\x00secret\xff"),
        }),
        namespace: "eu.shop".into(),
        ..hello()
    }
}

fn welcome() -> Welcome {
    Welcome {
        version: 1,
        server_name: "verteilt".into(),
        server_version: "0.1.0".into(),
        capabilities: vec!["jobs".into()],
        broker_id: id(0xA0),
        epoch: 3,
        limits: Some(Limits {
            frame_bytes: limits::FRAME_BYTES_MAX as u32,
            body_bytes: limits::BODY_BYTES_MAX,
            header_bytes: limits::HEADER_BYTES_MAX as u32,
            batch_jobs: limits::BATCH_JOBS_MAX as u32,
            name_bytes: limits::NAME_BYTES_MAX as u32,
        }),
        heartbeat_ms: limits::HEARTBEAT_MS,
        push_credit: limits::PUSH_CREDIT_BYTES,
        leases_held: 2,
    }
}

fn disk_full() -> Error {
    Error {
        retry_after_ms: 500,
        ..ErrorCode::DiskFull.error("the journal is full")
    }
}

/// As a newer broker may send it: a client goes by `retryable`.
fn unknown() -> Error {
    Error {
        code: 9_999,
        message: "new".into(),
        retryable: true,
        retry_after_ms: 0,
    }
}
