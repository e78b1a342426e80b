//! The jobs of one queue and one priority that may run now, earlier due time first, then lower id.
//!
//! Nearly all jobs arrive in that order, so they are appended to a run; the few that come back into
//! the middle stand in a sorted set beside it. A job that leaves from the middle of the run leaves
//! its entry behind, which is passed over later: an entry counts only while the job is queued with
//! this very due time. While nothing was left behind nobody has to ask.

use std::collections::{BTreeSet, VecDeque};

use crate::id::{JobId, Millis};

const CHUNK_ENTRIES: usize = 512;

pub(crate) type Entry = (Millis, JobId);

#[derive(Debug, Default)]
pub(crate) struct Lane {
    // Chunks, so that growing never copies the whole line.
    run: VecDeque<VecDeque<Entry>>,
    tail: Option<Entry>,
    late: BTreeSet<Entry>,
    // Entries of the run that were left behind.
    stale: usize,
    // Live entries of run and late together.
    pub(crate) live: usize,
}

impl Lane {
    pub(crate) fn insert(&mut self, entry: Entry) {
        self.live += 1;
        if self.tail.is_some_and(|tail| entry <= tail) {
            self.late.insert(entry);
            return;
        }
        self.tail = Some(entry);
        match self.run.back_mut() {
            Some(chunk) if chunk.len() < CHUNK_ENTRIES => chunk.push_back(entry),
            Some(_) => {
                let mut chunk = VecDeque::with_capacity(CHUNK_ENTRIES);
                chunk.push_back(entry);
                self.run.push_back(chunk);
            }
            None => self.run.push_back(VecDeque::from([entry])),
        }
    }

    /// The entry counts no longer. From the front of the run it goes at once, from elsewhere with
    /// [`Self::clean`].
    pub(crate) fn remove(&mut self, entry: Entry) {
        self.live -= 1;
        // What came back with the same due time is late, and was left behind in the run before.
        let was_late = !self.late.is_empty() && self.late.remove(&entry);
        let front = self.run.front().and_then(VecDeque::front);
        if front == Some(&entry) {
            self.pop_front();
            self.stale -= usize::from(was_late);
        } else if !was_late {
            self.stale += 1;
        }
    }

    /// Drops what no longer counts from the front of the run.
    pub(crate) fn clean(&mut self, is_live: impl Fn(Entry) -> bool) {
        while self.stale > 0 {
            match self.run.front().and_then(VecDeque::front) {
                Some(front) if !is_live(*front) => {
                    self.pop_front();
                    self.stale -= 1;
                }
                _ => break,
            }
        }
    }

    fn pop_front(&mut self) {
        let Some(chunk) = self.run.front_mut() else {
            return;
        };
        chunk.pop_front();
        if chunk.is_empty() {
            self.run.pop_front();
        }
        if self.run.is_empty() {
            self.tail = None;
        }
    }

    #[cfg(test)]
    pub(crate) fn entries(&self) -> usize {
        self.run.iter().map(VecDeque::len).sum::<usize>() + self.late.len()
    }

    /// The live entries in order.
    pub(crate) fn iter<'a>(
        &'a self,
        is_live: impl Fn(Entry) -> bool + 'a,
    ) -> impl Iterator<Item = Entry> + 'a {
        let mut run = self
            .run
            .iter()
            .flatten()
            .copied()
            .filter(move |e| self.stale == 0 || is_live(*e))
            .peekable();
        let mut late = self.late.iter().copied().peekable();
        std::iter::from_fn(move || match (run.peek().copied(), late.peek().copied()) {
            (Some(a), Some(b)) if a == b => {
                late.next();
                run.next()
            }
            (Some(a), Some(b)) if a < b => run.next(),
            (_, Some(_)) => late.next(),
            (_, None) => run.next(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against a sorted set: whatever comes and goes in whatever order, the line is the same.
        #[test]
        fn a_lane_is_a_sorted_set(ops in proptest::collection::vec((0u64..40, 0u64..20, 0..3u8), 0..200)) {
            let mut lane = Lane::default();
            let mut model = BTreeSet::new();
            for (due, id, op) in ops {
                let entry = (due, JobId(id));
                // A job stands in line once: with its present due time.
                let present = model.iter().find(|e: &&Entry| e.1 == JobId(id)).copied();
                match (op, present) {
                    (0 | 1, None) => { lane.insert(entry); model.insert(entry); }
                    (_, Some(entry)) => {
                        model.remove(&entry);
                        let live = model.clone();
                        lane.remove(entry);
                        lane.clean(move |e| live.contains(&e));
                    }
                    (_, None) => {}
                }
                let live = model.clone();
                let line: Vec<Entry> = lane.iter(move |e| live.contains(&e)).collect();
                prop_assert_eq!(&line, &model.iter().copied().collect::<Vec<_>>());
                prop_assert_eq!(lane.live, model.len());
            }
        }
    }
}
