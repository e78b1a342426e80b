//! S4: after an acknowledged ack a job never runs again.

use super::Findings;
use crate::Rule;
use crate::facts::{Facts, Lease, Settle, SettleKind, Track};

pub(super) fn check(facts: &Facts<'_>, job: &Track<'_>, findings: &mut Findings) {
    for ack in acks(job) {
        findings.checked(Rule::S4);
        if let Some(lease) = job.leases.iter().find(|lease| ran_after(facts, ack, lease)) {
            let expected = format!("job {} is done: its ack was answered", job.id);
            let found = format!("it was delivered again to client {}", lease.seen.client);
            let lines = ack.lines().into_iter().chain([lease.at.line]).collect();
            findings.broken(Rule::S4, expected, found, lines);
            return;
        }
    }
}

/// A later token shows a later lease, whenever it was seen. If it was seen before the ack was sent,
/// the ack was a stale one, which is another matter (S3).
fn ran_after(facts: &Facts<'_>, ack: &Settle, lease: &Lease<'_>) -> bool {
    let is_later = lease.seen.token > ack.token && lease.at > ack.invoked;
    let is_behind = ack.ended.is_some_and(|ended| {
        let same = lease.seen.token == ack.token && lease.at > ended;
        same || facts.before(lease.at.at_ms) > ended.at_ms
    });
    is_later || is_behind
}

/// A done job is not among the dead.
pub(super) fn check_dead(facts: &Facts<'_>, findings: &mut Findings) {
    let Some((drained, ends)) = facts.world.drained else {
        return;
    };
    for id in ends.iter().flat_map(|end| &end.dead) {
        let Ok(index) = facts.jobs.binary_search_by_key(id, |job| job.id) else {
            continue;
        };
        if let Some(ack) = acks(&facts.jobs[index]).next() {
            let expected = format!("job {id} is done: its ack was answered");
            let lines = ack.lines().into_iter().chain([drained.line]).collect();
            findings.broken(Rule::S4, expected, "it is dead in the end", lines);
        }
    }
}

fn acks<'t>(job: &'t Track<'_>) -> impl Iterator<Item = &'t Settle> {
    let acks = job.settles.iter().filter(|s| s.kind == SettleKind::Ack);
    acks.filter(|ack| ack.is_ok())
}
