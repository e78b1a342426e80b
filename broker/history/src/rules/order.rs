//! S6: first deliveries go by higher priority, then earlier due time, then lower id.
//!
//! Tokens give the order of leases, but takers that are served in one round share its jobs out, so
//! tokens of different takers say nothing about jobs of that round. Hence two questions: what one
//! taker got is in order (by token); and nobody gets a job while one that goes first has been in
//! line for longer than a round can take (by time).

use std::collections::BTreeMap;

use super::Findings;
use super::line::{First, Line, Taken};
use crate::facts::{Facts, Track};
use crate::{Durability, Rule};

/// What happens at one moment, in the order in which it is taken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Move {
    Leave,
    Ask,
    Enter,
}

pub(super) fn check(facts: &Facts<'_>, findings: &mut Findings) {
    // Ids and tokens of `memory` jobs are numbered apart, so the two kinds are not compared.
    let mut queues: BTreeMap<(&str, Durability), Vec<First>> = BTreeMap::new();
    for job in &facts.jobs {
        if let Some((key, first)) = first_of(facts, job) {
            findings.checked(Rule::S6);
            queues.entry(key).or_default().push(first);
        }
    }
    for jobs in queues.values() {
        by_time(facts, jobs, findings);
        let mut takers: BTreeMap<(u32, u64), Vec<First>> = BTreeMap::new();
        for job in jobs {
            if let Some(taker) = job.taker {
                takers.entry(taker).or_default().push(*job);
            }
        }
        for jobs in takers.values_mut() {
            jobs.sort_unstable_by_key(|job| (job.token, job.line));
            by_token(jobs, findings);
            by_turn(facts, jobs, findings);
        }
    }
}

fn first_of<'h>(facts: &Facts<'h>, job: &Track<'_>) -> Option<((&'h str, Durability), First)> {
    let push = facts.push_of(job)?;
    let answer = push.answers.first()?;
    let lease = job.leases.first().filter(|l| l.seen.attempt == 1)?;
    // A `memory` push may be taken anew after a stop: which answer this job had is not asked.
    let again = |other: &crate::facts::Answer| other.pushed.first_id != answer.pushed.first_id;
    if push.answers.iter().any(again) {
        return None;
    }
    let (clock, delay_ms) = (&facts.world.clock, push.what.delay_ms);
    let margin_ms = facts.options.lag_ms + facts.options.tolerance_ms;
    let is_told = delay_ms == 0 || !facts.world.clock_was_set;
    let first = First {
        id: job.id,
        token: lease.seen.token,
        taker: lease.seen.taker.map(|taker| (lease.seen.client, taker)),
        priority: push.what.priority,
        delay_ms,
        due_least: clock.least(push.invoked.at_ms) + i128::from(delay_ms),
        due_most: clock.most(answer.at.at_ms) + i128::from(delay_ms),
        in_line_ms: is_told.then(|| answer.at.at_ms.saturating_add(delay_ms + margin_ms)),
        line: lease.at.line,
        at_ms: lease.at.at_ms,
    };
    Some(((push.what.queue.as_str(), push.durability()), first))
}

/// Over all takers: `in_line_ms` and the time at which a job leaves are a lag apart from what was
/// seen, so who is in line when a delivery is seen was there when it was decided, and stayed.
fn by_time(facts: &Facts<'_>, jobs: &[First], findings: &mut Findings) {
    let mut moves: Vec<(u64, Move, usize)> = Vec::with_capacity(jobs.len() * 3);
    for (index, job) in jobs.iter().enumerate() {
        let leave_ms = facts.before(job.at_ms);
        if let Some(in_line_ms) = job.in_line_ms.filter(|at_ms| *at_ms < leave_ms) {
            moves.push((in_line_ms, Move::Enter, index));
            moves.push((leave_ms, Move::Leave, index));
        }
        moves.push((job.at_ms, Move::Ask, index));
    }
    moves.sort_unstable();
    let mut line = Line::default();
    for (_, what, index) in moves {
        let job = &jobs[index];
        match what {
            Move::Enter => line.enter(index, job),
            Move::Leave => line.leave(index, job),
            Move::Ask => ask(facts, &line, jobs, job, findings),
        }
    }
}

/// One taker's jobs in the order of their tokens, against their ids.
fn by_token(jobs: &[First], findings: &mut Findings) {
    let mut taken = Taken::default();
    for (index, job) in jobs.iter().enumerate() {
        if let Some(before) = taken.wrongly_before(job) {
            overtaken(job, &jobs[before], findings);
        }
        taken.take(index, job);
    }
}

/// One taker's jobs in the order of their tokens, against the line: each leaves in its turn.
fn by_turn(facts: &Facts<'_>, jobs: &[First], findings: &mut Findings) {
    let mut entries: Vec<(u64, usize)> = jobs
        .iter()
        .enumerate()
        .filter_map(|(index, job)| Some((job.in_line_ms?, index)))
        .collect();
    entries.sort_unstable();
    let mut entries = entries.into_iter().peekable();
    let (mut line, mut at_ms) = (Line::default(), 0);
    for (index, job) in jobs.iter().enumerate() {
        // Seen out of order: the line as it is now is too late for this one.
        let is_in_order = job.at_ms >= at_ms;
        at_ms = at_ms.max(job.at_ms);
        while let Some((_, entered)) = entries.next_if(|(in_line_ms, _)| *in_line_ms <= at_ms) {
            if entered > index {
                line.enter(entered, &jobs[entered]);
            }
        }
        line.leave(index, job);
        if is_in_order {
            ask(facts, &line, jobs, job, findings);
        }
    }
}

fn ask(facts: &Facts<'_>, line: &Line, jobs: &[First], job: &First, findings: &mut Findings) {
    let tolerance = i128::from(facts.options.tolerance_ms);
    if let Some(waiting) = line.overtaken_by(job, tolerance) {
        overtaken(&jobs[waiting], job, findings);
    }
}

fn overtaken(job: &First, by: &First, findings: &mut Findings) {
    let expected = format!("job {} is delivered before job {}", job.id, by.id);
    let found = format!("token {} came after token {}", job.token, by.token);
    findings.broken(Rule::S6, expected, found, vec![by.line, job.line]);
}
