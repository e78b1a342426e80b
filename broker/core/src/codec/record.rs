//! The bytes of durable state in a checkpoint: job records (about 20 bytes each) and the ledger. The same state gives the same bytes: that is what [`crate::Shard`]s are compared by.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use super::wire::{Fields, put_ids, put_text, put_varint, put_zigzag};
use super::{CodecError, book, topics};
use crate::id::{JobId, ProducerId, QueueId, SessionId, SubscriptionKey};
use crate::job::{Job, Lease, Place};
use crate::ledger::{Ledger, QueueRecord, Upload};
use crate::producer::{Producer, Taken};

const QUEUED: u8 = 0;
const LEASED: u8 = 1;
const DEAD: u8 = 2;

/// Appends one job. `before` is the id of the record in front of it on the page (0 for the first).
pub fn put_job(out: &mut BytesMut, before: JobId, id: JobId, job: &Job) {
    put_varint(out, id.0 - before.0);
    put_varint(out, u64::from(job.queue.0));
    put_zigzag(out, job.priority);
    put_varint(out, job.due_ms);
    put_varint(out, u64::from(job.length));
    put_varint(out, u64::from(job.lease_ms));
    put_varint(out, u64::from(job.attempts));
    put_varint(out, u64::from(job.excused));
    put_varint(out, u64::from(job.attempts_max));
    match &job.place {
        Place::Queued => out.put_u8(QUEUED),
        Place::Leased(lease) => {
            out.put_u8(LEASED);
            put_varint(out, lease.token);
            put_varint(out, lease.until_ms);
            out.put_u128_le(lease.session.0);
        }
        Place::Dead(at_ms) => {
            out.put_u8(DEAD);
            put_varint(out, *at_ms);
        }
    }
}

/// The jobs of a page.
///
/// # Errors
/// If the bytes are not a page of this format.
pub fn jobs(page: Bytes) -> impl Iterator<Item = Result<(JobId, Job), CodecError>> {
    let mut fields = Fields(page);
    let mut before = JobId(0);
    std::iter::from_fn(move || {
        if fields.0.is_empty() {
            return None;
        }
        let job = job(&mut fields, before);
        match &job {
            Ok((id, _)) => before = *id,
            Err(_) => fields.0 = Bytes::new(),
        }
        Some(job)
    })
}

fn job(fields: &mut Fields, before: JobId) -> Result<(JobId, Job), CodecError> {
    let id = JobId(
        before
            .0
            .checked_add(fields.varint()?)
            .ok_or(CodecError::Impossible)?,
    );
    let job = Job {
        queue: QueueId(fields.narrow()?),
        priority: fields.zigzag()?,
        due_ms: fields.varint()?,
        length: fields.narrow()?,
        lease_ms: fields.narrow()?,
        attempts: fields.narrow()?,
        excused: fields.narrow()?,
        attempts_max: fields.narrow()?,
        place: match fields.u8()? {
            QUEUED => Place::Queued,
            LEASED => Place::Leased(Arc::new(Lease {
                token: fields.varint()?,
                until_ms: fields.varint()?,
                session: SessionId(fields.u128()?),
                subscription: SubscriptionKey(0),
            })),
            DEAD => Place::Dead(fields.varint()?),
            _ => return Err(CodecError::Impossible),
        },
    };
    Ok((id, job))
}

/// Appends the ledger, in format 2.
pub fn put_ledger(out: &mut BytesMut, ledger: &Ledger) {
    put_varint(out, ledger.epoch);
    put_varint(out, ledger.next_id);
    put_varint(out, ledger.queues.len() as u64);
    for queue in &ledger.queues {
        put_text(out, &queue.namespace);
        put_text(out, &queue.name);
        out.put_u8(u8::from(queue.paused));
        put_varint(out, queue.pushed);
        put_varint(out, queue.done);
    }
    put_varint(out, ledger.producers.len() as u64);
    for (id, producer) in &ledger.producers {
        let (last_used_ms, window) = producer.parts();
        out.put_u128_le(id.0);
        put_varint(out, last_used_ms);
        put_varint(out, window.len() as u64);
        for taken in window {
            put_varint(out, taken.sequence);
            put_varint(out, taken.first_id.0);
            put_varint(out, u64::from(taken.count));
        }
    }
    put_varint(out, ledger.uploads.len() as u64);
    for ((session, number), upload) in &ledger.uploads {
        out.put_u128_le(session.0);
        put_varint(out, *number);
        put_varint(out, upload.bytes);
        put_ids(out, &upload.parts);
    }
    put_varint(out, ledger.large.len() as u64);
    for (id, parts) in &ledger.large {
        put_varint(out, id.0);
        put_ids(out, parts);
    }
    let has_requests = !ledger.requests.entries.is_empty();
    if ledger.topics.next != 0 || has_requests {
        topics::put(out, &ledger.topics);
    }
    if has_requests {
        book::put(out, &ledger.requests);
    }
}

/// The ledger that the bytes of format 1 or 2 stand for; `producer_window` is [`crate::Limits::producer_window`].
///
/// # Errors
/// If the bytes are not a ledger of these formats.
pub fn ledger(bytes: Bytes, producer_window: u32) -> Result<Ledger, CodecError> {
    let mut fields = Fields(bytes);
    let mut ledger = Ledger::new(JobId(0), producer_window);
    ledger.epoch = fields.varint()?;
    ledger.next_id = fields.varint()?;
    for at in 0..fields.count()? {
        let (namespace, name) = (fields.text()?, fields.text()?);
        let queue = QueueId(u32::try_from(at).map_err(|_| CodecError::Impossible)?);
        ledger
            .names
            .entry(namespace.clone())
            .or_default()
            .insert(name.clone(), queue);
        let paused = fields.u8()? != 0;
        let (pushed, done) = (fields.varint()?, fields.varint()?);
        ledger.queues.push(QueueRecord {
            namespace,
            name,
            paused,
            pushed,
            done,
        });
    }
    for _ in 0..fields.count()? {
        let (id, producer) = producer(&mut fields)?;
        ledger.producers.insert(id, producer);
    }
    ledger.uploads = uploads(&mut fields)?;
    for _ in 0..fields.count()? {
        let id = JobId(fields.varint()?);
        ledger.large.insert(id, fields.ids()?);
    }
    ledger.topics = topics::read(&mut fields)?;
    // Format 1 ends here, and so does format 2 without any.
    if !fields.0.is_empty() {
        ledger.requests = book::read(&mut fields)?;
    }
    if fields.0.is_empty() {
        Ok(ledger)
    } else {
        Err(CodecError::Impossible)
    }
}

fn producer(fields: &mut Fields) -> Result<(ProducerId, Producer), CodecError> {
    let id = ProducerId(fields.u128()?);
    let last_used_ms = fields.varint()?;
    let mut window = VecDeque::new();
    for _ in 0..fields.count()? {
        let sequence = fields.varint()?;
        let first_id = JobId(fields.varint()?);
        window.push_back(Taken {
            sequence,
            first_id,
            count: fields.narrow()?,
        });
    }
    Ok((id, Producer::from_parts(last_used_ms, window)))
}

fn uploads(fields: &mut Fields) -> Result<BTreeMap<(SessionId, u64), Upload>, CodecError> {
    let mut uploads = BTreeMap::new();
    for _ in 0..fields.count()? {
        let key = (SessionId(fields.u128()?), fields.varint()?);
        let bytes = fields.varint()?;
        uploads.insert(
            key,
            Upload {
                parts: fields.ids()?,
                bytes,
            },
        );
    }
    Ok(uploads)
}
