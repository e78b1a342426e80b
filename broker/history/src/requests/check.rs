//! Reads a history of requests from its beginning to its end.

use std::collections::BTreeMap;

use super::RequestRecord;
use super::durable::Durable;
use super::way::{End, Hold, Reply, Way};
use crate::findings::Findings;
use crate::{Body, Rule, Violation};

/// A client waits so much longer than the deadline for the broker's word.
const SLACK_MS: u64 = 2_000;

/// Holds a history of requests against the promises; empty: none was broken, as far as it can tell.
///
/// `lag_ms`: so much later than it happened a client may see something.
#[must_use]
pub fn check_requests(history: &[RequestRecord], lag_ms: u64) -> Vec<Violation> {
    let mut check = Check {
        lag_ms,
        durable: Durable::new(lag_ms),
        ..Check::default()
    };
    for (at, record) in history.iter().enumerate() {
        if !check.durable.take(at + 1, check.at_ms, record) {
            check.record(at + 1, record);
        }
    }
    check.durable.judge(&mut check.findings);
    check.findings.0
}

#[derive(Debug, Default)]
struct Check {
    lag_ms: u64,
    at_ms: u64,
    ways: BTreeMap<u64, Way>,
    durable: Durable,
    findings: Findings,
}

impl Check {
    fn record(&mut self, line: usize, record: &RequestRecord) {
        match record {
            RequestRecord::Time { at_ms } => self.at_ms = *at_ms,
            RequestRecord::Durable(_)
            | RequestRecord::WorkerLost
            | RequestRecord::Restarted
            | RequestRecord::ClockSet => {}
            RequestRecord::Sent {
                request,
                service,
                deadline_ms,
                body,
            } => {
                let way = Way {
                    line,
                    sent_ms: self.at_ms,
                    deadline_ms: *deadline_ms,
                    service: service.clone(),
                    body: *body,
                    end: End::Open,
                    holds: Vec::new(),
                };
                self.ways.insert(*request, way);
            }
            RequestRecord::Started {
                request,
                token,
                service,
                forwards,
                ..
            } => self.started(line, *request, *token, service, *forwards),
            RequestRecord::Got {
                request,
                token,
                body,
            } => self.got(line, *request, *token, *body),
            RequestRecord::Forward {
                request,
                token,
                service,
                body,
            } => {
                if let Some(hold) = self.hold(*request, *token) {
                    hold.forward = Some((service.clone(), *body));
                }
            }
            RequestRecord::ForwardRefused { request, token } => {
                if let Some(hold) = self.hold(*request, *token) {
                    hold.forward = None;
                }
            }
            RequestRecord::Reply {
                request,
                token,
                status,
                body,
            } => {
                let (status, body) = (*status, *body);
                if let Some(hold) = self.hold(*request, *token) {
                    hold.reply = Some(Reply { line, status, body });
                }
            }
            RequestRecord::Began { .. }
            | RequestRecord::Answered { .. }
            | RequestRecord::BrokenOff { .. }
            | RequestRecord::Ended { .. }
            | RequestRecord::GivenUp { .. } => self.heard(line, record),
            RequestRecord::Drained => self.drained(line),
        }
    }

    fn hold(&mut self, request: u64, token: u64) -> Option<&mut Hold> {
        self.ways.get_mut(&request)?.hold(token)
    }

    fn started(&mut self, line: usize, request: u64, token: u64, service: &str, forwards: u32) {
        let (findings, now) = (&mut self.findings, self.at_ms);
        let Some(way) = self.ways.get_mut(&request) else {
            let found = format!("{service} got request {request}");
            findings.broken(Rule::S2, "a request that somebody sent", found, &[line]);
            return;
        };
        if let Some(other) = way.holds.iter().find(|hold| hold.forwards >= forwards) {
            let expected = format!("request {request} is given out once");
            let found = format!("{service} got it after {forwards} forwards, as another one had");
            findings.broken(Rule::S9, expected, found, &[other.line, line]);
        }
        if let Some(other) = way.holds.iter().find(|hold| hold.token >= token) {
            let expected = format!("a token above {} for request {request}", other.token);
            let found = format!("token {token}");
            findings.broken(Rule::S3, expected, found, &[other.line, line]);
        }
        match way.stretch(forwards) {
            Some((expected, _)) if expected == service => {}
            Some((expected, _)) => {
                let expected = format!("request {request} goes to {expected}");
                let found = format!("{service} got it");
                findings.broken(Rule::S9, expected, found, &[way.line, line]);
            }
            None => {
                let expected = format!("{forwards} workers passed request {request} on");
                let found = format!("{service} got it, and they did not");
                findings.broken(Rule::S9, expected, found, &[way.line, line]);
            }
        }
        let due = way.sent_ms + way.deadline_ms;
        if now > due + self.lag_ms {
            let expected = format!("request {request} never starts after its deadline, {due} ms");
            let found = format!("{service} got it at {now} ms");
            findings.broken(Rule::S9, expected, found, &[way.line, line]);
        }
        way.holds.push(Hold {
            line,
            token,
            forwards,
            forward: None,
            reply: None,
        });
    }

    fn got(&mut self, line: usize, request: u64, token: u64, body: Body) {
        let Some(way) = self.ways.get_mut(&request) else {
            return;
        };
        let Some(forwards) = way.hold(token).map(|hold| hold.forwards) else {
            return;
        };
        let expected = way.stretch(forwards).map(|(_, body)| body);
        if expected.is_some_and(|expected| expected != body) {
            let expected = format!("the body of request {request} as it was sent");
            let found = format!("{} other bytes", body.length);
            self.findings
                .broken(Rule::S2, expected, found, &[way.line, line]);
        }
    }

    /// What came to the caller.
    fn heard(&mut self, line: usize, record: &RequestRecord) {
        let (findings, now) = (&mut self.findings, self.at_ms);
        let (RequestRecord::Began { request, .. }
        | RequestRecord::Answered { request, .. }
        | RequestRecord::BrokenOff { request }
        | RequestRecord::Ended { request, .. }
        | RequestRecord::GivenUp { request }) = record
        else {
            return;
        };
        let Some(way) = self.ways.get_mut(request) else {
            let found = format!("request {request} was answered");
            findings.broken(Rule::S2, "a request that somebody sent", found, &[line]);
            return;
        };
        if let End::Over { line: before } = way.end {
            let expected = format!("request {request} ends once");
            findings.broken(Rule::S9, expected, "twice", &[before, line]);
            return;
        }
        let due = way.sent_ms + way.deadline_ms;
        let is_first = way.end == End::Open && !matches!(record, RequestRecord::GivenUp { .. });
        if is_first && now > due + SLACK_MS + self.lag_ms {
            let expected = format!("word of request {request} about its deadline, {due} ms");
            let found = format!("at {now} ms");
            findings.broken(Rule::S9, expected, found, &[way.line, line]);
        }
        match *record {
            RequestRecord::Began { status, .. } => {
                way.end = End::Began { line, status };
                return;
            }
            RequestRecord::Answered { request, body } => {
                way.answered(request, body, line, findings);
            }
            RequestRecord::Ended { late, .. } => {
                if late && now + self.lag_ms < due {
                    let expected = format!("the deadline of request {request} is at {due} ms");
                    let found = format!("it fell at {now} ms");
                    findings.broken(Rule::S9, expected, found, &[way.line, line]);
                }
                if let End::Began { line: began, .. } = way.end {
                    let expected = format!("request {request} is answered, as it had begun");
                    findings.broken(Rule::S9, expected, "it ended", &[began, line]);
                }
            }
            _ => {}
        }
        way.end = End::Over { line };
    }

    fn drained(&mut self, line: usize) {
        self.durable.drained(line, &mut self.findings);
        for (request, way) in &self.ways {
            let (what, since) = match way.end {
                End::Over { .. } => continue,
                End::Began { line, .. } => ("its answer began and never ended", line),
                End::Open => ("nobody ever heard of it", way.line),
            };
            let expected = format!("request {request} comes to its end");
            self.findings
                .broken(Rule::S10, expected, what, &[since, line]);
        }
    }
}
