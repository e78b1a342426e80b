//! The same id is the same request, and what was accepted is there.

use super::Outcome;
use super::story::{Ending, Send, Story};
use crate::Rule;
use crate::findings::Findings;

pub(super) fn judge(request: u64, story: &Story, findings: &mut Findings) {
    kept(request, story, findings);
    accepted_once(request, story, findings);
    same(request, story, findings);
    told_apart(request, story, findings);
}

/// Whoever asks for a request that is on the disk is not told that there is none.
fn kept(request: u64, story: &Story, findings: &mut Findings) {
    let Some(there) = story.is_there_since() else {
        return;
    };
    for (ask, told) in story.told() {
        if ask.line > there && told.outcome == Outcome::Unknown {
            let expected = format!("request {request} is there, as it was on the disk");
            let lines = [there, ask.line, told.line];
            findings.broken(Rule::S1, expected, "nobody knows of it", &lines);
        }
    }
}

/// One acceptance says that it is the first; none does that was asked for once it was there.
fn accepted_once(request: u64, story: &Story, findings: &mut Findings) {
    let there = story.is_there_since().unwrap_or(usize::MAX);
    let mut first = None;
    for send in &story.sends {
        let Some((line, _, false)) = send.accepted() else {
            continue;
        };
        let before = first.replace(line);
        if let Some(before) = before.or((send.line > there).then_some(there)) {
            let expected = format!("request {request} is accepted once");
            findings.broken(Rule::S7, expected, "it was accepted anew", &[before, line]);
        }
    }
}

/// All that were accepted under this number are the same request.
fn same(request: u64, story: &Story, findings: &mut Findings) {
    let mut accepted = story.sends.iter().filter(|send| send.accepted().is_some());
    let Some(first) = accepted.next() else {
        return;
    };
    for other in accepted.filter(|other| other.content() != first.content()) {
        let expected = format!("request {request} is not taken for another one");
        let found = "two that differ were accepted";
        let lines = [first.line, other.line];
        findings.broken(Rule::S7, expected, found, &lines);
    }
}

/// Only another request is refused as another one.
fn told_apart(request: u64, story: &Story, findings: &mut Findings) {
    for send in &story.sends {
        let Some(Ending::Refused {
            line,
            mismatch: true,
        }) = send.ending
        else {
            continue;
        };
        let is_other = |other: &Send| other.line < line && other.content() != send.content();
        if !story.sends.iter().any(is_other) {
            let expected = format!("request {request} sent again is the same request");
            let lines = [send.line, line];
            findings.broken(Rule::S7, expected, "it was taken for another one", &lines);
        }
    }
}
