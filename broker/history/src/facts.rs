//! A history, sorted: operations with their ends, pushes with their jobs, jobs with all that
//! happened to them, and the broker and its sessions over time.

mod calls;
mod clock;
mod jobs;
mod pushes;
mod world;

pub(crate) use calls::{Call, End};
pub(crate) use clock::{BrokerClock, Reading};
pub(crate) use jobs::{Lease, Lost, Origin, Settle, SettleKind, Track};
pub(crate) use pushes::{Answer, Fate, Submission};
pub(crate) use world::World;

use crate::{Durability, History, Options, Past};

/// A place in the history; places compare in the order of the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct At {
    /// From 1.
    pub(crate) line: usize,
    pub(crate) at_ms: u64,
}

/// A history, sorted.
#[derive(Debug)]
pub(crate) struct Facts<'h> {
    pub(crate) history: &'h History,
    pub(crate) options: &'h Options,
    /// What the sections before this one have left behind.
    pub(crate) past: &'h Past,
    pub(crate) world: World<'h>,
    pub(crate) calls: Vec<Call<'h>>,
    pub(crate) pushes: Vec<Submission<'h>>,
    /// Sorted by id.
    pub(crate) jobs: Vec<Track<'h>>,
}

impl<'h> Facts<'h> {
    /// Sorts a history, or says where it contradicts itself.
    pub(crate) fn gather(
        history: &'h History,
        options: &'h Options,
        past: &'h Past,
    ) -> Result<Self, Vec<(usize, String)>> {
        let world = World::gather(history, options);
        let calls = calls::gather(history, options, &world)?;
        let pushes = pushes::gather(&calls);
        let jobs = jobs::gather(history, &calls, &pushes, past);
        Ok(Self {
            history,
            options,
            past,
            world,
            calls,
            pushes,
            jobs,
        })
    }

    /// The push that a job came from, where that is certain.
    pub(crate) fn push_of(&self, track: &Track<'_>) -> Option<&Submission<'h>> {
        track
            .origin
            .filter(|origin| origin.sure)
            .map(|origin| &self.pushes[origin.push])
    }

    /// Which of the two kinds of ids and tokens a job has; told only where its push was answered.
    pub(crate) fn kind_of(&self, track: &Track<'_>) -> Option<Durability> {
        let push = self.push_of(track)?;
        (!push.answers.is_empty()).then(|| push.durability())
    }

    /// Whether a job was certainly on the disk, so that no restart may end it.
    pub(crate) fn is_durable(&self, track: &Track<'_>) -> bool {
        self.push_of(track)
            .is_some_and(|push| push.durability() == Durability::Disk)
    }

    /// Runs in all, if the push is known.
    pub(crate) fn attempts_max(&self, track: &Track<'_>) -> Option<u32> {
        let attempts = self.push_of(track)?.what.attempts;
        Some(if attempts == 0 {
            self.options.attempts_default
        } else {
            attempts
        })
    }

    /// Whether a delivery may have gone unseen between two times: it was on its way to a client
    /// whose connection broke, or the broker stopped before it was sent.
    pub(crate) fn may_be_unseen(&self, from_ms: u64, to_ms: u64) -> bool {
        let (from_ms, to_ms) = (self.before(from_ms), self.after(to_ms));
        self.options.unseen_deliveries || any_within(&self.world.breaks, from_ms, to_ms)
    }

    /// The earliest time at which something happened that was seen at `at_ms`.
    pub(crate) fn before(&self, at_ms: u64) -> u64 {
        at_ms.saturating_sub(self.options.lag_ms)
    }

    /// The latest time at which something is seen that happened at `at_ms`.
    pub(crate) fn after(&self, at_ms: u64) -> u64 {
        at_ms.saturating_add(self.options.lag_ms)
    }
}

/// Whether one of the places, which are in order, lies in the span, both ends included.
pub(crate) fn any_within(places: &[At], from_ms: u64, to_ms: u64) -> bool {
    let first = places.partition_point(|at| at.at_ms < from_ms);
    places.get(first).is_some_and(|at| at.at_ms <= to_ms)
}
