//! Events to bytes.

use bytes::{BufMut, BytesMut};

use super::body::BodyRun;
use super::run::RecordRun;
use super::wire::{put_ids, put_text, put_timed, put_varint, put_zigzag};
use super::{request, tag, topic};
use crate::event::{Event, Pushed};
use crate::id::Millis;

/// Appends the time of the events that follow.
pub fn encode_clock(out: &mut BytesMut, now_ms: Millis) {
    record(out, tag::CLOCK, |out| put_varint(out, now_ms));
}

/// What an event brought that is looked up again later; positions count from the beginning of all
/// bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Nothing of that kind.
    Nothing,
    /// Bodies of jobs or requests.
    Bodies(BodyRun),
    /// Records of a topic.
    Records(RecordRun),
}

/// Appends a durable event, and tells where in `out` what it brought lies.
pub fn encode_event(out: &mut BytesMut, event: &Event) -> Written {
    debug_assert!(event.is_durable(), "volatile events are never written");
    match event {
        Event::Pushed(pushed) => return Written::Bodies(encode_pushed(out, pushed)),
        Event::Topic(event) => return topic::encode(out, event),
        Event::Request(event) => return request::encode(out, event),
        Event::PartStored {
            session,
            upload,
            id,
            payload,
        } => {
            record(out, tag::PART_STORED, |out| {
                out.put_u128_le(session.0);
                put_varint(out, *upload);
                put_varint(out, id.0);
                out.put_slice(payload);
            });
            let payload_at = out.len() - payload.len();
            return Written::Bodies(BodyRun::single(*id, payload_at, payload.len()));
        }
        Event::Started { epoch } => record(out, tag::STARTED, |out| put_varint(out, *epoch)),
        Event::QueueCreated {
            queue,
            namespace,
            name,
        } => record(out, tag::QUEUE_CREATED, |out| {
            put_varint(out, u64::from(queue.0));
            put_text(out, namespace);
            put_text(out, name);
        }),
        Event::UploadDropped { session, upload } => record(out, tag::UPLOAD_DROPPED, |out| {
            out.put_u128_le(session.0);
            put_varint(out, *upload);
        }),
        // The token is the event's own LSN, and credit ends with the connection: neither is written.
        Event::Leased { session, ids, .. } => record(out, tag::LEASED, |out| {
            out.put_u128_le(session.0);
            put_ids(out, ids);
        }),
        Event::Acked { ids } => record(out, tag::ACKED, |out| put_ids(out, ids)),
        Event::Failed { jobs } => record(out, tag::FAILED, |out| put_timed(out, jobs)),
        Event::Died { ids } => record(out, tag::DIED, |out| put_ids(out, ids)),
        Event::Requeued { ids, excused } => record(out, tag::REQUEUED, |out| {
            out.put_u8(u8::from(*excused));
            put_ids(out, ids);
        }),
        Event::Touched { jobs } => record(out, tag::TOUCHED, |out| put_timed(out, jobs)),
        Event::QueuePaused { queue, paused } => record(out, tag::QUEUE_PAUSED, |out| {
            put_varint(out, u64::from(queue.0));
            out.put_u8(u8::from(*paused));
        }),
        Event::Purged { ids } => record(out, tag::PURGED, |out| put_ids(out, ids)),
        Event::ProducersForgotten { producers } => record(out, tag::PRODUCERS_FORGOTTEN, |out| {
            put_varint(out, producers.len() as u64);
            producers
                .iter()
                .for_each(|producer| out.put_u128_le(producer.0));
        }),
    }
    Written::Nothing
}

pub(super) const HAS_PRODUCER: u8 = 1;
pub(super) const HAS_HEADERS: u8 = 2;
pub(super) const HAS_UPLOAD: u8 = 4;

fn encode_pushed(out: &mut BytesMut, pushed: &Pushed) -> BodyRun {
    let count = pushed.count();
    let headers = pushed.lengths.headers.len();
    out.reserve(160 + 4 * (count + headers) + pushed.payload.len());
    let mut run = BodyRun::single(pushed.first_id, 0, 0);
    record(out, tag::PUSHED, |out| {
        put_varint(out, u64::from(pushed.queue.0));
        let flags = [
            (pushed.producer.is_some(), HAS_PRODUCER),
            (headers > 0, HAS_HEADERS),
            (pushed.upload != 0, HAS_UPLOAD),
        ];
        out.put_u8(
            flags
                .iter()
                .filter(|(set, _)| *set)
                .map(|(_, bit)| bit)
                .sum(),
        );
        put_varint(out, pushed.first_id.0);
        put_zigzag(out, pushed.priority);
        put_varint(out, pushed.due_ms);
        put_varint(out, u64::from(pushed.attempts_max));
        put_varint(out, u64::from(pushed.lease_ms));
        if let Some((producer, sequence)) = pushed.producer {
            out.put_u128_le(producer.0);
            put_varint(out, sequence);
        }
        if pushed.upload != 0 {
            out.put_u128_le(pushed.session.0);
            put_varint(out, pushed.upload);
            put_varint(out, u64::from(pushed.parts_bytes));
            put_ids(out, &pushed.parts);
        }
        put_varint(out, count as u64);
        let ends_at = out.len();
        pushed
            .lengths
            .ends
            .iter()
            .for_each(|end| out.put_u32_le(*end));
        let headers_at = (headers > 0).then_some(out.len());
        pushed
            .lengths
            .headers
            .iter()
            .for_each(|length| out.put_u32_le(*length));
        let payload_at = out.len();
        run = BodyRun::batch(
            pushed.first_id,
            count as u32,
            ends_at,
            headers_at,
            payload_at,
        );
        out.put_slice(&pushed.payload);
    });
    run
}

pub(super) fn record(out: &mut BytesMut, tag: u8, fields: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_u32_le(0);
    out.put_u8(tag);
    fields(out);
    let length = u32::try_from(out.len() - start - 4).expect("a frame bounds every event");
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}
