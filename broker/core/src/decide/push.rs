//! Jobs come in.

use bytes::Bytes;

use super::{Change, Decision, retention};
use crate::command::{Caller, JobOptions, Push, QueueName};
use crate::effect::{Effect, Refusal};
use crate::event::{Event, Pushed};
use crate::id::{JobId, Millis, ProducerId, QueueId, SessionId};
use crate::live::MEMORY_JOB_BYTES;
use crate::producer::{Sight, Taken};
use crate::shard::Shard;

/// How often producers are looked through for idle ones.
const SWEEP_MS: Millis = 60_000;
/// Producers forgotten in one event, at most.
const FORGOTTEN_MAX: usize = 4096;

pub(super) fn push(
    shard: &Shard,
    caller: Caller,
    push: Push,
    now_ms: Millis,
    out: &mut Decision,
) -> Result<(), Refusal> {
    if let Some(taken) = seen_before(shard, push.producer)? {
        let (first_id, count) = (taken.first_id, taken.count);
        let (session, upload) = (caller.session, push.upload);
        if shard.ledger.uploads.contains_key(&(session, upload)) {
            out.event(Event::UploadDropped { session, upload });
        }
        tell(caller, first_id, count, true, out);
        return Ok(());
    }
    if shard.draining {
        return Err(Refusal::ShuttingDown);
    }
    if !push.lengths.divide(push.payload.len()) {
        return Err(Refusal::BadArgument);
    }
    let options = checked(shard, push.options)?;
    let (parts, parts_bytes) = upload(shard, caller, &push)?;
    // Parts are on disk already, so the job they belong to is, too; the answer says so.
    let volatile = options.volatile && push.upload == 0;
    if shard.disk_full && !volatile {
        return Err(Refusal::DiskFull);
    }
    let count = push.lengths.count() as u64;
    let bytes = push.payload.len() as u64 + count * MEMORY_JOB_BYTES;
    if volatile && shard.jobs.volatile_bytes + bytes > shard.limits.memory_bytes_max {
        return Err(Refusal::MemoryFull);
    }
    let queue = find_or_create(shard, &push.queue, out)?;
    let ledger = if volatile {
        &shard.volatile
    } else {
        &shard.ledger
    };
    let first_id = ledger.next_id();
    let count = push.lengths.count() as u32;
    out.event(Event::Pushed(Pushed {
        queue,
        producer: push.producer,
        first_id,
        priority: options.priority,
        due_ms: now_ms + options.delay_ms,
        attempts_max: options.attempts_max,
        lease_ms: options.lease_ms,
        parts,
        parts_bytes,
        upload: push.upload,
        session: caller.session,
        lengths: push.lengths,
        payload: push.payload,
    }));
    tell(caller, first_id, count, false, out);
    Ok(())
}

pub(super) fn part(
    shard: &Shard,
    caller: Caller,
    upload: u64,
    index: u32,
    payload: Bytes,
    out: &mut Decision,
) -> Result<(), Refusal> {
    if shard.draining {
        return Err(Refusal::ShuttingDown);
    }
    if shard.disk_full {
        return Err(Refusal::DiskFull);
    }
    if upload == 0 || payload.is_empty() {
        return Err(Refusal::BadArgument);
    }
    // From a connection that was replaced or closed it would never be completed.
    if shard.connection_of(caller.session) != Some(caller.connection) {
        return Err(Refusal::UploadUnknown);
    }
    let uploads = &shard.ledger.uploads;
    let (parts, bytes) = uploads
        .get(&(caller.session, upload))
        .map_or((0, 0), |upload| (upload.parts.len(), upload.bytes));
    if index as usize != parts {
        return Err(Refusal::UploadUnknown);
    }
    let more = payload.len() as u64;
    if bytes + more > shard.limits.body_bytes_max {
        return Err(Refusal::BodyTooLarge);
    }
    let open: u64 = uploads.values().map(|upload| upload.bytes).sum();
    if open + more > shard.limits.upload_bytes_max {
        return Err(Refusal::UploadLimit);
    }
    let (session, id) = (caller.session, shard.ledger.next_id());
    out.event(Event::PartStored {
        session,
        upload,
        id,
        payload,
    });
    out.done(caller);
    Ok(())
}

/// Producers that have been silent for longer than anything of theirs can still be on its way.
pub(crate) fn forget_producers(shard: &Shard, now_ms: Millis, out: &mut Decision) {
    if now_ms < shard.producers_swept_ms + SWEEP_MS {
        return;
    }
    let idle_ms = shard.limits.producer_idle_ms;
    let idle = shard
        .ledger
        .producers
        .iter()
        .filter(|(_, p)| p.is_idle(now_ms, idle_ms));
    let producers: Vec<ProducerId> = idle.map(|(id, _)| *id).take(FORGOTTEN_MAX).collect();
    let all_publishers = retention::forget_publishers(shard, now_ms, out);
    // With more of them than one event takes, the rest follows with the next tick.
    if all_publishers && producers.len() < FORGOTTEN_MAX {
        out.change(Change::ProducersSwept);
    }
    if !producers.is_empty() {
        out.event(Event::ProducersForgotten { producers });
    }
}

/// What was being uploaded when connections ended is given up; clients begin again.
pub(crate) fn drop_uploads(shard: &Shard, of: Option<SessionId>) -> Vec<Event> {
    let (first, last) = of.map_or((SessionId(0), SessionId(u128::MAX)), |of| (of, of));
    let keys = shard.ledger.uploads.range((first, 0)..=(last, u64::MAX));
    let dropped = keys.map(|((session, upload), _)| (*session, *upload));
    dropped
        .map(|(session, upload)| Event::UploadDropped { session, upload })
        .collect()
}

/// The number of a queue, which comes into being if it was never named before.
pub(super) fn find_or_create(
    shard: &Shard,
    name: &QueueName,
    out: &mut Decision,
) -> Result<QueueId, Refusal> {
    if let Some(queue) = shard.ledger.find(&name.namespace, &name.name) {
        return Ok(queue);
    }
    let queue = QueueId(shard.ledger.queues.len() as u32);
    if queue.0 >= shard.limits.queues_max {
        return Err(Refusal::QueueLimit);
    }
    let (namespace, name) = (name.namespace.to_string(), name.name.clone());
    out.event(Event::QueueCreated {
        queue,
        namespace,
        name,
    });
    Ok(queue)
}

fn seen_before(
    shard: &Shard,
    producer: Option<(ProducerId, u64)>,
) -> Result<Option<Taken>, Refusal> {
    let Some((producer, sequence)) = producer else {
        return Ok(None);
    };
    let window = shard.limits.producer_window;
    let mut too_old = false;
    for ledger in [&shard.ledger, &shard.volatile] {
        match ledger
            .producers
            .get(&producer)
            .map(|p| p.look_up(sequence, window))
        {
            Some(Sight::Again(taken)) => return Ok(Some(taken)),
            Some(Sight::TooOld) => too_old = true,
            Some(Sight::New) | None => {}
        }
    }
    if too_old {
        Err(Refusal::SequenceTooOld)
    } else {
        Ok(None)
    }
}

fn checked(shard: &Shard, options: JobOptions) -> Result<JobOptions, Refusal> {
    let limits = &shard.limits;
    if options.delay_ms > limits.delay_ms_max || options.lease_ms > limits.lease_ms_max {
        return Err(Refusal::BadArgument);
    }
    let or_default = |value: u16, default| if value == 0 { default } else { value };
    let lease_ms = if options.lease_ms == 0 {
        limits.lease_ms_default
    } else {
        options.lease_ms
    };
    let attempts_max = or_default(options.attempts_max, limits.attempts_default);
    Ok(JobOptions {
        attempts_max,
        lease_ms,
        ..options
    })
}

fn upload(shard: &Shard, caller: Caller, push: &Push) -> Result<(Vec<JobId>, u32), Refusal> {
    if push.upload == 0 {
        return Ok((Vec::new(), 0));
    }
    if push.lengths.count() != 1 {
        return Err(Refusal::BadArgument);
    }
    let key = (caller.session, push.upload);
    let upload = shard
        .ledger
        .uploads
        .get(&key)
        .filter(|upload| upload.parts.len() == push.upload_parts as usize)
        .ok_or(Refusal::UploadUnknown)?;
    if upload.bytes + push.payload.len() as u64 > shard.limits.body_bytes_max {
        return Err(Refusal::BodyTooLarge);
    }
    let bytes = u32::try_from(upload.bytes).map_err(|_| Refusal::BodyTooLarge)?;
    Ok((upload.parts.clone(), bytes))
}

fn tell(caller: Caller, first_id: JobId, count: u32, duplicate: bool, out: &mut Decision) {
    let correlation = caller.correlation;
    out.tell(
        caller.connection,
        Effect::Pushed {
            correlation,
            first_id,
            count,
            duplicate,
        },
    );
}
