//! The ways of recent requests, so that somebody who has an id can see where the time went. A ring:
//! the oldest is forgotten for the newest.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::id::{GatewayId, Micros, RequestId};

/// Steps and children that are remembered of one request; a way without circles has fewer.
const STEPS_MAX: usize = 64;
const CHILDREN_MAX: usize = 64;
/// Requests in one answer.
const ANSWER_MAX: usize = 256;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceKind {
    /// Its way begins; what is named is what was asked for.
    Accepted,
    /// No worker was free.
    Waiting,
    /// A worker has it.
    Started,
    /// It goes on to the service that is named.
    Forwarded,
    /// Its worker went or failed; another is to have it.
    Returned(crate::effect::Refusal),
    /// The reply has begun, with this status.
    Replied(u32),
    /// It is over; the refusal, if it was none.
    Ended(Option<crate::effect::Refusal>),
}

/// One step of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceStep {
    /// What happened.
    pub kind: TraceKind,
    /// When, on the broker's clock.
    pub at_us: Micros,
    /// Where.
    pub service: Arc<str>,
    /// Of the service.
    pub version: Arc<str>,
    /// The worker's name.
    pub instance: Arc<str>,
    /// What of the service.
    pub endpoint: Arc<str>,
}

/// The way of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedRequest {
    /// Which.
    pub request: RequestId,
    /// For which it was made.
    pub parent: Option<RequestId>,
    /// Where its reply went.
    pub gateway: GatewayId,
    /// What happened to it, in order; the first is when it was accepted.
    pub steps: Vec<TraceStep>,
}

#[derive(Debug)]
struct Entry {
    namespace: Arc<str>,
    traced: TracedRequest,
    children: Vec<RequestId>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Traces {
    requests: BTreeMap<RequestId, Entry>,
    order: VecDeque<RequestId>,
    max: usize,
}

impl Traces {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            max,
            ..Self::default()
        }
    }

    pub(crate) fn begin(&mut self, namespace: &Arc<str>, traced: TracedRequest) {
        if self.max == 0 {
            return;
        }
        if self.order.len() == self.max {
            let oldest = self.order.pop_front();
            oldest.map(|oldest| self.requests.remove(&oldest));
        }
        let (request, parent) = (traced.request, traced.parent);
        if let Some(parent) = parent.and_then(|parent| self.requests.get_mut(&parent))
            && parent.namespace == *namespace
            && parent.children.len() < CHILDREN_MAX
        {
            parent.children.push(request);
        }
        let namespace = Arc::clone(namespace);
        let entry = Entry {
            namespace,
            traced,
            children: Vec::new(),
        };
        // An id that is used again after its request ended: the newer one counts.
        if self.requests.insert(request, entry).is_some() {
            self.order.retain(|known| *known != request);
        }
        self.order.push_back(request);
    }

    pub(crate) fn step(&mut self, request: RequestId, step: impl FnOnce() -> TraceStep) {
        if let Some(entry) = self.requests.get_mut(&request) {
            let steps = &mut entry.traced.steps;
            // The end always has its place.
            if steps.len() < STEPS_MAX {
                steps.push(step());
            } else if let Some(last) = steps.last_mut() {
                *last = step();
            }
        }
    }

    /// The request and those made for it; none if it is not remembered.
    pub(crate) fn of(&self, namespace: &Arc<str>, request: RequestId) -> Vec<TracedRequest> {
        let mut found = Vec::new();
        let mut ahead = VecDeque::from([request]);
        while let Some(next) = ahead.pop_front() {
            let Some(entry) = self.requests.get(&next) else {
                continue;
            };
            // A client may name itself as its parent.
            let known = found
                .iter()
                .any(|known: &TracedRequest| known.request == next);
            if entry.namespace != *namespace || known || found.len() == ANSWER_MAX {
                continue;
            }
            found.push(entry.traced.clone());
            ahead.extend(&entry.children);
        }
        found
    }
}
