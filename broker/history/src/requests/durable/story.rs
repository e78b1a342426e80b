//! What is known of one request of durability `disk`.

use super::Outcome;
use crate::Body;
use crate::requests::RequestRecord;
use crate::requests::way::Reply;

/// It was sent once, or once more.
#[derive(Debug)]
pub(super) struct Send {
    pub(super) line: usize,
    pub(super) at_ms: u64,
    pub(super) service: String,
    pub(super) deadline_ms: u64,
    pub(super) body: Body,
    pub(super) ending: Option<Ending>,
}

/// What the caller was told.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ending {
    Accepted {
        line: usize,
        at_ms: u64,
        known: bool,
    },
    Refused {
        line: usize,
        mismatch: bool,
    },
    Unsure,
}

/// Somebody asked for its result.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) line: usize,
    pub(super) at_ms: u64,
    pub(super) is_over: bool,
    pub(super) told: Option<Told>,
}

#[derive(Debug)]
pub(super) struct Told {
    pub(super) line: usize,
    pub(super) at_ms: u64,
    pub(super) outcome: Outcome,
}

/// A worker got it.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) line: usize,
    pub(super) at_ms: u64,
    pub(super) token: u64,
    pub(super) service: String,
    pub(super) forwards: u32,
    pub(super) attempt: u32,
    pub(super) got: Option<(usize, Body)>,
    /// Where it passes the request on to, with which body; gone again if that was refused.
    pub(super) forward: Option<(String, Option<Body>)>,
    pub(super) reply: Option<Reply>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Story {
    pub(super) sends: Vec<Send>,
    pub(super) asks: Vec<Ask>,
    /// As workers saw them, which may be another order than that of their tokens.
    pub(super) runs: Vec<Run>,
}

impl Send {
    /// Where its caller was told that it is on the disk, when, and whether it had been before.
    pub(super) fn accepted(&self) -> Option<(usize, u64, bool)> {
        match self.ending {
            Some(Ending::Accepted { line, at_ms, known }) => Some((line, at_ms, known)),
            _ => None,
        }
    }

    /// What is the same request has the same.
    pub(super) fn content(&self) -> (&str, Body) {
        (&self.service, self.body)
    }
}

impl Story {
    pub(super) fn work(&mut self, line: usize, at_ms: u64, record: &RequestRecord) {
        match record {
            RequestRecord::Started {
                token,
                service,
                forwards,
                attempt,
                ..
            } => self.runs.push(Run {
                line,
                at_ms,
                token: *token,
                service: service.clone(),
                forwards: *forwards,
                attempt: *attempt,
                got: None,
                forward: None,
                reply: None,
            }),
            RequestRecord::Got { token, body, .. } => {
                self.run(*token, |run| run.got = Some((line, *body)));
            }
            RequestRecord::Forward {
                token,
                service,
                body,
                ..
            } => self.run(*token, |run| run.forward = Some((service.clone(), *body))),
            RequestRecord::ForwardRefused { token, .. } => {
                self.run(*token, |run| run.forward = None);
            }
            RequestRecord::Reply {
                token,
                status,
                body,
                ..
            } => {
                let (status, body) = (*status, *body);
                self.run(*token, |run| run.reply = Some(Reply { line, status, body }));
            }
            _ => {}
        }
    }

    fn run(&mut self, token: u64, change: impl FnOnce(&mut Run)) {
        let run = self.runs.iter_mut().find(|run| run.token == token);
        run.map(change);
    }

    /// What somebody was told, in the order in which it came.
    pub(super) fn told(&self) -> impl Iterator<Item = (&Ask, &Told)> {
        let asks = self.asks.iter();
        asks.filter_map(|ask| Some((ask, ask.told.as_ref()?)))
    }

    /// The first result that somebody was told.
    pub(super) fn result(&self) -> Option<&Told> {
        let told = self.told().map(|(_, told)| told);
        let results = told.filter(|told| told.outcome.is_final());
        results.min_by_key(|told| told.line)
    }

    /// The first line that shows it to be on the disk.
    pub(super) fn is_there_since(&self) -> Option<usize> {
        let accepted = self.sends.iter().filter_map(Send::accepted);
        let accepted = accepted.map(|(line, _, _)| line);
        let started = self.runs.iter().map(|run| run.line);
        let told = self.told().map(|(_, told)| told);
        let told = told.filter(|told| told.outcome != Outcome::Unknown);
        let told = told.map(|told| told.line);
        accepted.chain(started).chain(told).min()
    }

    /// Its deadline is not before this.
    pub(super) fn due_from_ms(&self) -> u64 {
        let due = self.sends.iter().map(|send| send.at_ms + send.deadline_ms);
        due.min().unwrap_or(0)
    }

    /// And, once it was accepted, not after this.
    pub(super) fn due_until_ms(&self) -> Option<u64> {
        let accepted = self.sends.iter().filter_map(Send::accepted);
        let (line, at_ms, _) = accepted.min_by_key(|(line, _, _)| *line)?;
        let before = self.sends.iter().filter(|send| send.line < line);
        let longest_ms = before.map(|send| send.deadline_ms).max()?;
        Some(at_ms + longest_ms)
    }
}
