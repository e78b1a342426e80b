//! Requests of durability `disk` as they are on the disk: each from its acceptance until its result
//! is forgotten. Part of the ledger, so that recovery and checkpoints know of them; who holds one
//! and who waits for it is known to the running broker alone.
//!
//! A body, of a request or of a reply, has an id of its own, as a part of a large body has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::RequestLimits;
use crate::effect::Refusal;
use crate::event::{AcceptedRequest, RequestEvent};
use crate::id::{JobId, Millis, RequestId};

/// Results forgotten in one event, at most.
const FORGOTTEN_MAX: usize = 4_096;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Book {
    pub(crate) entries: BTreeMap<RequestId, Entry>,
    // What follows is found again from the entries.
    expiring: BTreeSet<(Millis, RequestId)>,
    result_bytes: u64,
    /// With the number of their entries.
    namespaces: BTreeMap<Arc<str>, usize>,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) namespace: Arc<str>,
    /// Tells whether the same is asked again under this id.
    pub(crate) fingerprint: u128,
    pub(crate) accepted_ms: Millis,
    pub(crate) progress: Progress,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Open(Box<Work>),
    Done(Outcome),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Work {
    pub(crate) service: Arc<str>,
    pub(crate) version: Arc<str>,
    pub(crate) endpoint: Arc<str>,
    pub(crate) deadline_ms: Millis,
    pub(crate) body: Stored,
    /// Workers that it was given to.
    pub(crate) attempts: u16,
    pub(crate) forwards: u32,
}

/// Where a header block and a body lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Their id.
    pub id: JobId,
    /// Bytes of the header block at their front.
    pub header_length: u32,
    /// Bytes of both.
    pub length: u32,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) until_ms: Millis,
    pub(crate) answer: Answer,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Replied {
        status: u32,
        body: Stored,
    },
    /// `holder` is the service that had it; empty: it waited.
    Failed {
        refusal: Refusal,
        holder: Arc<str>,
    },
}

impl Entry {
    /// The body that has to be kept for it.
    pub(crate) fn body(&self) -> Option<Stored> {
        match &self.progress {
            Progress::Open(work) => Some(work.body),
            Progress::Done(outcome) => outcome.body(),
        }
    }
}

impl Outcome {
    fn body(&self) -> Option<Stored> {
        match self.answer {
            Answer::Replied { body, .. } => Some(body),
            Answer::Failed { .. } => None,
        }
    }
}

impl Book {
    pub(crate) fn get(&self, request: RequestId) -> Option<&Entry> {
        self.entries.get(&request)
    }

    /// Requests that have no result yet.
    #[must_use]
    pub fn open_len(&self) -> usize {
        self.entries.len() - self.expiring.len()
    }

    /// Results that are kept.
    #[must_use]
    pub fn results_len(&self) -> usize {
        self.expiring.len()
    }

    /// Bytes of their header blocks and bodies.
    #[must_use]
    pub fn result_bytes(&self) -> u64 {
        self.result_bytes
    }

    /// Where the body lies that is kept for a request: its own, or that of its reply.
    #[must_use]
    pub fn body_of(&self, request: RequestId) -> Option<Stored> {
        self.get(request).and_then(Entry::body)
    }

    /// Where every body lies that is needed.
    pub fn bodies(&self) -> impl Iterator<Item = Stored> {
        self.entries.values().filter_map(Entry::body)
    }

    /// Those without a result, in the order in which they were accepted or passed on.
    pub(crate) fn open(&self) -> Vec<(RequestId, &Entry, &Work)> {
        let entries = self.entries.iter();
        let mut open: Vec<_> = entries
            .filter_map(|(request, entry)| match &entry.progress {
                Progress::Open(work) => Some((*request, entry, &**work)),
                Progress::Done(_) => None,
            })
            .collect();
        open.sort_unstable_by_key(|(_, _, work)| work.body.id);
        open
    }

    /// When a result has to be forgotten.
    pub(crate) fn next_expiry(&self, limits: &RequestLimits) -> Option<Millis> {
        if self.is_over(limits, 0, 0) {
            return Some(0);
        }
        self.expiring.first().map(|(until_ms, _)| *until_ms)
    }

    /// The results to forget now: those whose time is over, and the oldest beyond what may be kept.
    pub(crate) fn expired(&self, limits: &RequestLimits, now_ms: Millis) -> Vec<RequestId> {
        let (mut count, mut bytes) = (0, 0);
        let oldest = self.expiring.iter();
        let expired = oldest.take_while(|(until_ms, request)| {
            let is_expired = *until_ms <= now_ms || self.is_over(limits, count, bytes);
            count += 1;
            bytes += self.bytes_of(*request);
            is_expired
        });
        let requests = expired.map(|(_, request)| *request);
        requests.take(FORGOTTEN_MAX).collect()
    }

    /// Whether more is kept than may be, once so many results with so many bytes have gone.
    fn is_over(&self, limits: &RequestLimits, gone: usize, gone_bytes: u64) -> bool {
        self.expiring.len() - gone > limits.results_max
            || self.result_bytes - gone_bytes > limits.result_bytes_max
    }

    fn bytes_of(&self, request: RequestId) -> u64 {
        self.body_of(request)
            .map_or(0, |body| u64::from(body.length))
    }

    /// Bodies that nobody needs once the event is applied.
    pub(crate) fn freed_by(&self, event: &RequestEvent) -> Vec<JobId> {
        let body = |request: &RequestId| Some(self.get(*request)?.body()?.id);
        match event {
            RequestEvent::Accepted(_) | RequestEvent::Started { .. } => Vec::new(),
            RequestEvent::Forwarded(passed) => body(&passed.request).into_iter().collect(),
            RequestEvent::Replied { request, .. } | RequestEvent::Failed { request, .. } => {
                body(request).into_iter().collect()
            }
            RequestEvent::Forgotten { requests } => requests.iter().filter_map(body).collect(),
        }
    }

    /// Applies one event; returns the id of the body that came with it.
    pub(crate) fn apply(&mut self, event: &RequestEvent, now_ms: Millis) -> Option<JobId> {
        match event {
            RequestEvent::Accepted(accepted) => {
                let entry = Entry {
                    namespace: self.intern(&accepted.namespace),
                    fingerprint: accepted.fingerprint,
                    accepted_ms: now_ms,
                    progress: Progress::Open(Box::new(Work::new(accepted, 0))),
                };
                let before = self.entries.insert(accepted.request, entry);
                assert!(before.is_none(), "a request is accepted once");
                Some(accepted.body)
            }
            RequestEvent::Started { request } => {
                let work = self.work(*request);
                work.attempts = work.attempts.saturating_add(1);
                None
            }
            RequestEvent::Forwarded(passed) => {
                let work = self.work(passed.request);
                let (forwards, deadline_ms) = (work.forwards + 1, work.deadline_ms);
                *work = Work::new(passed, forwards);
                work.deadline_ms = deadline_ms;
                Some(passed.body)
            }
            RequestEvent::Replied {
                request,
                status,
                until_ms,
                body,
                header_length,
                payload,
            } => {
                let answer = Answer::Replied {
                    status: *status,
                    body: Stored {
                        id: *body,
                        header_length: *header_length,
                        length: payload.len() as u32,
                    },
                };
                let until_ms = *until_ms;
                self.end(*request, Outcome { until_ms, answer });
                Some(*body)
            }
            RequestEvent::Failed {
                request,
                refusal,
                holder,
                until_ms,
            } => {
                let answer = Answer::Failed {
                    refusal: *refusal,
                    holder: Arc::clone(holder),
                };
                let until_ms = *until_ms;
                self.end(*request, Outcome { until_ms, answer });
                None
            }
            RequestEvent::Forgotten { requests } => {
                for request in requests {
                    self.forget(*request);
                }
                None
            }
        }
    }

    /// An entry of a checkpoint.
    pub(crate) fn put_back(&mut self, request: RequestId, mut entry: Entry) {
        entry.namespace = self.intern(&entry.namespace);
        if let Progress::Done(outcome) = &entry.progress {
            self.expiring.insert((outcome.until_ms, request));
            self.result_bytes += outcome.body().map_or(0, |body| u64::from(body.length));
        }
        self.entries.insert(request, entry);
    }

    fn end(&mut self, request: RequestId, outcome: Outcome) {
        self.expiring.insert((outcome.until_ms, request));
        self.result_bytes += outcome.body().map_or(0, |body| u64::from(body.length));
        let entry = self.entries.get_mut(&request);
        let entry = entry.expect("an event names a request that is there");
        assert!(
            matches!(entry.progress, Progress::Open(_)),
            "a request has one end"
        );
        entry.progress = Progress::Done(outcome);
    }

    fn forget(&mut self, request: RequestId) {
        let entry = self.entries.remove(&request);
        let entry = entry.expect("an event names a request that is there");
        let Progress::Done(outcome) = entry.progress else {
            panic!("a request is not forgotten before its end");
        };
        self.expiring.remove(&(outcome.until_ms, request));
        if let Some(count) = self.namespaces.get_mut(&entry.namespace) {
            *count -= 1;
            if *count == 0 {
                self.namespaces.remove(&entry.namespace);
            }
        }
        self.result_bytes -= outcome.body().map_or(0, |body| u64::from(body.length));
    }

    fn work(&mut self, request: RequestId) -> &mut Work {
        match self
            .entries
            .get_mut(&request)
            .map(|entry| &mut entry.progress)
        {
            Some(Progress::Open(work)) => work,
            _ => panic!("an event names a request that is open"),
        }
    }

    /// One more entry of a namespace, whose name is kept once for all of them.
    fn intern(&mut self, namespace: &Arc<str>) -> Arc<str> {
        if let Some((known, _)) = self.namespaces.get_key_value(namespace) {
            let known = Arc::clone(known);
            *self.namespaces.entry(Arc::clone(&known)).or_default() += 1;
            return known;
        }
        self.namespaces.insert(Arc::clone(namespace), 1);
        Arc::clone(namespace)
    }
}

impl Work {
    fn new(accepted: &AcceptedRequest, forwards: u32) -> Self {
        Self {
            service: Arc::clone(&accepted.service),
            version: Arc::clone(&accepted.version),
            endpoint: Arc::clone(&accepted.endpoint),
            deadline_ms: accepted.deadline_ms,
            body: Stored {
                id: accepted.body,
                header_length: accepted.header_length,
                length: accepted.payload.len() as u32,
            },
            attempts: 0,
            forwards,
        }
    }
}
