//! Who is there: sessions with the leases they hold, and subscriptions with their credit.

use std::collections::{BTreeMap, HashSet};

use crate::id::{ConnectionId, IdBuild, JobId, Millis, QueueId, SessionId, SubscriptionKey};

/// A session is kept while it is connected or holds a lease.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// None: gone, or not yet back after a restart.
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) leased: HashSet<JobId, IdBuild>,
    /// By the client's own number; pulls stand under the correlation of their request.
    pub(crate) subscriptions: BTreeMap<SubscriptionName, SubscriptionKey>,
    /// Subscriptions of topics, by the client's own number; no other one has it.
    pub(crate) readers: BTreeMap<u64, SubscriptionKey>,
    /// So many answers wait for it already that it gets no more work.
    pub(crate) held: bool,
}

impl Session {
    pub(crate) fn subscriptions_len(&self) -> usize {
        self.subscriptions.len() + self.readers.len()
    }

    pub(crate) fn leased_in_order(&self) -> Vec<JobId> {
        let mut ids: Vec<JobId> = self.leased.iter().copied().collect();
        ids.sort_unstable();
        ids
    }
}

/// How a client calls what it waits on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SubscriptionName {
    Standing(u64),
    Pull(u64),
}

#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    pub(crate) name: SubscriptionName,
    pub(crate) session: SessionId,
    pub(crate) queue: QueueId,
    pub(crate) credit_jobs: u32,
    /// 0: no limit.
    pub(crate) credit_bytes: u64,
    pub(crate) held_jobs: u32,
    pub(crate) held_bytes: u64,
    /// A pull's wait ends here.
    pub(crate) until_ms: Option<Millis>,
}

impl Subscription {
    /// Whether a job of this size may be delivered beside what is held already.
    pub(crate) fn has_room(&self, more_jobs: u32, more_bytes: u64, length: u32) -> bool {
        let jobs = self.held_jobs + more_jobs;
        if jobs >= self.credit_jobs {
            return false;
        }
        jobs == 0
            || self.credit_bytes == 0
            || self.held_bytes + more_bytes + u64::from(length) <= self.credit_bytes
    }

    pub(crate) const fn is_pull(&self) -> bool {
        matches!(self.name, SubscriptionName::Pull(_))
    }

    /// Whether it could take a job of any size, so that it is worth asking.
    pub(crate) fn is_hungry(&self) -> bool {
        self.held_jobs < self.credit_jobs
            && (self.held_jobs == 0
                || self.credit_bytes == 0
                || self.held_bytes <= self.credit_bytes)
    }
}
