//! Events about requests of durability `disk` to bytes and back. Those that bring a body begin
//! alike (request, id of the body, bytes of its header block, bytes of both), so that the body is
//! found without reading the rest; it stands at the end.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use super::body::BodyRun;
use super::wire::{Fields, put_text, put_varint};
use super::write::record;
use super::{CodecError, Written, tag};
use crate::effect::Refusal;
use crate::event::{AcceptedRequest, RequestEvent};
use crate::id::{JobId, RequestId};

pub(super) fn encode(out: &mut BytesMut, event: &RequestEvent) -> Written {
    match event {
        RequestEvent::Accepted(it) => {
            let front = (it.request, it.body, it.header_length);
            with_body(out, tag::REQUEST_ACCEPTED, front, &it.payload, |out| {
                put_text(out, &it.namespace);
                put_text(out, &it.service);
                put_text(out, &it.version);
                put_text(out, &it.endpoint);
                put_varint(out, it.deadline_ms);
                out.put_u128_le(it.fingerprint);
            })
        }
        RequestEvent::Forwarded(it) => {
            let front = (it.request, it.body, it.header_length);
            with_body(out, tag::REQUEST_FORWARDED, front, &it.payload, |out| {
                put_text(out, &it.service);
                put_text(out, &it.version);
                put_text(out, &it.endpoint);
            })
        }
        RequestEvent::Replied {
            request,
            status,
            until_ms,
            body,
            header_length,
            payload,
        } => {
            let front = (*request, *body, *header_length);
            with_body(out, tag::REQUEST_REPLIED, front, payload, |out| {
                put_varint(out, u64::from(*status));
                put_varint(out, *until_ms);
            })
        }
        RequestEvent::Started { request } => {
            record(out, tag::REQUEST_STARTED, |out| out.put_u128_le(request.0));
            Written::Nothing
        }
        RequestEvent::Failed {
            request,
            refusal,
            holder,
            until_ms,
        } => {
            record(out, tag::REQUEST_FAILED, |out| {
                out.put_u128_le(request.0);
                out.put_u8(reason_number(*refusal));
                put_text(out, holder);
                put_varint(out, *until_ms);
            });
            Written::Nothing
        }
        RequestEvent::Forgotten { requests } => {
            record(out, tag::REQUESTS_FORGOTTEN, |out| {
                put_varint(out, requests.len() as u64);
                let ids = requests.iter();
                ids.for_each(|request| out.put_u128_le(request.0));
            });
            Written::Nothing
        }
    }
}

fn with_body(
    out: &mut BytesMut,
    tag: u8,
    (request, body, header_length): (RequestId, JobId, u32),
    payload: &Bytes,
    fields: impl FnOnce(&mut BytesMut),
) -> Written {
    out.reserve(payload.len() + 160);
    record(out, tag, |out| {
        out.put_u128_le(request.0);
        put_varint(out, body.0);
        put_varint(out, u64::from(header_length));
        put_varint(out, payload.len() as u64);
        fields(out);
        out.put_slice(payload);
    });
    let payload_at = out.len() - payload.len();
    Written::Bodies(BodyRun::single(body, payload_at, payload.len()))
}

/// Whether a record of this tag brings a body.
pub(super) const fn brings_body(tag: u8) -> bool {
    matches!(
        tag,
        tag::REQUEST_ACCEPTED | tag::REQUEST_FORWARDED | tag::REQUEST_REPLIED
    )
}

/// The body in such a record, whose fields end at `end`.
pub(super) fn body_run(fields: &mut Fields, end: usize) -> Result<BodyRun, CodecError> {
    let front = front(fields)?;
    Ok(BodyRun::single(
        front.body,
        end - front.length,
        front.length,
    ))
}

struct Front {
    request: RequestId,
    body: JobId,
    header_length: u32,
    length: usize,
}

fn front(fields: &mut Fields) -> Result<Front, CodecError> {
    let front = Front {
        request: RequestId(fields.u128()?),
        body: JobId(fields.varint()?),
        header_length: fields.narrow()?,
        length: fields.narrow()?,
    };
    fields.need(front.length)?;
    let fits = usize::try_from(front.header_length).is_ok_and(|bytes| bytes <= front.length);
    if fits {
        Ok(front)
    } else {
        Err(CodecError::Impossible)
    }
}

/// The body is all that is left.
fn rest(fields: &mut Fields, front: &Front) -> Result<Bytes, CodecError> {
    if fields.0.len() == front.length {
        Ok(std::mem::take(&mut fields.0))
    } else {
        Err(CodecError::Impossible)
    }
}

/// The event of a tag of requests; none for other tags.
pub(super) fn event(tag: u8, fields: &mut Fields) -> Result<Option<RequestEvent>, CodecError> {
    Ok(Some(match tag {
        tag::REQUEST_ACCEPTED => {
            let front = front(fields)?;
            let mut it = AcceptedRequest {
                request: front.request,
                namespace: text(fields)?,
                body: front.body,
                header_length: front.header_length,
                ..named(fields)?
            };
            it.deadline_ms = fields.varint()?;
            it.fingerprint = fields.u128()?;
            it.payload = rest(fields, &front)?;
            RequestEvent::Accepted(Box::new(it))
        }
        tag::REQUEST_FORWARDED => {
            let front = front(fields)?;
            let mut it = AcceptedRequest {
                request: front.request,
                body: front.body,
                header_length: front.header_length,
                ..named(fields)?
            };
            it.payload = rest(fields, &front)?;
            RequestEvent::Forwarded(Box::new(it))
        }
        tag::REQUEST_REPLIED => {
            let front = front(fields)?;
            RequestEvent::Replied {
                request: front.request,
                body: front.body,
                header_length: front.header_length,
                status: fields.narrow()?,
                until_ms: fields.varint()?,
                payload: rest(fields, &front)?,
            }
        }
        tag::REQUEST_STARTED => RequestEvent::Started {
            request: RequestId(fields.u128()?),
        },
        tag::REQUEST_FAILED => RequestEvent::Failed {
            request: RequestId(fields.u128()?),
            refusal: reason(fields.u8()?)?,
            holder: text(fields)?,
            until_ms: fields.varint()?,
        },
        tag::REQUESTS_FORGOTTEN => {
            let count = fields.count()?;
            let requests = (0..count).map(|_| Ok(RequestId(fields.u128()?)));
            RequestEvent::Forgotten {
                requests: requests.collect::<Result<_, _>>()?,
            }
        }
        _ => return Ok(None),
    }))
}

fn named(fields: &mut Fields) -> Result<AcceptedRequest, CodecError> {
    Ok(AcceptedRequest {
        service: text(fields)?,
        version: text(fields)?,
        endpoint: text(fields)?,
        ..AcceptedRequest::default()
    })
}

pub(super) fn text(fields: &mut Fields) -> Result<Arc<str>, CodecError> {
    fields.text().map(Arc::from)
}

/// Why a request of durability `disk` can end without an answer, by number.
const REASONS: [Refusal; 5] = [
    Refusal::DeadlineExceeded,
    Refusal::WorkerLost,
    Refusal::BodyBroken,
    Refusal::BodyTooLarge,
    Refusal::Busy,
];

pub(super) fn reason_number(refusal: Refusal) -> u8 {
    let known = REASONS.iter().position(|known| *known == refusal);
    known.expect("a request ends for one of these reasons") as u8
}

pub(super) fn reason(number: u8) -> Result<Refusal, CodecError> {
    let known = REASONS.get(usize::from(number));
    known.copied().ok_or(CodecError::Impossible)
}
