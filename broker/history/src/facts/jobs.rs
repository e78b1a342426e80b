//! Jobs: where each came from and all that happened to it.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::{At, Call, End, Fate, Submission};
use crate::{Body, Delivered, Event, History, Operation, Past};

/// One job.
#[derive(Debug)]
pub(crate) struct Track<'h> {
    pub(crate) id: u64,
    /// None: no push can have brought it.
    pub(crate) origin: Option<Origin>,
    /// In the order of their tokens, which is the order in which the broker gave them.
    pub(crate) leases: Vec<Lease<'h>>,
    /// In the order of their invocation.
    pub(crate) settles: Vec<Settle>,
    pub(crate) lost: Vec<Lost>,
}

/// Which push a job came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub(crate) push: usize,
    /// Which job of the push.
    pub(crate) index: usize,
    /// Not so if its push has no known outcome and there is another one with the same body.
    pub(crate) sure: bool,
}

/// A delivery, and the lease that came with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease<'h> {
    /// When the client had it: the broker gave it at some time before.
    pub(crate) at: At,
    pub(crate) seen: &'h Delivered,
}

/// What a client said of a lease.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settle {
    pub(crate) client: u32,
    pub(crate) token: u64,
    pub(crate) kind: SettleKind,
    pub(crate) invoked: At,
    pub(crate) ended: Option<At>,
    pub(crate) end: End,
}

/// What it was said for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SettleKind {
    Ack,
    Nack(Option<u64>),
    Release,
    Touch(u64),
}

/// A client was told that its lease is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lost {
    pub(crate) client: u32,
    pub(crate) token: u64,
    pub(crate) at: At,
}

impl Settle {
    pub(crate) fn is_ok(&self) -> bool {
        matches!(self.end, End::Ok(_))
    }

    pub(crate) fn is_refused(&self) -> bool {
        matches!(self.end, End::Refused(_))
    }

    /// Whether it was done before `line`, for certain.
    pub(crate) fn is_ok_before(&self, line: usize) -> bool {
        self.is_ok() && self.ended.is_some_and(|at| at.line < line)
    }

    pub(crate) fn ends_lease(&self) -> bool {
        !matches!(self.kind, SettleKind::Touch(_))
    }

    pub(crate) fn lines(&self) -> Vec<usize> {
        let ended = self.ended.map(|at| at.line);
        std::iter::once(self.invoked.line).chain(ended).collect()
    }
}

impl Track<'_> {
    /// What was said under one token.
    pub(crate) fn settles_of(&self, token: u64) -> impl Iterator<Item = &Settle> {
        self.settles
            .iter()
            .filter(move |settle| settle.token == token)
    }

    /// Whether an ack was answered, or may have been done without an answer.
    pub(crate) fn may_be_done(&self) -> bool {
        let mut acks = self.settles.iter().filter(|s| s.kind == SettleKind::Ack);
        acks.any(|ack| !ack.is_refused())
    }
}

pub(super) fn gather<'h>(
    history: &'h History,
    calls: &[Call<'h>],
    pushes: &[Submission<'h>],
    past: &Past,
) -> Vec<Track<'h>> {
    let mut jobs = BTreeMap::new();
    name_known(pushes, &mut jobs);
    for (index, record) in history.records.iter().enumerate() {
        let at = At {
            line: index + 1,
            at_ms: record.at_ms,
        };
        match &record.event {
            Event::Delivered(seen) => {
                let lease = Lease { at, seen };
                track(&mut jobs, seen.job).leases.push(lease);
            }
            Event::LeaseLost { client, job, token } => {
                let (client, token) = (*client, *token);
                track(&mut jobs, *job).lost.push(Lost { client, token, at });
            }
            _ => {}
        }
    }
    for call in calls {
        if let Some((job, settle)) = settle(call) {
            track(&mut jobs, job).settles.push(settle);
        }
    }
    let mut jobs: Vec<Track<'h>> = jobs.into_values().collect();
    for job in &mut jobs {
        job.leases.sort_by_key(|lease| (lease.seen.token, lease.at));
    }
    name_unknown(pushes, &mut jobs, past);
    jobs
}

fn track<'m, 'h>(jobs: &'m mut BTreeMap<u64, Track<'h>>, id: u64) -> &'m mut Track<'h> {
    jobs.entry(id).or_insert_with(|| Track {
        id,
        origin: None,
        leases: Vec::new(),
        settles: Vec::new(),
        lost: Vec::new(),
    })
}

/// The jobs of acknowledged pushes. Of an id that was given out twice the first keeps it.
fn name_known(pushes: &[Submission<'_>], jobs: &mut BTreeMap<u64, Track<'_>>) {
    for (push, submission) in pushes.iter().enumerate() {
        for answer in &submission.answers {
            for index in 0..submission.what.bodies.len() {
                let id = answer.pushed.first_id.wrapping_add(index as u64);
                let sure = true;
                let origin = Origin { push, index, sure };
                track(jobs, id).origin.get_or_insert(origin);
            }
        }
    }
}

/// Jobs that nobody acknowledged come from a push whose outcome nobody knows: each of them can
/// have brought one job for each of its bodies, but none that an earlier section had.
fn name_unknown(pushes: &[Submission<'_>], jobs: &mut [Track<'_>], past: &Past) {
    let mut open: HashMap<(&str, Body), VecDeque<Origin>> = HashMap::new();
    for (push, submission) in pushes.iter().enumerate() {
        if submission.fate != Fate::Unknown {
            continue;
        }
        for (index, body) in submission.what.bodies.iter().enumerate() {
            let same = open.entry((&submission.what.queue, *body)).or_default();
            let sure = true;
            same.push_back(Origin { push, index, sure });
        }
    }
    for origins in open.values_mut().filter(|origins| origins.len() > 1) {
        for origin in origins {
            origin.sure = false;
        }
    }
    let nameless = jobs.iter_mut().filter(|job| job.origin.is_none());
    for job in nameless.filter(|job| !past.had_job(job.id)) {
        let first = job.leases.iter().min_by_key(|lease| lease.at);
        let key = first.map(|lease| (lease.seen.queue.as_str(), lease.seen.body));
        let same = key.and_then(|key| open.get_mut(&key));
        job.origin = same.and_then(VecDeque::pop_front);
    }
}

fn settle(call: &Call<'_>) -> Option<(u64, Settle)> {
    let (job, token, kind) = match call.what {
        Operation::Push(_) => return None,
        Operation::Ack { job, token } => (job, token, SettleKind::Ack),
        Operation::Nack {
            job,
            token,
            delay_ms,
        } => (job, token, SettleKind::Nack(*delay_ms)),
        Operation::Release { job, token } => (job, token, SettleKind::Release),
        Operation::Touch {
            job,
            token,
            lease_ms,
        } => (job, token, SettleKind::Touch(*lease_ms)),
    };
    let settle = Settle {
        client: call.client,
        token: *token,
        kind,
        invoked: call.invoked,
        ended: call.ended,
        end: call.end,
    };
    Some((*job, settle))
}
