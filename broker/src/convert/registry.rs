//! Who serves what, and the ways of requests, as frames. Both may be long, so both are cut to what a
//! frame holds.

use bytes::BytesMut;
use prost::Message;
use verteilt_core::{Health, InstanceStats, ServiceStats, TraceKind, TraceStep, TracedRequest};
use verteilt_protocol::{FrameType, encode, wire};

use super::requests::id;
use super::{FRAME_ROOM_BYTES, code_of};

/// Appends the answer to SERVICES.
pub(super) fn services(
    out: &mut BytesMut,
    correlation: u64,
    services: &[ServiceStats],
    more: bool,
) {
    let mut message = wire::ServicesReply {
        services: Vec::new(),
        more,
    };
    let mut bytes = 0;
    for stats in services {
        let service = service(stats);
        bytes += service.encoded_len() + 8;
        if bytes > FRAME_ROOM_BYTES && !message.services.is_empty() {
            message.more = true;
            break;
        }
        message.services.push(service);
    }
    encode(out, FrameType::ServicesReply, 0, correlation, &message, &[]);
}

fn service(stats: &ServiceStats) -> wire::ServiceStats {
    let mut service = wire::ServiceStats {
        service: stats.service.clone(),
        waiting: stats.waiting,
        waiting_bytes: stats.waiting_bytes,
        refused: stats.refused,
        expired: stats.expired,
        cancelled: stats.cancelled,
        instances: Vec::new(),
        instances_left_out: 0,
    };
    let mut bytes = 0;
    for stats in &stats.instances {
        let instance = instance(stats);
        bytes += instance.encoded_len() + 8;
        if bytes > FRAME_ROOM_BYTES {
            service.instances_left_out += 1;
        } else {
            service.instances.push(instance);
        }
    }
    service
}

fn instance(stats: &InstanceStats) -> wire::InstanceStats {
    let (info, counts) = (&stats.info, &stats.counts);
    let health = match stats.health {
        Health::Healthy => wire::Health::Healthy,
        Health::Unhealthy => wire::Health::Unhealthy,
        Health::Draining => wire::Health::Draining,
    };
    let metadata = info.metadata.iter().map(|(name, value)| wire::Header {
        name: name.clone(),
        value: value.clone(),
    });
    wire::InstanceStats {
        instance: info.instance.to_string(),
        version: info.version.to_string(),
        endpoints: info.endpoints.clone(),
        host: info.host.clone(),
        process: info.process,
        started_ms: info.started_ms,
        health: health.into(),
        metadata: metadata.collect(),
        credit_requests: stats.credit_requests,
        in_flight: stats.in_flight,
        replies: counts.replies.to_vec(),
        forwarded: counts.forwarded,
        expired: counts.expired,
        cancelled: counts.cancelled,
        broken: counts.broken,
        wait_us: stats.wait_us.counts().to_vec(),
        run_us: stats.run_us.counts().to_vec(),
    }
}

/// Appends the answer to TRACE.
pub(super) fn trace(out: &mut BytesMut, correlation: u64, requests: &[TracedRequest]) {
    let mut message = wire::TraceReply::default();
    let mut bytes = 0;
    for request in requests {
        let traced = traced(request);
        bytes += traced.encoded_len() + 8;
        if bytes > FRAME_ROOM_BYTES {
            break;
        }
        message.requests.push(traced);
    }
    encode(out, FrameType::TraceReply, 0, correlation, &message, &[]);
}

fn traced(traced: &TracedRequest) -> wire::TracedRequest {
    let begun_us = traced.steps.first().map_or(0, |step| step.at_us);
    let steps = traced.steps.iter();
    wire::TracedRequest {
        request_id: id(traced.request.0),
        parent_request_id: traced.parent.map(|parent| id(parent.0)).unwrap_or_default(),
        gateway_id: id(traced.gateway.0),
        time_us: begun_us,
        steps: steps.map(|taken| step(taken, begun_us)).collect(),
    }
}

fn step(step: &TraceStep, begun_us: u64) -> wire::TraceStep {
    let (kind, number) = match step.kind {
        TraceKind::Accepted => (wire::TraceKind::Accepted, 0),
        TraceKind::Waiting => (wire::TraceKind::Waiting, 0),
        TraceKind::Started => (wire::TraceKind::Started, 0),
        TraceKind::Forwarded => (wire::TraceKind::Forwarded, 0),
        TraceKind::Replied(status) => (wire::TraceKind::Replied, status),
        TraceKind::Returned(refusal) => (wire::TraceKind::Returned, code_of(refusal).number()),
        TraceKind::Ended(refusal) => {
            let code = refusal.map_or(0, |refusal| code_of(refusal).number());
            (wire::TraceKind::Ended, code)
        }
    };
    wire::TraceStep {
        kind: kind.into(),
        at_us: step.at_us - begun_us,
        service: step.service.to_string(),
        version: step.version.to_string(),
        instance: step.instance.to_string(),
        endpoint: step.endpoint.to_string(),
        number,
    }
}
