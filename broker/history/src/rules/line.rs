//! Jobs waiting in line, for the question whether one was overtaken.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// The first delivery of a job whose push was acknowledged.
#[derive(Clone, Copy, Debug)]
pub(super) struct First {
    pub(super) id: u64,
    pub(super) token: u64,
    /// Client and taker, where the history tells.
    pub(super) taker: Option<(u32, u64)>,
    pub(super) priority: i32,
    pub(super) delay_ms: u64,
    /// By the broker's clock.
    pub(super) due_least: i128,
    pub(super) due_most: i128,
    /// When it certainly was in line; none if that cannot be told.
    pub(super) in_line_ms: Option<u64>,
    pub(super) line: usize,
    pub(super) at_ms: u64,
}

/// Who is certainly in line at one moment.
#[derive(Debug, Default)]
pub(super) struct Line {
    by_rank: BTreeSet<(Reverse<i32>, i128, u64, usize)>,
    /// Those with the same priority and delay stand in the order of their ids, however close.
    alike: BTreeSet<(i32, u64, u64, usize)>,
}

impl Line {
    pub(super) fn enter(&mut self, index: usize, job: &First) {
        self.by_rank.insert(rank(index, job));
        self.alike
            .insert((job.priority, job.delay_ms, job.id, index));
    }

    pub(super) fn leave(&mut self, index: usize, job: &First) {
        self.by_rank.remove(&rank(index, job));
        self.alike
            .remove(&(job.priority, job.delay_ms, job.id, index));
    }

    /// One that should have gone before `job`.
    pub(super) fn overtaken_by(&self, job: &First, tolerance: i128) -> Option<usize> {
        let first = self.by_rank.first();
        let by_rank = first.filter(|(Reverse(priority), due_most, ..)| {
            *priority > job.priority
                || (*priority == job.priority && *due_most + tolerance < job.due_least)
        });
        let from = (job.priority, job.delay_ms, 0, 0);
        let to = (job.priority, job.delay_ms, job.id, 0);
        let by_id = || self.alike.range(from..to).next();
        by_rank
            .map(|entry| entry.3)
            .or_else(|| by_id().map(|entry| entry.3))
    }
}

fn rank(index: usize, job: &First) -> (Reverse<i32>, i128, u64, usize) {
    (Reverse(job.priority), job.due_most, job.id, index)
}

/// What one taker has got so far. A job with a smaller id was there before one with a larger id;
/// with a shorter delay it was due before it, too; with no lower priority it goes first.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// By priority: delay and the largest id with that delay or a longer one. Ids fall.
    steps: BTreeMap<i32, BTreeMap<u64, (u64, usize)>>,
}

impl Taken {
    /// One that was taken although `job` should have gone before it.
    pub(super) fn wrongly_before(&self, job: &First) -> Option<usize> {
        let lower = self.steps.range(..=job.priority);
        lower
            .filter_map(|(_, steps)| steps.range(job.delay_ms..).next())
            .find(|(_, (id, _))| *id > job.id)
            .map(|(_, (_, index))| *index)
    }

    pub(super) fn take(&mut self, index: usize, job: &First) {
        let steps = self.steps.entry(job.priority).or_default();
        let longer = steps.range(job.delay_ms..).next();
        if longer.is_some_and(|(_, (id, _))| *id >= job.id) {
            return;
        }
        while let Some((&delay_ms, &(id, _))) = steps.range(..=job.delay_ms).next_back() {
            if id > job.id {
                break;
            }
            steps.remove(&delay_ms);
        }
        steps.insert(job.delay_ms, (job.id, index));
    }
}
