//! People look at queues and change them.

use super::Decision;
use crate::command::{Caller, QueueName};
use crate::effect::{Effect, PeekedJob, QueueStats, Refusal};
use crate::event::Event;
use crate::id::{JobId, Millis, QueueId};
use crate::job::{JobState, Place};
use crate::shard::Shard;

pub(super) fn stats(
    shard: &Shard,
    caller: Caller,
    namespace: &str,
    queue: Option<&str>,
    after: &str,
    out: &mut Decision,
) -> Result<(), Refusal> {
    let (ids, more) = match queue {
        Some(name) => {
            let id = known(shard, namespace, name)?;
            (vec![id], false)
        }
        None => {
            let max = shard.limits.stats_queues_max;
            let mut ids: Vec<QueueId> = shard
                .ledger
                .behind(namespace, after)
                .take(max + 1)
                .collect();
            let more = ids.len() > max;
            ids.truncate(max);
            (ids, more)
        }
    };
    let queues = ids.into_iter().map(|id| stats_of(shard, id)).collect();
    let correlation = caller.correlation;
    out.tell(
        caller.connection,
        Effect::Stats {
            correlation,
            queues,
            more,
        },
    );
    Ok(())
}

pub(super) fn peek(
    shard: &Shard,
    caller: Caller,
    queue: &QueueName,
    state: JobState,
    jobs_max: u32,
    now_ms: Millis,
    out: &mut Decision,
) -> Result<(), Refusal> {
    let queue = known(shard, &queue.namespace, &queue.name)?;
    let live = &shard.jobs.index.queues[queue.0 as usize];
    // Nobody looks on behind the last one there is.
    let max = (jobs_max as usize).min(match state {
        JobState::Scheduled => live.scheduled.len() - live.failed,
        JobState::Ready => live.ready,
        JobState::Leased => live.leased,
        JobState::Failed => live.failed,
        JobState::Dead => live.dead.len(),
    });
    let ids: Vec<JobId> = match state {
        JobState::Ready => shard.jobs.line(queue).map(|(id, _)| id).take(max).collect(),
        JobState::Dead => live.dead.iter().copied().take(max).collect(),
        JobState::Scheduled | JobState::Failed => {
            let of_state = |id: &JobId| shard.job(*id).is_some_and(|j| j.state(now_ms) == state);
            live.scheduled
                .iter()
                .map(|(_, id)| *id)
                .filter(of_state)
                .take(max)
                .collect()
        }
        JobState::Leased => {
            let of_queue = |id: &JobId| shard.job(*id).is_some_and(|job| job.queue == queue);
            let leases = shard.jobs.leases();
            leases
                .map(|(_, id)| id)
                .filter(of_queue)
                .take(max)
                .collect()
        }
    };
    let jobs = ids.into_iter().filter_map(|id| {
        let job = shard.job(id)?;
        let due_ms = match &job.place {
            Place::Queued => job.due_ms,
            Place::Leased(lease) => lease.until_ms,
            Place::Dead(at_ms) => *at_ms,
        };
        Some(PeekedJob {
            id,
            state,
            priority: job.priority,
            attempts: job.attempts,
            attempts_max: job.attempts_max,
            due_ms,
            length: job.length,
        })
    });
    let (correlation, jobs) = (caller.correlation, jobs.collect());
    out.tell(caller.connection, Effect::Peeked { correlation, jobs });
    Ok(())
}

pub(super) fn pause(
    shard: &Shard,
    caller: Caller,
    queue: &QueueName,
    paused: bool,
    out: &mut Decision,
) -> Result<(), Refusal> {
    let queue = known(shard, &queue.namespace, &queue.name)?;
    if shard.jobs.index.queues[queue.0 as usize].paused != paused {
        out.event(Event::QueuePaused { queue, paused });
    }
    out.done(caller);
    Ok(())
}

/// Removes jobs that nobody holds: those in line first, then those that wait, then the dead.
pub(super) fn purge(
    shard: &Shard,
    caller: Caller,
    queue: &QueueName,
    jobs_max: u32,
    out: &mut Decision,
) -> Result<(), Refusal> {
    let queue = known(shard, &queue.namespace, &queue.name)?;
    let live = &shard.jobs.index.queues[queue.0 as usize];
    let ready = shard.jobs.line(queue).map(|(id, _)| id);
    let waiting = live.scheduled.iter().map(|(_, id)| *id);
    let all = ready.chain(waiting).chain(live.dead.iter().copied());
    let ids: Vec<JobId> = all.take(jobs_max as usize).collect();
    let jobs = ids.len() as u64;
    let total = live.ready + live.scheduled.len() + live.dead.len();
    let more = total as u64 > jobs;
    let (volatile, durable): (Vec<_>, Vec<_>) = ids.into_iter().partition(|id| id.is_volatile());
    for mut ids in [durable, volatile] {
        if !ids.is_empty() {
            ids.sort_unstable();
            out.event(Event::Purged { ids });
        }
    }
    let correlation = caller.correlation;
    out.tell(
        caller.connection,
        Effect::Purged {
            correlation,
            jobs,
            more,
        },
    );
    Ok(())
}

/// Every queue of every namespace, for metrics.
pub(crate) fn all_stats(shard: &Shard) -> Vec<(String, QueueStats)> {
    let ids = (0..shard.ledger.queues.len()).map(|at| QueueId(at as u32));
    ids.map(|id| {
        (
            shard.ledger.queues[id.0 as usize].namespace.clone(),
            stats_of(shard, id),
        )
    })
    .collect()
}

/// To look at a queue does not make it.
fn known(shard: &Shard, namespace: &str, name: &str) -> Result<QueueId, Refusal> {
    let queue = shard.ledger.find(namespace, name);
    queue.ok_or(Refusal::QueueUnknown)
}

fn stats_of(shard: &Shard, queue: QueueId) -> QueueStats {
    let record = &shard.ledger.queues[queue.0 as usize];
    let live = &shard.jobs.index.queues[queue.0 as usize];
    let (pushed, done) = shard.volatile.counts(queue);
    QueueStats {
        queue: record.name.clone(),
        paused: live.paused,
        scheduled: (live.scheduled.len() - live.failed) as u64,
        ready: live.ready as u64,
        leased: live.leased as u64,
        failed: live.failed as u64,
        dead: live.dead.len() as u64,
        done: record.done + done,
        pushed: record.pushed + pushed,
        subscriptions: live.subscriptions as u64,
    }
}
