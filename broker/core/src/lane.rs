//! Jobs in the order of a time, then of their ids: those of one queue and one priority that may run
//! now, by their due times, and those that are leased, by the ends of their leases.
//!
//! Nearly all jobs arrive in that order, so they are appended to a run; the few that come back into
//! the middle stand in a sorted set beside it. A job that leaves from the middle of the run leaves
//! its entry behind, which is passed over later: an entry counts only while the job is still what
//! the lane is about, with this very time. While nothing was left behind nobody has to ask. When
//! more entries count no longer than do, the run is swept, a chunk at a time.

use std::collections::{BTreeSet, VecDeque};

use crate::id::{JobId, Millis};

const CHUNK_ENTRIES: usize = if cfg!(test) { 4 } else { 512 };

/// Room that is kept when nothing is left, so that a short line is not built again for each job.
const CHUNK_KEPT: usize = 64;

/// A job that may run, by its due time.
pub(crate) type Entry = (Millis, JobId);

/// A leased job, by the end of its lease; the token tells leases that end in one millisecond apart in
/// the order in which they were given.
pub(crate) type LeaseEntry = (Millis, u64, JobId);

#[derive(Debug)]
pub(crate) struct Lane<E = Entry> {
    // Chunks, so that growing never copies the whole line.
    run: VecDeque<VecDeque<E>>,
    tail: Option<E>,
    late: BTreeSet<E>,
    // Entries of the run that were left behind.
    stale: usize,
    // Live entries of run and late together.
    pub(crate) live: usize,
    // The chunk that is swept next.
    sweep: usize,
}

impl<E> Default for Lane<E> {
    fn default() -> Self {
        Self {
            run: VecDeque::new(),
            tail: None,
            late: BTreeSet::new(),
            stale: 0,
            live: 0,
            sweep: 0,
        }
    }
}

impl<E: Ord + Copy> Lane<E> {
    pub(crate) fn insert(&mut self, entry: E) {
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
    pub(crate) fn remove(&mut self, entry: E) {
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

    /// Drops what no longer counts from the front of the run, and elsewhere once it is more than
    /// half.
    pub(crate) fn clean(&mut self, is_live: impl Fn(E) -> bool) {
        while self.stale > 0 {
            match self.run.front().and_then(VecDeque::front) {
                Some(front) if !is_live(*front) => {
                    self.pop_front();
                    self.stale -= 1;
                }
                _ => break,
            }
        }
        for _ in 0..self.run.len() {
            if self.stale <= self.live + CHUNK_ENTRIES {
                return;
            }
            self.sweep_chunk(&is_live);
        }
    }

    fn sweep_chunk(&mut self, is_live: impl Fn(E) -> bool) {
        if self.sweep >= self.run.len() {
            self.sweep = 0;
        }
        let chunk = &mut self.run[self.sweep];
        let before = chunk.len();
        let late = &self.late;
        // An entry that came back stands among the late ones, and its old one counts as stale.
        chunk.retain(|entry| is_live(*entry) && !late.contains(entry));
        self.stale -= before - chunk.len();
        if chunk.is_empty() {
            self.run.remove(self.sweep);
        } else {
            chunk.shrink_to(chunk.len());
            self.sweep += 1;
        }
        self.tail = self.run.back().and_then(|chunk| chunk.back().copied());
    }

    fn pop_front(&mut self) {
        let Some(chunk) = self.run.front_mut() else {
            return;
        };
        chunk.pop_front();
        if !chunk.is_empty() {
            return;
        }
        let keeps_room = chunk.capacity() <= CHUNK_KEPT;
        let is_last = self.run.len() == 1;
        if is_last {
            self.tail = None;
        }
        if !(is_last && keeps_room) {
            self.run.pop_front();
            self.sweep = self.sweep.saturating_sub(1);
        }
    }

    #[cfg(test)]
    pub(crate) fn entries(&self) -> usize {
        self.run.iter().map(VecDeque::len).sum::<usize>() + self.late.len()
    }

    /// The live entries in order.
    pub(crate) fn iter<'a>(
        &'a self,
        is_live: impl Fn(E) -> bool + 'a,
    ) -> impl Iterator<Item = E> + 'a {
        let mut chunks = self.run.iter();
        let mut chunk = chunks.next().map(VecDeque::iter).unwrap_or_default();
        let mut run = move || loop {
            let Some(entry) = chunk.next() else {
                chunk = chunks.next()?.iter();
                continue;
            };
            if self.stale == 0 || is_live(*entry) {
                return Some(*entry);
            }
        };
        let mut late = self.late.iter().copied().peekable();
        let mut next = None;
        std::iter::from_fn(move || {
            let Some(come_back) = late.peek().copied() else {
                return next.take().or_else(&mut run);
            };
            match next.take().or_else(&mut run) {
                Some(entry) if entry < come_back => Some(entry),
                other => {
                    // The old entry of one that came back is passed over.
                    next = other.filter(|entry| *entry != come_back);
                    late.next()
                }
            }
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
        fn a_lane_is_a_sorted_set(ops in proptest::collection::vec((0u64..40, 0u64..20, 0..4u8), 0..300)) {
            let mut lane: Lane = Lane::default();
            let mut model = BTreeSet::new();
            for (due, id, op) in ops {
                let entry = (due, JobId(id));
                // A job stands in line once: with its present due time.
                let present = model.iter().find(|e: &&Entry| e.1 == JobId(id)).copied();
                match (op, present) {
                    (3, _) if !lane.run.is_empty() => lane.sweep_chunk(|e| model.contains(&e)),
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
                prop_assert!(lane.entries() <= 2 * lane.live + CHUNK_ENTRIES);
            }
        }
    }
}
