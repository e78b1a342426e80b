//! SERVE to TRACE_REPLY.

use bytes::Bytes;
use verteilt_protocol::wire::{
    Header, Health, InstanceStats, Serve, ServiceStats, ServicesReply, ServicesRequest, TraceKind,
    TraceReply, TraceRequest, TraceStep, TracedRequest, Unserve,
};
use verteilt_protocol::{ErrorCode, FrameType};

use crate::case::{Case, case};
use crate::connection::id;

fn metadata() -> Vec<Header> {
    vec![Header {
        name: "zone".into(),
        value: Bytes::from_static(b"a"),
    }]
}

pub(crate) fn cases() -> Vec<Case> {
    let serve = Serve {
        subscription: 3,
        service: "thumbnails".into(),
        version: "2".into(),
        instance: "one".into(),
        credit_requests: 64,
        credit_bytes: 8_388_608,
        health: Health::Healthy.into(),
        endpoints: vec!["resize".into(), "crop".into()],
        host: "mill".into(),
        process: 4_711,
        started_ms: 1_760_000_000_000,
        metadata: metadata(),
    };
    let draining = Serve {
        subscription: 3,
        service: "thumbnails".into(),
        health: Health::Draining.into(),
        ..Serve::default()
    };
    let mut cases = vec![
        case("serve", FrameType::Serve, 54, serve, b""),
        case("serve_draining", FrameType::Serve, 55, draining, b""),
        case(
            "unserve",
            FrameType::Unserve,
            56,
            Unserve { subscription: 3 },
            b"",
        ),
    ];
    cases.extend(lists());
    cases.extend(traces());
    cases
}

fn lists() -> Vec<Case> {
    let ask = ServicesRequest {
        service: String::new(),
        after: "mail".into(),
    };
    let instance = InstanceStats {
        instance: "one".into(),
        version: "2".into(),
        endpoints: vec!["resize".into()],
        host: "mill".into(),
        process: 4_711,
        started_ms: 1_760_000_000_000,
        health: Health::Unhealthy.into(),
        metadata: metadata(),
        credit_requests: 64,
        in_flight: 2,
        replies: vec![0, 1_000, 3, 20, 1],
        forwarded: 5,
        expired: 6,
        cancelled: 7,
        broken: 8,
        wait_us: vec![900, 100, 29],
        run_us: vec![0, 0, 0, 1_029],
    };
    let service = ServiceStats {
        service: "thumbnails".into(),
        waiting: 4,
        waiting_bytes: 4_096,
        refused: 1,
        expired: 2,
        cancelled: 3,
        instances: vec![instance],
        instances_left_out: 9,
    };
    let reply = ServicesReply {
        services: vec![service],
        more: true,
    };
    vec![
        case("services", FrameType::Services, 57, ask, b""),
        case("services_reply", FrameType::ServicesReply, 57, reply, b""),
    ]
}

fn traces() -> Vec<Case> {
    let ask = TraceRequest {
        request_id: id(0x20),
    };
    let accepted = TraceStep {
        kind: TraceKind::Accepted.into(),
        service: "thumbnails".into(),
        version: "2".into(),
        endpoint: "resize".into(),
        ..TraceStep::default()
    };
    let started = TraceStep {
        kind: TraceKind::Started.into(),
        at_us: 31,
        instance: "one".into(),
        ..accepted.clone()
    };
    let ended = TraceStep {
        kind: TraceKind::Ended.into(),
        at_us: 30_000_000,
        number: ErrorCode::DeadlineExceeded.number(),
        ..started.clone()
    };
    let traced = TracedRequest {
        request_id: id(0x20),
        parent_request_id: id(0x10),
        gateway_id: id(0x40),
        time_us: 1_760_000_000_000_123,
        steps: vec![accepted, started, ended],
    };
    let reply = TraceReply {
        requests: vec![traced],
    };
    vec![
        case("trace", FrameType::Trace, 58, ask, b""),
        case("trace_reply", FrameType::TraceReply, 58, reply, b""),
    ]
}
