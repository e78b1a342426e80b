//! The result: one, that of the last worker, and the same for everybody.

use super::story::{Run, Story, Told};
use super::{Outcome, Surroundings};
use crate::Rule;
use crate::findings::Findings;

/// Workers that a request is given to, if each is lost or breaks its reply off.
const WORKERS_MAX: u64 = 20;

// Of `docs/protocol.md`.
const BODY_TOO_LARGE: u32 = 201;
const WORKER_LOST: u32 = 313;
const DEADLINE_EXCEEDED: u32 = 314;
const BODY_BROKEN: u32 = 322;
const BUSY: u32 = 400;

pub(super) fn judge(request: u64, story: &Story, around: &Surroundings, findings: &mut Findings) {
    stays(request, story, findings);
    overdue(request, story, around, findings);
    let Some(told) = story.result() else {
        return;
    };
    match told.outcome {
        Outcome::Replied { .. } => of_the_last(request, story, told, around, findings),
        Outcome::Failed { code, .. } => failed(request, story, told, code, around, findings),
        Outcome::Unknown | Outcome::Pending => {}
    }
}

/// Told once, it is the same for everybody, and for ever.
fn stays(request: u64, story: &Story, findings: &mut Findings) {
    let Some(result) = story.result() else {
        return;
    };
    for (ask, told) in story.told() {
        let is_other = told.outcome.is_final() && told.outcome != result.outcome;
        let is_gone = ask.line > result.line && told.outcome == Outcome::Pending;
        if is_other || is_gone {
            let expected = format!("the result of request {request} stays the same");
            let found = format!("{:?}, then {:?}", result.outcome, told.outcome);
            findings.broken(Rule::S9, expected, found, &[result.line, told.line]);
        }
    }
}

/// Its deadline is a result, too.
fn overdue(request: u64, story: &Story, around: &Surroundings, findings: &mut Findings) {
    let Some(due_ms) = story.due_until_ms().filter(|_| !around.is_clock_set) else {
        return;
    };
    for (ask, told) in story.told() {
        if told.outcome == Outcome::Pending && ask.at_ms > due_ms + around.lag_ms {
            let expected = format!("request {request} ends at its deadline, {due_ms} ms");
            let found = format!("it waits at {} ms", ask.at_ms);
            findings.broken(Rule::S9, expected, found, &[ask.line, told.line]);
        }
    }
}

/// A reply is that of the last worker that had it, as it was given.
fn of_the_last(
    request: u64,
    story: &Story,
    told: &Told,
    around: &Surroundings,
    findings: &mut Findings,
) {
    let Outcome::Replied { status, body } = told.outcome else {
        return;
    };
    let gave = |run: &&Run| {
        let reply = run.reply.as_ref();
        reply.is_some_and(|it| it.status == status && it.body == body && it.line < told.line)
    };
    let givers: Vec<&Run> = story.runs.iter().filter(gave).collect();
    if givers.is_empty() {
        let expected = format!("an answer to request {request} as its service gave it");
        let found = format!("status {status} with {} other bytes", body.length);
        return findings.broken(Rule::S9, expected, found, &[told.line]);
    }
    let doubts: Vec<_> = givers
        .iter()
        .filter_map(|giver| doubt(story, giver, around))
        .collect();
    // Two may have given the same: one of them could.
    if doubts.len() == givers.len()
        && let Some((rule, found, line)) = doubts.into_iter().next()
    {
        let expected = format!("an answer to request {request} from its last worker");
        findings.broken(rule, expected, found, &[line, told.line]);
    }
}

/// Why the answer of this worker cannot be the result, if it cannot.
fn doubt(story: &Story, giver: &Run, around: &Surroundings) -> Option<(Rule, String, usize)> {
    let replied = giver.reply.as_ref().map_or(0, |reply| reply.line);
    let token = giver.token;
    if giver.forward.is_some() {
        let found = format!("one under token {token}, passed on before");
        return Some((Rule::S9, found, giver.line));
    }
    let mut later = story.runs.iter().filter(|run| run.token > token);
    if let Some(later) = later.next() {
        let rule = if replied > later.line {
            Rule::S3
        } else {
            Rule::S4
        };
        let found = format!("one under token {token}, and {} is later", later.token);
        return Some((rule, found, later.line));
    }
    let mut restarts = around.restarts.iter();
    let restart = restarts.find(|restart| giver.line < **restart && **restart < replied)?;
    let found = format!("one under token {token}, from before the broker was started again");
    Some((Rule::S3, found, *restart))
}

/// No reply: only its deadline ends it, or so many workers that each was the last but for one.
fn failed(
    request: u64,
    story: &Story,
    told: &Told,
    code: u32,
    around: &Surroundings,
    findings: &mut Findings,
) {
    match code {
        DEADLINE_EXCEEDED => {
            let due_ms = story.due_from_ms();
            if !around.is_clock_set && told.at_ms + around.lag_ms < due_ms {
                let expected = format!("the deadline of request {request} is at {due_ms} ms");
                let found = format!("it fell at {} ms", told.at_ms);
                findings.broken(Rule::S9, expected, found, &[told.line]);
            }
        }
        WORKER_LOST | BODY_BROKEN | BUSY => {
            let seen = story.runs.iter().map(|run| run.attempt).max();
            let most = u64::from(seen.unwrap_or(0)) + around.workers_lost;
            if most < WORKERS_MAX {
                let expected = format!("request {request} is given to {WORKERS_MAX} workers");
                let found = format!("it ended with {code} after {most} at the most");
                findings.broken(Rule::S1, expected, found, &[told.line]);
            }
        }
        BODY_TOO_LARGE => {}
        _ => {
            let expected = format!("request {request} is kept until somebody answers it");
            let found = format!("it ended with {code}");
            findings.broken(Rule::S1, expected, found, &[told.line]);
        }
    }
}
