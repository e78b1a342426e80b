//! S8: not before its time by the broker's clock, and on an idle broker not long after.

use super::Findings;
use super::attempts::counted;
use crate::Rule;
use crate::facts::{At, Facts, Lease, Settle, SettleKind, Track, any_within};

pub(super) fn check(facts: &Facts<'_>, job: &Track<'_>, findings: &mut Findings) {
    first_run(facts, job, findings);
    if job.leases.len() < 2 {
        return;
    }
    let counted = counted(facts, job);
    for (pair, before) in job.leases.windows(2).zip(counted) {
        let nacks = job.settles_of(pair[0].seen.token);
        let mut nacks = nacks.filter(|s| s.is_ok() && matches!(s.kind, SettleKind::Nack(_)));
        if let (Some(nack), true) = (nacks.next(), pair[0].seen.token < pair[1].seen.token) {
            retry(facts, job, nack, before, pair, findings);
        }
    }
}

fn first_run(facts: &Facts<'_>, job: &Track<'_>, findings: &mut Findings) {
    let (Some(push), Some(lease)) = (facts.push_of(job), job.leases.first()) else {
        return;
    };
    let delay_ms = push.what.delay_ms;
    early(facts, job, push.invoked, delay_ms, lease, findings);
    let answered = push.answers.last().map(|answer| answer.at);
    if let (Some(answered), 1) = (answered, lease.seen.attempt) {
        late(facts, job, answered, delay_ms, lease, findings);
    }
}

fn retry(
    facts: &Facts<'_>,
    job: &Track<'_>,
    nack: &Settle,
    before: u32,
    pair: &[Lease<'_>],
    findings: &mut Findings,
) {
    let SettleKind::Nack(named) = nack.kind else {
        return;
    };
    let (failed, next) = (&pair[0], &pair[1]);
    let wait_ms = named.unwrap_or_else(|| backoff_ms_least(facts, before));
    early(facts, job, nack.invoked, wait_ms, next, findings);
    let (Some(wait_ms), Some(ended)) = (named, nack.ended) else {
        return;
    };
    if next.seen.attempt == failed.seen.attempt + 1 {
        late(facts, job, ended, wait_ms, next, findings);
    }
}

/// The wait begins after `since` and the job was delivered before it can have been over.
fn early(
    facts: &Facts<'_>,
    job: &Track<'_>,
    since: At,
    wait_ms: u64,
    lease: &Lease<'_>,
    findings: &mut Findings,
) {
    findings.checked(Rule::S8);
    let clock = facts.world.clock.between(since.at_ms, lease.at.at_ms);
    let due = clock.least(since.at_ms) + i128::from(wait_ms);
    let seen = clock.most(lease.at.at_ms) + i128::from(facts.options.tolerance_ms);
    if seen < due {
        let expected = format!("job {} waits {wait_ms} ms", job.id);
        let found = format!("it was delivered at least {} ms too early", due - seen);
        findings.broken(Rule::S8, expected, found, vec![since.line, lease.at.line]);
    }
}

/// The wait had begun by `since`, and the job was not delivered a second after it was over, though
/// the broker had nothing else to do.
fn late(
    facts: &Facts<'_>,
    job: &Track<'_>,
    since: At,
    wait_ms: u64,
    lease: &Lease<'_>,
    findings: &mut Findings,
) {
    let options = facts.options;
    let slack = i128::from(options.idle_late_ms + options.tolerance_ms + options.lag_ms);
    let first = facts.world.idle.partition_point(|(_, end)| *end < since);
    let phases = facts.world.idle[first..].iter();
    for (begin, end) in phases.take_while(|(begin, _)| *begin < lease.at) {
        if any_within(&facts.world.breaks, begin.at_ms, end.at_ms) {
            continue;
        }
        findings.checked(Rule::S8);
        let last_ms = lease.at.at_ms.max(end.at_ms);
        let clock = facts
            .world
            .clock
            .between(since.at_ms.min(begin.at_ms), last_ms);
        let due = clock.most(since.at_ms) + i128::from(wait_ms);
        let latest = due.max(clock.most(begin.at_ms)) + slack;
        if clock.least(lease.at.at_ms) > latest && clock.least(end.at_ms) > latest {
            let expected = format!("an idle broker delivers job {} within a second", job.id);
            let found = format!("it came {} ms later", clock.least(lease.at.at_ms) - latest);
            let lines = vec![since.line, begin.line, lease.at.line];
            findings.broken(Rule::S8, expected, found, lines);
            return;
        }
    }
}

/// The shortest wait that a failed run can have brought, with so many before it that counted.
fn backoff_ms_least(facts: &Facts<'_>, before: u32) -> u64 {
    let options = facts.options;
    let doubled = 1u64.checked_shl(before).unwrap_or(u64::MAX);
    let wait_ms = options.backoff_ms_first.saturating_mul(doubled);
    let wait_ms = wait_ms.min(options.backoff_ms_max);
    let spread_ms = wait_ms / 100 * options.backoff_jitter_percent
        + wait_ms % 100 * options.backoff_jitter_percent / 100;
    wait_ms.saturating_sub(spread_ms + 1)
}
