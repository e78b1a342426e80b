//! The jobs of a running shard with everything that finds them again. A job is taken out of the
//! index before it changes and put back after, in one place, so that no move can forget a part.
//! Leasing and acking, of which there are most, do so for many jobs at once.

use std::sync::Arc;

use crate::id::{JobId, Millis, QueueId, SubscriptionKey};
use crate::index::Index;
use crate::job::{Holder, Job, Lease, Lending, Place};
use crate::lane::{Entry, LeaseEntry};
use crate::ledger::JobSlots;
use crate::session::{Session, Subscription};
use crate::table::JobTable;

#[derive(Debug, Default)]
pub(crate) struct LiveJobs {
    pub(crate) table: JobTable,
    pub(crate) index: Index,
    /// What all `memory` jobs count against their limit.
    pub(crate) volatile_bytes: u64,
}

impl JobSlots for LiveJobs {
    fn insert(&mut self, id: JobId, job: Job) {
        if id.is_volatile() {
            self.volatile_bytes += charge(&job);
        }
        self.index.insert(id, &job);
        self.table.insert(id, job);
    }

    fn update(&mut self, id: JobId, change: impl FnOnce(&mut Job)) -> QueueId {
        let Self { table, index, .. } = self;
        let job = table
            .get_mut(id)
            .expect("an event names a job that is there");
        let was_in_line = index.remove(id, job);
        change(job);
        let (queue, priority) = (job.queue, job.priority);
        index.insert(id, job);
        if was_in_line {
            self.clean(queue, priority);
        }
        self.clean_leases();
        queue
    }

    // As `insert` for each, with one look at their line for all.
    fn insert_all(&mut self, first_id: JobId, jobs: impl Iterator<Item = Job>) {
        let Self { table, index, .. } = self;
        let (mut ready, mut bytes) = (None, 0);
        let mut next = first_id.0;
        table.insert_all(first_id, jobs, |job| {
            let id = JobId(next);
            next += 1;
            bytes += charge(job);
            if index.is_ready(job) {
                ready.get_or_insert((job.queue, job.priority, job.due_ms));
            } else {
                index.insert(id, job);
            }
        });
        if first_id.is_volatile() {
            self.volatile_bytes += bytes;
        }
        if let Some((queue, priority, due_ms)) = ready {
            let ids = (first_id.0..next).map(JobId);
            self.index
                .line_up((queue, priority), ids.map(|id| (due_ms, id)));
        }
    }

    // As `update` for each, with one look at the holder for all.
    fn lend(&mut self, ids: &[JobId], lending: &mut Lending) {
        let Self { table, index, .. } = self;
        let mut lines = Lines::default();
        let mut bytes = 0;
        for id in ids {
            let job = table
                .get_mut(*id)
                .expect("an event names a job that is there");
            if index.remove(*id, job) {
                lines.add(job);
            }
            let lease = lending.lend(job);
            index.note(lease, *id, job.queue);
            bytes += u64::from(job.length);
        }
        index.hold(lending.holder(), ids, bytes);
        self.clean_all(lines);
    }

    // With one look at the holder for all that it has.
    fn remove_all(&mut self, ids: &[JobId], mut each: impl FnMut(JobId, &Job)) {
        let mut lines = Lines::default();
        // The holder of the jobs since the one at `start`.
        let (mut holder, mut start, mut bytes) = (None::<Holder>, 0, 0);
        for (at, id) in ids.iter().enumerate() {
            let Self { table, index, .. } = self;
            let job = table
                .remove(*id)
                .expect("an event names a job that is there");
            if id.is_volatile() {
                self.volatile_bytes -= charge(&job);
            }
            let next = job.lease().map(Lease::holder);
            if next != holder {
                if let Some(holder) = holder {
                    index.let_go(holder, &ids[start..at], bytes);
                }
                (holder, start, bytes) = (next, at, 0);
            }
            match job.lease() {
                Some(lease) => {
                    index.strike_off(lease, *id, job.queue);
                    bytes += u64::from(job.length);
                }
                None => {
                    if index.remove(*id, &job) {
                        lines.add(&job);
                        // The next in line may fit where this one did not.
                        index.hot.insert(job.queue);
                    }
                }
            }
            each(*id, &job);
        }
        if let Some(holder) = holder {
            self.index.let_go(holder, &ids[start..], bytes);
        }
        self.clean_all(lines);
    }
}

/// Lines where stale entries may remain: nearly always one.
#[derive(Default)]
struct Lines {
    last: Option<(QueueId, i32)>,
    before: Vec<(QueueId, i32)>,
}

impl Lines {
    fn add(&mut self, job: &Job) {
        let line = (job.queue, job.priority);
        if self.last != Some(line) {
            self.before.extend(self.last.replace(line));
        }
    }
}

impl LiveJobs {
    /// Everything that is due by `now_ms` steps into its line.
    pub(crate) fn promote(&mut self, now_ms: Millis) {
        while let Some(id) = self.index.first_due(now_ms) {
            let job = self.table.get(id).expect("a scheduled job is there");
            self.index.promote(id, job);
        }
        self.index.promoted_ms = self.index.promoted_ms.max(now_ms);
    }

    /// The jobs of a queue that may run, in the order in which they leave.
    pub(crate) fn line(&self, queue: QueueId) -> impl Iterator<Item = (JobId, &Job)> {
        let queue = self.index.queues.get(queue.0 as usize);
        let promoted_ms = self.index.promoted_ms;
        let live = move |entry| is_live(&self.table, promoted_ms, entry);
        let ids = queue.into_iter().flat_map(move |queue| queue.line(live));
        ids.filter_map(|id| Some((id, self.table.get(id)?)))
    }

    /// Adds a subscription. Jobs of its queue that the session holds from before (a restart, an
    /// older connection) count against its credit from now on.
    pub(crate) fn subscribe(&mut self, key: SubscriptionKey, subscription: Subscription) {
        let (session, queue) = (subscription.session, subscription.queue);
        let standing = !subscription.is_pull();
        self.index.add_subscription(key, subscription);
        let held = self
            .index
            .sessions
            .get(&session)
            .map(Session::leased_in_order);
        for id in held.unwrap_or_default() {
            let Some(job) = self.table.get_mut(id).filter(|job| job.queue == queue) else {
                continue;
            };
            let length = job.length;
            let Place::Leased(lease) = &mut job.place else {
                continue;
            };
            if standing && !self.index.subscriptions.contains_key(&lease.subscription) {
                Arc::make_mut(lease).subscription = key;
                self.index.charge(key, length);
            }
        }
        self.index.refresh(key);
    }

    /// Every lease with its end, those that end first in front.
    pub(crate) fn leases(&self) -> impl Iterator<Item = (Millis, JobId)> {
        let is_given = |entry| is_leased(&self.table, entry);
        let leases = self.index.leases.iter(is_given);
        leases.map(|(until_ms, _, id)| (until_ms, id))
    }

    fn clean_all(&mut self, lines: Lines) {
        for (queue, priority) in lines.before.into_iter().chain(lines.last) {
            self.clean(queue, priority);
        }
        self.clean_leases();
    }

    fn clean_leases(&mut self) {
        let Self { table, index, .. } = self;
        index.leases.clean(|entry| is_leased(table, entry));
    }

    fn clean(&mut self, queue: QueueId, priority: i32) {
        let Self { table, index, .. } = self;
        let promoted_ms = index.promoted_ms;
        index
            .queue(queue)
            .clean(priority, |entry| is_live(table, promoted_ms, entry));
    }
}

/// What a `memory` job counts against their limit: its bytes, and what an empty one takes as well.
pub(crate) const MEMORY_JOB_BYTES: u64 = 128;

fn charge(job: &Job) -> u64 {
    u64::from(job.length) + MEMORY_JOB_BYTES
}

fn is_leased(table: &JobTable, entry: LeaseEntry) -> bool {
    let id = entry.2;
    let lease = table.get(id).and_then(Job::lease);
    lease.is_some_and(|lease| lease.entry(id) == entry)
}

fn is_live(table: &JobTable, promoted_ms: Millis, (due_ms, id): Entry) -> bool {
    let queued = |job: &Job| job.due_ms == due_ms && matches!(job.place, Place::Queued);
    due_ms <= promoted_ms && table.get(id).is_some_and(queued)
}
