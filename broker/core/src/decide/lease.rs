//! Leases that end without a word from their holder.

use super::{Change, Decision};
use crate::effect::Effect;
use crate::event::Event;
use crate::id::{JobId, Millis, SessionId};
use crate::shard::Shard;

/// Jobs that one event names at most, so that no event is much larger than a frame.
const EVENT_JOBS_MAX: usize = 16_384;
/// Leases ended in one decision, at most: a tick stays short, the rest follows with the next.
const ENDED_MAX: usize = 4096;

/// Leases that are over by now, and those of sessions that did not come back after a restart.
pub(crate) fn expire(shard: &Shard, now_ms: Millis, out: &mut Decision) {
    let leases = shard.jobs.leases();
    let over = leases.take_while(|(until_ms, _)| *until_ms <= now_ms);
    let mut ids: Vec<JobId> = over.map(|(_, id)| id).take(ENDED_MAX).collect();
    ids.sort_unstable();
    end(shard, &ids, out);
    // Said after the events, so that it leaves once they are on disk.
    tell_holders(shard, &ids, out);
    if shard
        .resume_until_ms
        .is_some_and(|until_ms| until_ms <= now_ms)
    {
        for session in shard.jobs.index.sessions.values() {
            if session.connection.is_none() {
                let mut orphans = session.leased_in_order();
                orphans.retain(|id| ids.binary_search(id).is_err());
                end(shard, &orphans, out);
            }
        }
        out.change(Change::GraceOver);
    }
}

/// The jobs go back to their place in line, or to the dead when no run is left.
pub(super) fn end(shard: &Shard, ids: &[JobId], out: &mut Decision) {
    for volatile in [false, true] {
        let of_kind = ids
            .iter()
            .copied()
            .filter(|id| id.is_volatile() == volatile);
        let exhausted = |id: &JobId| shard.job(*id).is_some_and(crate::Job::is_exhausted);
        let (died, back): (Vec<JobId>, Vec<JobId>) = of_kind.partition(exhausted);
        for ids in died.chunks(EVENT_JOBS_MAX) {
            out.event(Event::Died { ids: ids.to_vec() });
        }
        requeue(&back, false, out);
    }
}

/// The jobs go back to their place in line, and the run does not count: nobody began it.
pub(super) fn give_back(ids: &[JobId], out: &mut Decision) {
    let (volatile, durable): (Vec<_>, Vec<_>) = ids.iter().partition(|id| id.is_volatile());
    for ids in [durable, volatile] {
        requeue(&ids, true, out);
    }
}

fn requeue(ids: &[JobId], excused: bool, out: &mut Decision) {
    for ids in ids.chunks(EVENT_JOBS_MAX) {
        let ids = ids.to_vec();
        out.event(Event::Requeued { ids, excused });
    }
}

/// After a start: a lease that would end before its session had the time to come back is
/// lengthened, so that a restart does not run all work in flight twice.
pub(crate) fn grant_grace(shard: &Shard, now_ms: Millis) -> Vec<Event> {
    let until_ms = now_ms + shard.limits.resume_grace_ms;
    let leases = shard.jobs.leases();
    let short = leases.take_while(|(ends_ms, _)| *ends_ms < until_ms);
    let mut jobs: Vec<(JobId, Millis)> = short.map(|(_, id)| (id, until_ms)).collect();
    jobs.sort_unstable();
    let events = jobs.chunks(EVENT_JOBS_MAX);
    events
        .map(|jobs| Event::Touched {
            jobs: jobs.to_vec(),
        })
        .collect()
}

fn tell_holders(shard: &Shard, ids: &[JobId], out: &mut Decision) {
    let mut lost: Vec<(SessionId, JobId, u64)> = Vec::new();
    for id in ids {
        if let Some(lease) = shard.job(*id).and_then(crate::Job::lease) {
            lost.push((lease.session, *id, lease.token));
        }
    }
    lost.sort_unstable();
    for of_session in lost.chunk_by(|a, b| a.0 == b.0) {
        if let Some(connection) = shard.connection_of(of_session[0].0) {
            let leases = of_session
                .iter()
                .map(|(_, id, token)| (*id, *token))
                .collect();
            out.tell(connection, Effect::LeaseLost { leases });
        }
    }
}
