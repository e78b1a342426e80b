//! The ways of recent requests, so that somebody who has an id can see where the time went. A ring:
//! the oldest is forgotten for the newest.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::command::ServerInfo;
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

/// A step as it is kept: with little to share and to give back, for every request has some.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) kind: TraceKind,
    pub(super) at_us: Micros,
    /// Where it is.
    pub(super) service: Arc<str>,
    pub(super) worker: Option<Arc<ServerInfo>>,
    /// The version and the endpoint that are asked for, where that begins or changes.
    pub(super) asked: Option<(Arc<str>, Arc<str>)>,
}

#[derive(Debug)]
struct Entry {
    namespace: Arc<str>,
    request: RequestId,
    parent: Option<RequestId>,
    gateway: GatewayId,
    steps: Vec<Step>,
    children: Vec<RequestId>,
}

impl Entry {
    fn told(&self) -> TracedRequest {
        let mut asked: (Arc<str>, Arc<str>) = Default::default();
        let step = |step: &Step| {
            if let Some(now) = &step.asked {
                asked.clone_from(now);
            }
            let (version, endpoint) = asked.clone();
            let worker = step.worker.as_ref();
            TraceStep {
                kind: step.kind,
                at_us: step.at_us,
                service: Arc::clone(&step.service),
                version: worker.map_or(version, |worker| Arc::clone(&worker.version)),
                instance: worker.map_or_else(Arc::default, |worker| Arc::clone(&worker.instance)),
                endpoint,
            }
        };
        TracedRequest {
            request: self.request,
            parent: self.parent,
            gateway: self.gateway,
            steps: self.steps.iter().map(step).collect(),
        }
    }
}

/// Under which an open request is found here, and nothing later ever is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TraceNumber(u64);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Traces {
    /// Oldest first; their numbers follow one another.
    entries: VecDeque<Entry>,
    first: u64,
    /// The newest of each id.
    numbers: BTreeMap<RequestId, u64>,
    max: usize,
}

impl Traces {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            max,
            ..Self::default()
        }
    }

    /// The way of a request begins, for the sake of another one perhaps.
    pub(super) fn begin(
        &mut self,
        namespace: &Arc<str>,
        (request, parent): (RequestId, Option<RequestId>),
        gateway: GatewayId,
        accepted: Step,
    ) -> TraceNumber {
        let number = self.first + self.entries.len() as u64;
        if self.max == 0 {
            return TraceNumber(number);
        }
        if self.entries.len() == self.max {
            self.forget_oldest();
        }
        if let Some(parent) = parent.and_then(|parent| self.numbers.get(&parent).copied())
            && let Some(parent) = self.entry(parent)
            && parent.namespace == *namespace
            && parent.children.len() < CHILDREN_MAX
        {
            parent.children.push(request);
        }
        let mut steps = Vec::with_capacity(4);
        steps.push(accepted);
        self.entries.push_back(Entry {
            namespace: Arc::clone(namespace),
            request,
            parent,
            gateway,
            steps,
            children: Vec::new(),
        });
        self.numbers.insert(request, number);
        TraceNumber(number)
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.entries.pop_front() else {
            return;
        };
        // An id that was used again after its request ended stands for the newer one.
        if self.numbers.get(&oldest.request) == Some(&self.first) {
            self.numbers.remove(&oldest.request);
        }
        self.first += 1;
    }

    /// Where an entry is now; none if it is forgotten.
    fn at(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.first)?).ok()
    }

    fn entry(&mut self, number: u64) -> Option<&mut Entry> {
        let at = self.at(number)?;
        self.entries.get_mut(at)
    }

    pub(super) fn step(&mut self, number: TraceNumber, step: impl FnOnce() -> Step) {
        if let Some(Entry { steps, .. }) = self.entry(number.0) {
            // The end always has its place.
            if steps.len() < STEPS_MAX {
                steps.push(step());
            } else if let Some(last) = steps.last_mut() {
                let asked = last.asked.take();
                *last = step();
                // What is asked for from there on goes for those that follow, too.
                last.asked = last.asked.take().or(asked);
            }
        }
    }

    /// The request and those made for it; none if it is not remembered.
    pub(crate) fn of(&self, namespace: &Arc<str>, request: RequestId) -> Vec<TracedRequest> {
        let mut found = Vec::new();
        let mut ahead = VecDeque::from([request]);
        while let Some(next) = ahead.pop_front() {
            let at = self.numbers.get(&next).and_then(|number| self.at(*number));
            let Some(entry) = at.and_then(|at| self.entries.get(at)) else {
                continue;
            };
            // A client may name itself as its parent.
            let known = found
                .iter()
                .any(|known: &TracedRequest| known.request == next);
            if entry.namespace != *namespace || known || found.len() == ANSWER_MAX {
                continue;
            }
            found.push(entry.told());
            ahead.extend(&entry.children);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(kind: TraceKind, asked: Option<&str>) -> Step {
        Step {
            kind,
            at_us: 1,
            service: "shop".into(),
            worker: None,
            asked: asked.map(|endpoint| (Arc::default(), endpoint.into())),
        }
    }

    #[test]
    fn a_way_with_too_many_steps_ends_where_it_was_sent_to_last() {
        let (mut traces, namespace) = (Traces::new(1), Arc::from("n"));
        let (request, accepted) = (RequestId(7), step(TraceKind::Accepted, Some("first")));
        let ids = (request, None);
        let number = traces.begin(&namespace, ids, GatewayId(0), accepted);
        for _ in 1..STEPS_MAX {
            traces.step(number, || step(TraceKind::Waiting, None));
        }
        traces.step(number, || step(TraceKind::Forwarded, Some("second")));
        traces.step(number, || step(TraceKind::Ended(None), None));
        let steps = traces.of(&namespace, request).remove(0).steps;
        assert_eq!(steps.len(), STEPS_MAX);
        assert_eq!(&*steps[STEPS_MAX - 2].endpoint, "first");
        let last = &steps[STEPS_MAX - 1];
        assert_eq!(last.kind, TraceKind::Ended(None));
        assert_eq!(&*last.endpoint, "second");
    }
}
