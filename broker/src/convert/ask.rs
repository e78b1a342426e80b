//! Frames about requests to services to commands. What needs no state is checked here.

use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use verteilt_core::{
    Content, Durable, Forward, GatewayId, Health, NewRequest, Part, Reply, RequestCommand,
    RequestId, Serve, ServerInfo, Side,
};
use verteilt_protocol::limits::{
    CREDIT_BYTES_DEFAULT, CREDIT_BYTES_MAX, CREDIT_REQUESTS_MAX, FINGERPRINT_BYTES_MAX,
    HEADER_BYTES_MAX, LABEL_BYTES_MAX, PART_BYTES, REQUESTS_OPEN_MAX, RESULT_WAIT_MS_MAX,
    SERVE_BYTES_MAX, SERVE_ENTRIES_MAX,
};
use verteilt_protocol::{ErrorCode, Frame, FrameType, wire};

use super::request::{Bad, Context, message, name, range, unexpected};

/// What a frame about requests asks for.
pub(super) fn ask(kind: FrameType, frame: Frame, context: &Context) -> Result<RequestCommand, Bad> {
    Ok(match kind {
        FrameType::Request => RequestCommand::Send(Box::new(request(frame, context)?)),
        FrameType::BodyPart => {
            let part: wire::BodyPart = message(&frame)?;
            let side = side(&part.request_id, part.token)?;
            let part = Part {
                payload: payload(frame.payload)?,
                more: part.more,
                broken: part.abort_code != 0,
            };
            RequestCommand::Part(side, part)
        }
        FrameType::Reply => {
            let reply: wire::Reply = message(&frame)?;
            RequestCommand::Reply(Reply {
                token: reply.token,
                status: reply.status,
                content: content(frame.payload, reply.header_length, reply.more)?,
            })
        }
        FrameType::Forward => RequestCommand::Forward(Box::new(forward(frame, context)?)),
        FrameType::RequestCancel => {
            let cancel: wire::RequestCancel = message(&frame)?;
            RequestCommand::Cancel(RequestId(id(&cancel.request_id, "request_id")?))
        }
        FrameType::StreamCredit => {
            let credit: wire::StreamCredit = message(&frame)?;
            RequestCommand::Credit(side(&credit.request_id, credit.token)?, credit.bytes)
        }
        FrameType::Inbox => inbox(&message(&frame)?, context)?,
        FrameType::Serve => RequestCommand::Serve(Box::new(serve(message(&frame)?, context)?)),
        FrameType::Unserve => {
            let wire::Unserve { subscription } = message(&frame)?;
            RequestCommand::Unserve(subscription)
        }
        FrameType::Services => {
            let services: wire::ServicesRequest = message(&frame)?;
            let service = match services.service.as_str() {
                "" => None,
                service => Some(name(service, context)?.name),
            };
            RequestCommand::Services {
                namespace: Arc::clone(&context.namespace),
                service,
                after: services.after,
            }
        }
        FrameType::Result => {
            let result: wire::ResultRequest = message(&frame)?;
            RequestCommand::Result {
                namespace: Arc::clone(&context.namespace),
                request: RequestId(id(&result.request_id, "request_id")?),
                wait_ms: result.wait_ms.min(RESULT_WAIT_MS_MAX),
            }
        }
        FrameType::Trace => {
            let trace: wire::TraceRequest = message(&frame)?;
            RequestCommand::Trace {
                namespace: Arc::clone(&context.namespace),
                request: RequestId(id(&trace.request_id, "request_id")?),
            }
        }
        other => return Err(unexpected(other)),
    })
}

/// A few bytes that ask for a whole frame; see `Request::is_look`.
pub(crate) fn is_look(command: &RequestCommand) -> bool {
    matches!(
        command,
        RequestCommand::Services { .. } | RequestCommand::Trace { .. }
    )
}

fn id(bytes: &Bytes, field: &str) -> Result<u128, Bad> {
    let id = <[u8; 16]>::try_from(&bytes[..]).map_err(|_| {
        let text = format!("{field} has {} bytes, not 16", bytes.len());
        Bad::new(ErrorCode::BadArgument, text)
    })?;
    Ok(u128::from_be_bytes(id))
}

/// A frame names its request in one of two ways.
fn side(request: &Bytes, token: u64) -> Result<Side, Bad> {
    match (request.is_empty(), token) {
        (true, 0) => Err(range("request_id or token")),
        (true, token) => Ok(Side::Worker(token)),
        (false, _) => Ok(Side::Caller(RequestId(id(request, "request_id")?))),
    }
}

/// The broker writes other fields around it than the sender did, and the frame must still fit.
fn payload(payload: Bytes) -> Result<Bytes, Bad> {
    if payload.len() > PART_BYTES {
        let text = format!("{} bytes in one frame; send parts", payload.len());
        return Err(Bad::new(ErrorCode::BodyTooLarge, text));
    }
    Ok(payload)
}

fn content(bytes: Bytes, header_length: u32, more: bool) -> Result<Content, Bad> {
    if header_length as usize > HEADER_BYTES_MAX {
        let text = format!("a header block is over {HEADER_BYTES_MAX} bytes");
        return Err(Bad::new(ErrorCode::HeadersTooLarge, text));
    }
    let payload = payload(bytes)?;
    if header_length as usize > payload.len() {
        let text = "header_length is more than the payload";
        return Err(Bad::new(ErrorCode::MalformedMessage, text));
    }
    Ok(Content {
        header_length,
        payload,
        more,
    })
}

fn label(text: &str, field: &str) -> Result<Arc<str>, Bad> {
    if text.len() > LABEL_BYTES_MAX {
        return Err(range(field));
    }
    Ok(Arc::from(text))
}

fn request(frame: Frame, context: &Context) -> Result<NewRequest, Bad> {
    let request: wire::Request = message(&frame)?;
    let durable = durable(&request, &frame.payload)?;
    let parent = match request.parent_request_id.is_empty() {
        true => None,
        false => Some(RequestId(id(
            &request.parent_request_id,
            "parent_request_id",
        )?)),
    };
    Ok(NewRequest {
        id: RequestId(id(&request.request_id, "request_id")?),
        parent,
        service: name(&request.service, context)?,
        version: label(&request.version, "version")?,
        endpoint: label(&request.endpoint, "endpoint")?,
        deadline_ms: request.deadline_ms,
        content: content(frame.payload, request.header_length, request.more)?,
        durable,
    })
}

fn durable(request: &wire::Request, payload: &[u8]) -> Result<Option<Durable>, Bad> {
    match request.durability() {
        wire::Durability::Disk => {}
        wire::Durability::Default | wire::Durability::Memory => {
            if request.detach || !request.fingerprint.is_empty() {
                let text = "detach and fingerprint are for requests of durability `disk`";
                return Err(Bad::new(ErrorCode::BadArgument, text));
            }
            return Ok(None);
        }
        wire::Durability::Replicated => {
            let text = "durability `replicated` needs a cluster; this is a single broker";
            return Err(Bad::new(ErrorCode::Unsupported, text));
        }
    }
    if request.fingerprint.len() > FINGERPRINT_BYTES_MAX {
        return Err(range("fingerprint"));
    }
    if request.more {
        let text = format!("a request of durability `disk` has {PART_BYTES} bytes at most");
        return Err(Bad::new(ErrorCode::BodyTooLarge, text));
    }
    Ok(Some(Durable {
        fingerprint: fingerprint(request, payload),
        detach: request.detach,
    }))
}

/// Half of a SHA-256: of what the caller made of its request, else of what makes it what it is.
fn fingerprint(request: &wire::Request, payload: &[u8]) -> u128 {
    let mut hash = Sha256::new();
    if request.fingerprint.is_empty() {
        for text in [&request.service, &request.version, &request.endpoint] {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
        hash.update(
            payload
                .get(request.header_length as usize..)
                .unwrap_or_default(),
        );
    } else {
        hash.update(&request.fingerprint);
    }
    let hash = hash.finalize();
    let (half, _) = hash.split_at(16);
    u128::from_be_bytes(half.try_into().unwrap_or_default())
}

fn forward(frame: Frame, context: &Context) -> Result<Forward, Bad> {
    let forward: wire::Forward = message(&frame)?;
    Ok(Forward {
        token: forward.token,
        service: name(&forward.service, context)?,
        version: label(&forward.version, "version")?,
        endpoint: label(&forward.endpoint, "endpoint")?,
        rest_from_caller: forward.rest_from_caller,
        content: content(frame.payload, forward.header_length, forward.more)?,
    })
}

fn inbox(inbox: &wire::Inbox, context: &Context) -> Result<RequestCommand, Bad> {
    if inbox.request_ids.len() > REQUESTS_OPEN_MAX {
        return Err(range("request_ids"));
    }
    let waiting = inbox.request_ids.iter();
    Ok(RequestCommand::Inbox {
        namespace: Arc::clone(&context.namespace),
        gateway: GatewayId(id(&inbox.gateway_id, "gateway_id")?),
        waiting: waiting
            .map(|request| Ok(RequestId(id(request, "request_ids")?)))
            .collect::<Result<_, Bad>>()?,
    })
}

fn serve(serve: wire::Serve, context: &Context) -> Result<Serve, Bad> {
    let health = match serve.health() {
        wire::Health::Unhealthy => Health::Unhealthy,
        wire::Health::Draining => Health::Draining,
        wire::Health::Healthy | wire::Health::Unspecified => Health::Healthy,
    };
    let texts = serve.endpoints.iter().map(String::len);
    let metadata = serve.metadata.iter();
    let bytes: usize = texts
        .chain(metadata.map(|entry| entry.name.len() + entry.value.len()))
        .chain([serve.host.len()])
        .sum();
    let entries = serve.endpoints.len().max(serve.metadata.len());
    if bytes > SERVE_BYTES_MAX || entries > SERVE_ENTRIES_MAX {
        return Err(range("endpoints, host or metadata"));
    }
    let copied = |entry: wire::Header| (entry.name, Bytes::copy_from_slice(&entry.value));
    Ok(Serve {
        subscription: serve.subscription,
        service: name(&serve.service, context)?,
        credit_requests: serve.credit_requests.min(CREDIT_REQUESTS_MAX),
        credit_bytes: match serve.credit_bytes {
            0 => CREDIT_BYTES_DEFAULT,
            bytes => bytes.min(CREDIT_BYTES_MAX),
        },
        health,
        info: ServerInfo {
            version: label(&serve.version, "version")?,
            instance: label(&serve.instance, "instance")?,
            endpoints: serve.endpoints,
            host: serve.host,
            process: serve.process,
            started_ms: serve.started_ms,
            metadata: serve.metadata.into_iter().map(copied).collect(),
        },
    })
}
