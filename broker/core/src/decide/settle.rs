//! Workers say what became of their jobs. A lease is named by job and token, so that a worker
//! that lost its lease cannot speak for the one who has it now (S3).

use super::Decision;
use crate::command::{Caller, Settle, SettleKind};
use crate::effect::{Effect, Refusal};
use crate::event::Event;
use crate::id::{JobId, Millis};
use crate::job::Job;
use crate::shard::Shard;

pub(super) fn settle(
    shard: &Shard,
    caller: Caller,
    settle: Settle,
    now_ms: Millis,
    out: &mut Decision,
) -> Result<(), Refusal> {
    match settle.kind {
        SettleKind::Nack {
            delay_ms: Some(delay),
        } if delay > shard.limits.delay_ms_max => {
            return Err(Refusal::BadArgument);
        }
        SettleKind::Touch { lease_ms } if lease_ms > shard.limits.lease_ms_max => {
            return Err(Refusal::BadArgument);
        }
        _ => {}
    }
    let mut held = [Vec::new(), Vec::new()];
    let mut refused = Vec::new();
    for (id, token) in settle.leases {
        let holds = |job: &Job| {
            job.lease()
                .is_some_and(|l| l.token == token && l.session == caller.session)
        };
        if shard.job(id).is_some_and(holds) {
            held[usize::from(id.is_volatile())].push(id);
        } else {
            refused.push((id, token));
        }
    }
    for mut ids in held {
        // The same lease named twice is settled once.
        if !ids.is_sorted_by(|a, b| a < b) {
            ids.sort_unstable();
            ids.dedup();
        }
        if !ids.is_empty() {
            decide(shard, settle.kind, ids, now_ms, out);
        }
    }
    let correlation = caller.correlation;
    out.tell(
        caller.connection,
        Effect::Settled {
            correlation,
            refused,
        },
    );
    Ok(())
}

fn decide(shard: &Shard, kind: SettleKind, ids: Vec<JobId>, now_ms: Millis, out: &mut Decision) {
    match kind {
        SettleKind::Ack => out.event(Event::Acked { ids }),
        SettleKind::Release => out.event(Event::Requeued { ids, excused: true }),
        SettleKind::Nack { delay_ms } => fail(shard, &ids, delay_ms, now_ms, out),
        SettleKind::Touch { lease_ms } => {
            let until = |id: JobId| {
                let own_ms = shard.job(id).map_or(0, |job| job.lease_ms);
                now_ms + Millis::from(if lease_ms == 0 { own_ms } else { lease_ms })
            };
            let jobs = ids.into_iter().map(|id| (id, until(id))).collect();
            out.event(Event::Touched { jobs });
        }
    }
}

fn fail(
    shard: &Shard,
    ids: &[JobId],
    delay_ms: Option<Millis>,
    now_ms: Millis,
    out: &mut Decision,
) {
    let mut died = Vec::new();
    let mut failed = Vec::new();
    for id in ids {
        let Some(job) = shard.job(*id) else { continue };
        if job.is_exhausted() {
            died.push(*id);
        } else {
            let wait_ms = delay_ms.unwrap_or_else(|| job.backoff_ms(*id, &shard.limits));
            failed.push((*id, now_ms + wait_ms));
        }
    }
    if !died.is_empty() {
        out.event(Event::Died { ids: died });
    }
    if !failed.is_empty() {
        out.event(Event::Failed { jobs: failed });
    }
}
