//! Where each job is found: lines, clocks, holders.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{JobId, Millis, QueueId, SessionId, SubscriptionKey};
use crate::job::{Holder, Job, Lease, Place};
use crate::lane::{Entry, Lane, LeaseEntry};
use crate::queue::Queue;
use crate::session::{Session, Subscription};

#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) queues: Vec<Queue>,
    /// When leases end.
    pub(crate) leases: Lane<LeaseEntry>,
    /// When the next job of a queue is due.
    heads: BTreeSet<(Millis, QueueId)>,
    pub(crate) sessions: BTreeMap<SessionId, Session>,
    pub(crate) subscriptions: BTreeMap<SubscriptionKey, Subscription>,
    /// When pulls stop waiting.
    pub(crate) pulls: BTreeSet<(Millis, SubscriptionKey)>,
    /// Queues where a job and a taker may meet now.
    pub(crate) hot: BTreeSet<QueueId>,
    /// Every queued job that is due by now stands in line; the others wait in `scheduled`.
    pub(crate) promoted_ms: Millis,
}

impl Index {
    pub(crate) fn queue(&mut self, queue: QueueId) -> &mut Queue {
        let at = queue.0 as usize;
        if at >= self.queues.len() {
            self.queues.resize_with(at + 1, Queue::default);
        }
        &mut self.queues[at]
    }

    pub(crate) fn insert(&mut self, id: JobId, job: &Job) {
        let entry = (job.due_ms, id);
        match &job.place {
            Place::Queued if job.due_ms <= self.promoted_ms => {
                self.line_up((job.queue, job.priority), std::iter::once(entry));
            }
            Place::Queued => {
                let queue = self.queue(job.queue);
                let before = queue.next_due();
                queue.scheduled.insert(entry);
                queue.failed += usize::from(job.attempts > 0);
                self.move_head(job.queue, before);
            }
            Place::Leased(lease) => {
                self.note(lease, id, job.queue);
                self.hold(lease.holder(), &[id], u64::from(job.length));
            }
            Place::Dead(_) => {
                self.queue(job.queue).dead.insert(id);
            }
        }
    }

    /// Whether the job stands in line, or will.
    pub(crate) fn is_ready(&self, job: &Job) -> bool {
        matches!(job.place, Place::Queued) && job.due_ms <= self.promoted_ms
    }

    /// Jobs that may run stand in line.
    pub(crate) fn line_up(
        &mut self,
        (queue, priority): (QueueId, i32),
        entries: impl Iterator<Item = Entry>,
    ) {
        let of = self.queue(queue);
        of.line_up(priority, entries);
        if !of.hungry.is_empty() {
            self.hot.insert(queue);
        }
    }

    /// Returns whether the job stood in line, where a stale entry may remain, as in `leases`.
    pub(crate) fn remove(&mut self, id: JobId, job: &Job) -> bool {
        let entry = (job.due_ms, id);
        match &job.place {
            Place::Queued if job.due_ms <= self.promoted_ms => {
                self.queue(job.queue).step_out(job.priority, entry);
                return true;
            }
            Place::Queued => self.unschedule(entry, job),
            Place::Leased(lease) => {
                self.strike_off(lease, id, job.queue);
                self.let_go(lease.holder(), &[id], u64::from(job.length));
            }
            Place::Dead(_) => {
                self.queue(job.queue).dead.remove(&id);
            }
        }
        false
    }

    /// The lease has begun.
    pub(crate) fn note(&mut self, lease: &Lease, id: JobId, queue: QueueId) {
        self.leases.insert(lease.entry(id));
        self.queue(queue).leased += 1;
    }

    /// The lease is over. Its entry may remain, stale.
    pub(crate) fn strike_off(&mut self, lease: &Lease, id: JobId, queue: QueueId) {
        self.leases.remove(lease.entry(id));
        self.queue(queue).leased -= 1;
    }

    /// Jobs with so many bytes in all have gone to a holder; their leases are noted already.
    pub(crate) fn hold(&mut self, holder: Holder, ids: &[JobId], bytes: u64) {
        let (session, subscription) = holder;
        let session = self.sessions.entry(session).or_default();
        session.leased.extend(ids);
        let Some(taker) = self.subscriptions.get_mut(&subscription) else {
            return;
        };
        taker.held_jobs += ids.len() as u32;
        taker.held_bytes += bytes;
        if !taker.is_hungry() {
            let queue = taker.queue;
            self.queue(queue).hungry.remove(&subscription);
        }
    }

    /// The holder has them no longer; their leases are struck off already.
    pub(crate) fn let_go(&mut self, holder: Holder, ids: &[JobId], bytes: u64) {
        let (session, subscription) = holder;
        if let Some(of) = self.sessions.get_mut(&session) {
            for id in ids {
                of.leased.remove(id);
            }
            if of.connection.is_none() {
                self.drop_idle_session(session);
            }
        }
        if let Some(taker) = self.subscriptions.get_mut(&subscription) {
            taker.held_jobs -= ids.len() as u32;
            taker.held_bytes -= bytes;
            self.refresh(subscription);
        }
    }

    /// The next job whose time has come but that does not stand in line yet.
    pub(crate) fn first_due(&self, now_ms: Millis) -> Option<JobId> {
        let (due_ms, queue) = *self.heads.first()?;
        if due_ms > now_ms {
            return None;
        }
        self.queues[queue.0 as usize]
            .scheduled
            .first()
            .map(|(_, id)| *id)
    }

    pub(crate) fn promote(&mut self, id: JobId, job: &Job) {
        let entry = (job.due_ms, id);
        self.unschedule(entry, job);
        let entries = std::iter::once(entry);
        self.queue(job.queue).line_up(job.priority, entries);
        self.hot.insert(job.queue);
    }

    /// When the next job is due.
    pub(crate) fn next_due(&self) -> Option<Millis> {
        self.heads.first().map(|(due_ms, _)| *due_ms)
    }

    pub(crate) fn refresh(&mut self, key: SubscriptionKey) {
        let Some(subscription) = self.subscriptions.get(&key) else {
            return;
        };
        let held = self
            .sessions
            .get(&subscription.session)
            .is_none_or(|session| session.held);
        let (hungry, queue) = (subscription.is_hungry() && !held, subscription.queue);
        let state = self.queue(queue);
        if !hungry {
            state.hungry.remove(&key);
            return;
        }
        // Also one that was hungry before: what was too large for it may fit now.
        state.hungry.insert(key);
        if state.ready > 0 {
            self.hot.insert(queue);
        }
    }

    pub(crate) fn add_subscription(&mut self, key: SubscriptionKey, subscription: Subscription) {
        self.queue(subscription.queue).subscriptions += 1;
        if let Some(until_ms) = subscription.until_ms {
            self.pulls.insert((until_ms, key));
        }
        let session = self.sessions.entry(subscription.session).or_default();
        session.subscriptions.insert(subscription.name, key);
        self.subscriptions.insert(key, subscription);
        self.refresh(key);
    }

    /// One more job is held under this subscription.
    pub(crate) fn charge(&mut self, key: SubscriptionKey, length: u32) {
        if let Some(subscription) = self.subscriptions.get_mut(&key) {
            subscription.held_jobs += 1;
            subscription.held_bytes += u64::from(length);
        }
    }

    pub(crate) fn drop_subscription(&mut self, key: SubscriptionKey) {
        let Some(subscription) = self.subscriptions.remove(&key) else {
            return;
        };
        if let Some(until_ms) = subscription.until_ms {
            self.pulls.remove(&(until_ms, key));
        }
        let queue = self.queue(subscription.queue);
        queue.hungry.remove(&key);
        queue.subscriptions -= 1;
        if let Some(session) = self.sessions.get_mut(&subscription.session) {
            session.subscriptions.remove(&subscription.name);
        }
    }

    pub(crate) fn drop_idle_session(&mut self, id: SessionId) {
        let idle = |session: &Session| session.connection.is_none() && session.leased.is_empty();
        if self.sessions.get(&id).is_some_and(idle) {
            self.sessions.remove(&id);
        }
    }

    fn unschedule(&mut self, entry: Entry, job: &Job) {
        let queue = self.queue(job.queue);
        let before = queue.next_due();
        queue.scheduled.remove(&entry);
        queue.failed -= usize::from(job.attempts > 0);
        self.move_head(job.queue, before);
    }

    fn move_head(&mut self, queue: QueueId, before: Option<Millis>) {
        let after = self.queue(queue).next_due();
        if before == after {
            return;
        }
        if let Some(due_ms) = before {
            self.heads.remove(&(due_ms, queue));
        }
        if let Some(due_ms) = after {
            self.heads.insert((due_ms, queue));
        }
    }
}
