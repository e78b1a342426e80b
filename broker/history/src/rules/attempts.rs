//! S5: every run is counted, and a job is dead when its runs are used up, not before and not after.

use super::Findings;
use super::ended::may_have_left;
use crate::Rule;
use crate::facts::{Facts, SettleKind, Track};

pub(super) fn check(facts: &Facts<'_>, job: &Track<'_>, findings: &mut Findings) {
    let mut before = 0;
    let mut from = facts.push_of(job).map(|push| push.invoked);
    for lease in &job.leases {
        findings.checked(Rule::S5);
        let attempt = lease.seen.attempt;
        let since = from.unwrap_or(lease.at);
        let span = (
            since.at_ms.min(lease.at.at_ms),
            since.at_ms.max(lease.at.at_ms),
        );
        let is_next = attempt == before + 1;
        let may_skip = attempt > before && (from.is_none() || facts.may_be_unseen(span.0, span.1));
        if !is_next && !may_skip {
            let expected = format!("the next run of job {} is number {}", job.id, before + 1);
            let found = format!("it was delivered as run {attempt}");
            findings.broken(Rule::S5, expected, found, vec![since.line, lease.at.line]);
        }
        before = before.max(attempt);
        from = Some(lease.at);
    }
    if let Some(max) = facts.attempts_max(job) {
        too_many(facts, job, max, findings);
    }
}

fn too_many(facts: &Facts<'_>, job: &Track<'_>, attempts_max: u32, findings: &mut Findings) {
    for (lease, before) in job.leases.iter().zip(counted(facts, job)) {
        if before >= attempts_max {
            let expected = format!("job {} runs {attempts_max} times in all", job.id);
            let found = format!(
                "run {} was delivered, {before} counted before",
                lease.seen.attempt
            );
            findings.broken(Rule::S5, expected, found, vec![lease.at.line]);
            return;
        }
    }
}

/// For each lease, how many runs before it counted, at the least: they were seen, and neither
/// released nor forgiven because the holder came back and did not name them.
pub(super) fn counted(facts: &Facts<'_>, job: &Track<'_>) -> Vec<u32> {
    let mut runs = 0;
    let mut counted = Vec::with_capacity(job.leases.len());
    for (index, lease) in job.leases.iter().enumerate() {
        counted.push(runs);
        let Some(next) = job.leases.get(index + 1) else {
            break;
        };
        let mut settles = job.settles_of(lease.seen.token);
        let released = settles.any(|s| s.kind == SettleKind::Release && !s.is_refused());
        let is_sure = !released && !may_have_left(facts, lease, next.at.at_ms);
        runs += u32::from(is_sure && next.seen.token > lease.seen.token);
    }
    counted
}

/// Dead jobs have used up their runs.
pub(super) fn check_dead(facts: &Facts<'_>, findings: &mut Findings) {
    let Some((drained, ends)) = facts.world.drained else {
        return;
    };
    for id in ends.iter().flat_map(|end| &end.dead) {
        let Ok(index) = facts.jobs.binary_search_by_key(id, |job| job.id) else {
            continue;
        };
        let job = &facts.jobs[index];
        let (Some(max), Some(push)) = (facts.attempts_max(job), facts.push_of(job)) else {
            continue;
        };
        findings.checked(Rule::S5);
        let last = job.leases.iter().max_by_key(|lease| lease.seen.attempt);
        let from = last.map_or(push.invoked, |lease| lease.at);
        let releases = job.settles.iter().filter(|s| s.kind == SettleKind::Release);
        let excused = releases.filter(|settle| settle.is_ok()).count() as u32;
        let runs = last
            .map_or(0, |lease| lease.seen.attempt)
            .saturating_sub(excused);
        if runs < max && !facts.may_be_unseen(from.at_ms, drained.at_ms) {
            let expected = format!("job {id} is dead after {max} runs that failed");
            let found = format!("it is dead after {runs}");
            findings.broken(Rule::S5, expected, found, vec![from.line, drained.line]);
        }
    }
}
