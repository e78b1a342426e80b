//! What is told about requests to services, as frames.

use bytes::{Bytes, BytesMut};
use verteilt_core::{
    Content, Part, Refusal, RequestEffect, RequestId, RequestResult, ServerInfo, Side,
};
use verteilt_protocol::{FrameType, encode, encode_empty, wire};

use super::{answer, code_of, registry};

/// Appends the frame of an effect.
pub(crate) fn tell(out: &mut BytesMut, effect: &RequestEffect) {
    match effect {
        RequestEffect::Done { correlation } => encode_empty(out, FrameType::Ok, 0, *correlation),
        RequestEffect::Refused {
            correlation,
            refusal,
        } => answer::refused(out, *correlation, code_of(*refusal), &refusal.to_string()),
        RequestEffect::Deliver { .. } => deliver(out, effect),
        RequestEffect::Reply {
            request,
            status,
            content,
            replayed,
        } => reply(out, (*request, *replayed), *status, content),
        RequestEffect::Accepted {
            correlation,
            request,
            known,
        } => {
            let message = wire::RequestAccepted {
                request_id: id(request.0),
                known: *known,
            };
            encode(
                out,
                FrameType::RequestAccepted,
                0,
                *correlation,
                &message,
                &[],
            );
        }
        RequestEffect::Result {
            correlation,
            request,
            result,
        } => result_reply(out, *correlation, *request, result),
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
        attempt,
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
        attempt: u32::from(*attempt),
        ..wire::Request::default()
    };
    encode(out, FrameType::Request, 0, 0, &message, &content.payload);
}

fn reply(
    out: &mut BytesMut,
    (request, replayed): (RequestId, bool),
    status: u32,
    content: &Content,
) {
    let message = wire::Reply {
        request_id: id(request.0),
        token: 0,
        status,
        header_length: content.header_length,
        more: content.more,
        replayed,
    };
    encode(out, FrameType::Reply, 0, 0, &message, &content.payload);
}

fn result_reply(out: &mut BytesMut, correlation: u64, request: RequestId, result: &RequestResult) {
    let mut message = wire::ResultReply {
        request_id: id(request.0),
        ..wire::ResultReply::default()
    };
    let mut payload = &Bytes::new();
    match result {
        RequestResult::Pending { deadline_ms } => {
            message.state = wire::ResultState::Pending.into();
            message.left_ms = *deadline_ms;
        }
        RequestResult::Replied {
            status,
            content,
            kept_ms,
        } => {
            message.state = wire::ResultState::Replied.into();
            message.left_ms = *kept_ms;
            message.status = *status;
            message.header_length = content.header_length;
            payload = &content.payload;
        }
        RequestResult::Failed {
            refusal,
            holder,
            kept_ms,
        } => {
            message.state = wire::ResultState::Failed.into();
            message.left_ms = *kept_ms;
            message.code = code_of(*refusal).number();
            let holder = holder.as_ref().map(|(name, info)| (&**name, &**info));
            message.message = explain(*refusal, holder);
            message.service = holder.map_or("", |(name, _)| name).to_owned();
        }
    }
    encode(
        out,
        FrameType::ResultReply,
        0,
        correlation,
        &message,
        payload,
    );
}

/// Why a request has no reply, and who held it.
fn explain(refusal: Refusal, holder: Option<(&str, &ServerInfo)>) -> String {
    match holder {
        Some((service, info)) if info.instance.is_empty() => {
            format!("{refusal}; held by {service}")
        }
        Some((service, info)) => {
            format!("{refusal}; held by {service}, instance {}", info.instance)
        }
        None if refusal == Refusal::DeadlineExceeded => {
            format!("{refusal}; it waited for a worker")
        }
        None => refusal.to_string(),
    }
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
        message: explain(refusal, holder),
        ..wire::RequestEnded::default()
    };
    if let Some((service, info)) = holder {
        message.service = service.to_owned();
        message.version = info.version.to_string();
        message.instance = info.instance.to_string();
    }
    encode(out, FrameType::RequestEnded, 0, 0, &message, &[]);
}
