//! One queue: which jobs wait, in which order they leave, and who wants them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::id::{JobId, Millis, SubscriptionKey};
use crate::lane::{Entry, Lane};

/// Lanes that are kept although nothing is in them, so that a queue that runs empty now and then
/// does not build its lanes again each time.
const LANES_KEPT: usize = 8;

#[derive(Debug, Default)]
pub(crate) struct Queue {
    lanes: BTreeMap<Reverse<i32>, Lane>,
    /// Jobs that may run.
    pub(crate) ready: usize,
    /// Jobs that wait for their time, those after a failed run among them.
    pub(crate) scheduled: BTreeSet<Entry>,
    /// Those of them that wait after a failed run.
    pub(crate) failed: usize,
    pub(crate) leased: usize,
    pub(crate) dead: BTreeSet<JobId>,
    pub(crate) paused: bool,
    /// Subscriptions and pulls of this queue that could take a job now.
    pub(crate) hungry: BTreeSet<SubscriptionKey>,
    /// Subscriptions and pulls of this queue.
    pub(crate) subscriptions: usize,
    /// Who was served last: the next round begins behind it.
    pub(crate) served: SubscriptionKey,
}

impl Queue {
    pub(crate) fn line_up(&mut self, priority: i32, entries: impl Iterator<Item = Entry>) {
        let lane = self.lanes.entry(Reverse(priority)).or_default();
        let before = lane.live;
        entries.for_each(|entry| lane.insert(entry));
        self.ready += lane.live - before;
    }

    pub(crate) fn step_out(&mut self, priority: i32, entry: Entry) {
        let lane = self
            .lanes
            .get_mut(&Reverse(priority))
            .expect("a ready job stands in its lane");
        lane.remove(entry);
        self.ready -= 1;
    }

    pub(crate) fn clean(&mut self, priority: i32, is_live: impl Fn(Entry) -> bool) {
        let Some(lane) = self.lanes.get_mut(&Reverse(priority)) else {
            return;
        };
        lane.clean(is_live);
        if lane.live == 0 && self.lanes.len() > LANES_KEPT {
            self.lanes.remove(&Reverse(priority));
        }
    }

    #[cfg(test)]
    pub(crate) fn entries(&self) -> usize {
        self.lanes.values().map(Lane::entries).sum()
    }

    /// The jobs that may run, in the order in which they leave.
    pub(crate) fn line<'a>(
        &'a self,
        is_live: impl Fn(Entry) -> bool + Copy + 'a,
    ) -> impl Iterator<Item = JobId> + 'a {
        self.lanes
            .values()
            .flat_map(move |lane| lane.iter(is_live))
            .map(|(_, id)| id)
    }

    pub(crate) fn next_due(&self) -> Option<Millis> {
        self.scheduled.first().map(|(due_ms, _)| *due_ms)
    }

    /// Those who could take a job, beginning behind the one who was served last.
    pub(crate) fn turn(&self) -> impl Iterator<Item = SubscriptionKey> {
        use std::ops::Bound::{Excluded, Unbounded};
        let behind = self.hungry.range((Excluded(self.served), Unbounded));
        behind.chain(self.hungry.range(..=self.served)).copied()
    }
}
