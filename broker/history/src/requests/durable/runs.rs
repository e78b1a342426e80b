//! To whom it was given, and when, as which attempt, with which body.

use super::Surroundings;
use super::story::{Run, Send, Story};
use crate::findings::Findings;
use crate::{Body, Rule};

pub(super) fn judge(request: u64, story: &Story, around: &Surroundings, findings: &mut Findings) {
    for run in &story.runs {
        way(request, story, run, findings);
        in_time(request, story, run, around, findings);
    }
    attempts(request, story, findings);
}

/// It goes where it was sent or passed on to, with that body.
fn way(request: u64, story: &Story, run: &Run, findings: &mut Findings) {
    let stretches = stretches(story, run);
    let Some(begun) = story.sends.first().map(|send| send.line) else {
        let (expected, found) = ("a request that somebody sent", "request");
        let found = format!("{} got {found} {request}", run.service);
        return findings.broken(Rule::S2, expected, found, &[run.line]);
    };
    if !stretches.iter().any(|(service, _)| *service == run.service) {
        let expected = match stretches.first() {
            Some((service, _)) => format!("request {request} goes to {service}"),
            None => format!("{} workers passed request {request} on", run.forwards),
        };
        let found = format!("{} got it", run.service);
        findings.broken(Rule::S9, expected, found, &[begun, run.line]);
    }
    if let Some((line, body)) = run.got
        && !stretches.is_empty()
        && !stretches.iter().any(|(_, expected)| *expected == body)
    {
        let expected = format!("the body of request {request} as it was sent");
        let found = format!("{} other bytes", body.length);
        findings.broken(Rule::S2, expected, found, &[begun, line]);
    }
}

/// The services and bodies that it may have at this point of its way.
fn stretches<'a>(story: &'a Story, run: &Run) -> Vec<(&'a str, Body)> {
    if run.forwards == 0 {
        let accepted = story.sends.iter().find(|send| send.accepted().is_some());
        return match accepted {
            Some(send) => vec![send.content()],
            None => {
                let before = story.sends.iter().filter(|send| send.line < run.line);
                before.map(Send::content).collect()
            }
        };
    }
    // The last worker before it that had it at the stretch before: only that one could pass it on.
    let before = |other: &&Run| other.forwards + 1 == run.forwards && other.token < run.token;
    let before = story.runs.iter().filter(before);
    let Some(forwarder) = before.max_by_key(|other| other.token) else {
        return Vec::new();
    };
    let Some((service, body)) = &forwarder.forward else {
        return Vec::new();
    };
    let came = stretches(story, forwarder);
    let bodies = came.into_iter().map(|(_, came)| body.unwrap_or(came));
    bodies.map(|body| (service.as_str(), body)).collect()
}

fn in_time(request: u64, story: &Story, run: &Run, around: &Surroundings, findings: &mut Findings) {
    if let Some(told) = story.result()
        && run.at_ms > told.at_ms + around.lag_ms
    {
        let expected = format!("request {request} never runs again once it has a result");
        let found = format!("{} got it", run.service);
        findings.broken(Rule::S4, expected, found, &[told.line, run.line]);
    }
    if let Some(due_ms) = story.due_until_ms()
        && !around.is_clock_set
        && run.at_ms > due_ms + around.lag_ms
    {
        let expected = format!("request {request} never starts after its deadline, {due_ms} ms");
        let found = format!("{} got it at {} ms", run.service, run.at_ms);
        findings.broken(Rule::S9, expected, found, &[run.line]);
    }
}

/// Tokens are given once, and in their order forwards never fall and attempts rise.
fn attempts(request: u64, story: &Story, findings: &mut Findings) {
    let mut runs: Vec<&Run> = story.runs.iter().collect();
    runs.sort_by_key(|run| run.token);
    if let Some(run) = runs.iter().find(|run| run.attempt == 0) {
        let expected = format!("every run of request {request} has a number");
        findings.broken(Rule::S5, expected, "this one has none", &[run.line]);
    }
    for pair in runs.windows(2) {
        let (before, run) = (pair[0], pair[1]);
        let lines = [before.line, run.line];
        if run.token == before.token {
            let expected = format!("each run of request {request} has a token of its own");
            let found = format!("two have {}", run.token);
            findings.broken(Rule::S3, expected, found, &lines);
        } else if run.forwards < before.forwards {
            let expected = format!("request {request} was passed on {} times", before.forwards);
            let found = format!("then {} times", run.forwards);
            findings.broken(Rule::S9, expected, found, &lines);
        } else if run.forwards == before.forwards && run.attempt <= before.attempt {
            let expected = format!("request {request} runs after attempt {}", before.attempt);
            let found = format!("as attempt {}", run.attempt);
            findings.broken(Rule::S5, expected, found, &lines);
        }
    }
}
