//! Requests of durability `disk`: what their callers did and were told. What workers did with them
//! stands in the same records as with those in memory.

mod answers;
mod record;
mod runs;
mod sends;
mod story;

use std::collections::BTreeMap;

pub use self::record::{DurableRecord, Outcome};
use self::story::{Ask, Ending, Send, Story, Told};
use super::RequestRecord;
use crate::Rule;
use crate::findings::Findings;

/// What was done to all of them together.
#[derive(Debug, Default)]
struct Surroundings {
    lag_ms: u64,
    /// Where the broker was started again.
    restarts: Vec<usize>,
    /// Connections to workers that were lost, and workers that ended.
    workers_lost: u64,
    /// The wall clock was set: after the next start deadlines fall early or late.
    is_clock_set: bool,
}

/// Reads what happened to requests of durability `disk`; most of it is judged in the end, when all
/// is known.
#[derive(Debug, Default)]
pub(super) struct Durable {
    around: Surroundings,
    stories: BTreeMap<u64, Story>,
    /// Which request, and which of its sends.
    calls: BTreeMap<u64, (u64, usize)>,
    /// Which request, and which question about it.
    asks: BTreeMap<u64, (u64, usize)>,
}

impl Durable {
    pub(super) fn new(lag_ms: u64) -> Self {
        let around = Surroundings {
            lag_ms,
            ..Surroundings::default()
        };
        Self {
            around,
            ..Self::default()
        }
    }

    /// What happened at this line and time; false: it has to do with requests in memory alone.
    pub(super) fn take(&mut self, line: usize, at_ms: u64, record: &RequestRecord) -> bool {
        match record {
            RequestRecord::Durable(record) => self.record(line, at_ms, record),
            RequestRecord::WorkerLost => self.around.workers_lost += 1,
            RequestRecord::Restarted => self.around.restarts.push(line),
            RequestRecord::ClockSet => self.around.is_clock_set = true,
            _ => return self.work(line, at_ms, record),
        }
        true
    }

    /// What callers did and were told.
    fn record(&mut self, line: usize, at_ms: u64, record: &DurableRecord) {
        match record {
            DurableRecord::Sent {
                call,
                request,
                service,
                deadline_ms,
                body,
            } => {
                let sends = &mut self.stories.entry(*request).or_default().sends;
                self.calls.insert(*call, (*request, sends.len()));
                sends.push(Send {
                    line,
                    at_ms,
                    service: service.clone(),
                    deadline_ms: *deadline_ms,
                    body: *body,
                    ending: None,
                });
            }
            DurableRecord::Accepted { call, known } => {
                let known = *known;
                self.end_send(*call, Ending::Accepted { line, at_ms, known });
            }
            DurableRecord::Refused { call, mismatch } => {
                let mismatch = *mismatch;
                self.end_send(*call, Ending::Refused { line, mismatch });
            }
            DurableRecord::Unsure { call } => self.end_send(*call, Ending::Unsure),
            DurableRecord::Asked { ask, request } => {
                let asks = &mut self.stories.entry(*request).or_default().asks;
                self.asks.insert(*ask, (*request, asks.len()));
                asks.push(Ask {
                    line,
                    at_ms,
                    is_over: false,
                    told: None,
                });
            }
            DurableRecord::Told { ask, outcome } => {
                let outcome = outcome.clone();
                self.end_ask(
                    *ask,
                    Some(Told {
                        line,
                        at_ms,
                        outcome,
                    }),
                );
            }
            DurableRecord::Untold { ask } => self.end_ask(*ask, None),
        }
    }

    fn end_send(&mut self, call: u64, ending: Ending) {
        let send = self.calls.get(&call).and_then(|(request, at)| {
            let story = self.stories.get_mut(request)?;
            story.sends.get_mut(*at)
        });
        if let Some(send) = send {
            send.ending = Some(ending);
        }
    }

    fn end_ask(&mut self, ask: u64, told: Option<Told>) {
        let ask = self.asks.get(&ask).and_then(|(request, at)| {
            let story = self.stories.get_mut(request)?;
            story.asks.get_mut(*at)
        });
        if let Some(ask) = ask {
            (ask.is_over, ask.told) = (true, told);
        }
    }

    /// What a worker did; false: it is none of these requests.
    fn work(&mut self, line: usize, at_ms: u64, record: &RequestRecord) -> bool {
        let (RequestRecord::Started { request, .. }
        | RequestRecord::Got { request, .. }
        | RequestRecord::Forward { request, .. }
        | RequestRecord::ForwardRefused { request, .. }
        | RequestRecord::Reply { request, .. }) = record
        else {
            return false;
        };
        let Some(story) = self.stories.get_mut(request) else {
            return false;
        };
        story.work(line, at_ms, record);
        true
    }

    /// Everybody had time to hear, and somebody has asked for every result.
    pub(super) fn drained(&self, line: usize, findings: &mut Findings) {
        for (request, story) in &self.stories {
            let open_send = story.sends.iter().find(|send| send.ending.is_none());
            let open_ask = story.asks.iter().find(|ask| !ask.is_over);
            let open = open_send.map(|send| send.line);
            if let Some(begun) = open.or(open_ask.map(|ask| ask.line)) {
                let expected = format!("every question about request {request} is answered");
                let found = "this one never was";
                findings.broken(Rule::S10, expected, found, &[begun, line]);
            }
            if let Some(there) = story.is_there_since()
                && story.result().is_none()
            {
                let expected = format!("request {request} comes to its end");
                let found = "nobody was ever told a result";
                findings.broken(Rule::S10, expected, found, &[there, line]);
            }
        }
    }

    /// The history is over.
    pub(super) fn judge(&self, findings: &mut Findings) {
        for (request, story) in &self.stories {
            sends::judge(*request, story, findings);
            runs::judge(*request, story, &self.around, findings);
            answers::judge(*request, story, &self.around, findings);
        }
    }
}
