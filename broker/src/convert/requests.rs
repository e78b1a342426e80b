//! What is told about requests to services, as frames.

use bytes::{Bytes, BytesMut};
use verteilt_core::{Content, Part, Refusal, RequestEffect, RequestId, ServerInfo, Side};
use verteilt_protocol::{FrameType, encode, encode_empty, wire};

use super::{code_of, registry};

/// Appends the frame of an effect.
pub(crate) fn tell(out: &mut BytesMut, effect: &RequestEffect) {
    match effect {
        RequestEffect::Done { correlation } => encode_empty(out, FrameType::Ok, 0, *correlation),
        RequestEffect::Refused {
            correlation,
            refusal,
        } => {
            let error = code_of(*refusal).error(refusal.to_string());
            encode(out, FrameType::Error, 0, *correlation, &error, &[]);
        }
        RequestEffect::Deliver { .. } => deliver(out, effect),
        RequestEffect::Reply {
            request,
            status,
            content,
        } => reply(out, *request, *status, content),
        RequestEffect::Part(side, part) => body_part(out, *side, part),
        RequestEffect::Credit(side, bytes) => {
            let (request_id, token) = names(*side);
            let message = wire::StreamCredit {
                request_id,
                token,
                bytes: *bytes,
            };
            encode(out, FrameType::StreamCredit, 0, 0, &message, &[]);
        }
        RequestEffect::Ended {
            side,
            refusal,
            holder,
        } => {
            let holder = holder.as_ref();
            ended(
                out,
                *side,
                *refusal,
                holder.map(|(name, info)| (&**name, &**info)),
            );
        }
        RequestEffect::Services {
            correlation,
            services,
            more,
        } => registry::services(out, *correlation, services, *more),
        RequestEffect::Trace {
            correlation,
            requests,
        } => registry::trace(out, *correlation, requests),
    }
}

pub(super) fn id(id: u128) -> Bytes {
    Bytes::copy_from_slice(&id.to_be_bytes())
}

fn names(side: Side) -> (Bytes, u64) {
    match side {
        Side::Caller(request) => (id(request.0), 0),
        Side::Worker(token) => (Bytes::new(), token),
    }
}

fn deliver(out: &mut BytesMut, effect: &RequestEffect) {
    let RequestEffect::Deliver {
        subscription,
        token,
        request,
        gateway,
        endpoint,
        deadline_ms,
        forwards,
        content,
    } = effect
    else {
        return;
    };
    let message = wire::Request {
        request_id: id(request.0),
        gateway_id: id(gateway.0),
        deadline_ms: *deadline_ms,
        endpoint: endpoint.to_string(),
        header_length: content.header_length,
        more: content.more,
        subscription: *subscription,
        token: *token,
        forwards: *forwards,
        ..wire::Request::default()
    };
    encode(out, FrameType::Request, 0, 0, &message, &content.payload);
}

fn reply(out: &mut BytesMut, request: RequestId, status: u32, content: &Content) {
    let message = wire::Reply {
        request_id: id(request.0),
        token: 0,
        status,
        header_length: content.header_length,
        more: content.more,
    };
    encode(out, FrameType::Reply, 0, 0, &message, &content.payload);
}

fn body_part(out: &mut BytesMut, side: Side, part: &Part) {
    let (request_id, token) = names(side);
    let message = wire::BodyPart {
        request_id,
        token,
        more: part.more,
        abort_code: 0,
    };
    encode(out, FrameType::BodyPart, 0, 0, &message, &part.payload);
}

fn ended(out: &mut BytesMut, side: Side, refusal: Refusal, holder: Option<(&str, &ServerInfo)>) {
    let (request_id, token) = names(side);
    let mut message = wire::RequestEnded {
        request_id,
        token,
        code: code_of(refusal).number(),
        message: refusal.to_string(),
        ..wire::RequestEnded::default()
    };
    if let Some((service, info)) = holder {
        message.service = service.to_owned();
        message.version = info.version.to_string();
        message.instance = info.instance.to_string();
        message.message = format!("{refusal}; held by {service}, instance {}", info.instance);
    } else if refusal == Refusal::DeadlineExceeded {
        message.message = format!("{refusal}; it waited for a worker");
    }
    encode(out, FrameType::RequestEnded, 0, 0, &message, &[]);
}
