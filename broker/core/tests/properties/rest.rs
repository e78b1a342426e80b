//! What has to hold between rounds, when the shard waits for a command or a time.

use std::collections::BTreeMap;

use verteilt_core::{JobState, Millis, QueueId, QueueStats, Shard};

use crate::checker::Checker;

impl Checker {
    /// After a tick: a job that may run and a taker with room for it do not wait side by side,
    /// counts are right, and the shard comes back in time.
    pub(crate) fn at_rest(&self, shard: &Shard, now_ms: Millis) {
        for ((session, name), taker) in &self.takers {
            if self.paused.contains(&taker.queue) || self.draining || self.held.contains(session) {
                continue;
            }
            if let Some(first) = self.line(taker.queue, now_ms).first() {
                let length = self.jobs.0[first].length;
                let forgotten = taker.has_room(length);
                assert!(
                    !forgotten,
                    "{first:?} and {name:?} of {session:?} wait for each other"
                );
            }
        }
        self.assert_counts(shard, now_ms);
        let held = shard.jobs().filter_map(|(id, job)| {
            let lease = job.lease()?;
            Some((id, (lease.token, lease.session)))
        });
        assert_eq!(held.collect::<BTreeMap<_, _>>(), self.leases);
        let leases = self
            .jobs
            .0
            .values()
            .filter_map(|job| Some(job.lease()?.until_ms));
        let due = self
            .jobs
            .0
            .values()
            .filter(|job| matches!(job.state(now_ms), JobState::Scheduled | JobState::Failed));
        let pulls = self
            .takers
            .values()
            .map(|taker| taker.until_ms)
            .filter(|ms| *ms < Millis::MAX);
        let earliest = leases.chain(due.map(|job| job.due_ms)).chain(pulls).min();
        if let Some(earliest) = earliest {
            assert!(
                shard
                    .next_deadline()
                    .is_some_and(|deadline| deadline <= earliest)
            );
        }
    }

    fn assert_counts(&self, shard: &Shard, now_ms: Millis) {
        for (at, (_, told)) in shard.all_stats().iter().enumerate() {
            let queue = QueueId(at as u32);
            let jobs = shard.jobs().filter(|(_, job)| job.queue == queue);
            let mut counted = QueueStats {
                queue: told.queue.clone(),
                paused: self.paused.contains(&queue),
                subscriptions: self.takers.values().filter(|t| t.queue == queue).count() as u64,
                ..QueueStats::default()
            };
            for (_, job) in jobs {
                *match job.state(now_ms) {
                    JobState::Scheduled => &mut counted.scheduled,
                    JobState::Ready => &mut counted.ready,
                    JobState::Leased => &mut counted.leased,
                    JobState::Failed => &mut counted.failed,
                    JobState::Dead => &mut counted.dead,
                } += 1;
            }
            // Counts of `memory` jobs begin anew with each start; only those since then are known.
            let (pushed, done) = self.counts.get(&queue).copied().unwrap_or_default();
            assert!(told.pushed >= pushed && told.done >= done);
            (counted.pushed, counted.done) = (told.pushed, told.done);
            assert_eq!(&counted, told);
        }
        assert_eq!(shard.jobs_len(), self.jobs.0.len());
        assert_eq!(shard.leased_len(), self.leases.len());
    }
}
