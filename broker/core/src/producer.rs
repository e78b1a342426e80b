//! What is remembered of a producer, so that a push or publish that comes twice is taken once (S7).

use std::collections::VecDeque;

use crate::id::{JobId, Millis};

/// What one producer sent that may still come again: pushes, which are named by their first job, or
/// publishes, which are named by their first record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Producer<F = JobId> {
    /// Sorted by sequence number.
    window: VecDeque<Taken<F>>,
    last_used_ms: Millis,
}

/// A push or publish that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken<F = JobId> {
    pub(crate) sequence: u64,
    pub(crate) first_id: F,
    pub(crate) count: u32,
}

/// What a sequence number turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight<F = JobId> {
    New,
    Again(Taken<F>),
    TooOld,
}

impl<F: Copy> Producer<F> {
    pub(crate) fn look_up(&self, sequence: u64, window: u32) -> Sight<F> {
        let Some(last) = self.window.back() else {
            return Sight::New;
        };
        if sequence > last.sequence {
            return Sight::New;
        }
        if let Ok(at) = self
            .window
            .binary_search_by_key(&sequence, |taken| taken.sequence)
        {
            return Sight::Again(self.window[at]);
        }
        if last.sequence - sequence >= u64::from(window) {
            Sight::TooOld
        } else {
            Sight::New
        }
    }

    pub(crate) fn take(&mut self, taken: Taken<F>, window: u32, now_ms: Millis) {
        self.last_used_ms = now_ms;
        match self.window.back() {
            Some(last) if last.sequence > taken.sequence => {
                let at = self.window.partition_point(|t| t.sequence < taken.sequence);
                self.window.insert(at, taken);
            }
            _ => self.window.push_back(taken),
        }
        let last = self.window.back().map_or(0, |t| t.sequence);
        while self
            .window
            .front()
            .is_some_and(|t| last - t.sequence >= u64::from(window))
        {
            self.window.pop_front();
        }
    }

    pub(crate) fn is_idle(&self, now_ms: Millis, idle_ms: Millis) -> bool {
        self.last_used_ms + idle_ms <= now_ms
    }

    pub(crate) fn parts(&self) -> (Millis, impl ExactSizeIterator<Item = &Taken<F>>) {
        (self.last_used_ms, self.window.iter())
    }

    pub(crate) fn from_parts(last_used_ms: Millis, window: VecDeque<Taken<F>>) -> Self {
        Self {
            window,
            last_used_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(sequence: u64) -> Taken {
        Taken {
            sequence,
            first_id: JobId(sequence / 2),
            count: 1,
        }
    }

    #[test]
    fn a_number_is_new_once_and_too_old_behind_the_window() {
        let mut producer = Producer::default();
        for sequence in [1, 2, 4, 3, 6] {
            assert_eq!(producer.look_up(sequence, 4), Sight::New, "{sequence}");
            producer.take(taken(sequence), 4, 0);
        }
        assert_eq!(producer.look_up(3, 4), Sight::Again(taken(3)));
        assert_eq!(
            producer.look_up(5, 4),
            Sight::New,
            "a gap may still be filled"
        );
        assert_eq!(producer.look_up(2, 4), Sight::TooOld);
        assert_eq!(producer.look_up(7, 4), Sight::New);
    }

    #[test]
    fn a_client_may_count_from_anywhere() {
        let mut producer = Producer::default();
        for sequence in [u64::MAX - 1, u64::MAX] {
            assert_eq!(producer.look_up(sequence, 4), Sight::New);
            producer.take(taken(sequence), 4, 0);
        }
        assert_eq!(producer.look_up(u64::MAX - 3, 4), Sight::New);
        assert_eq!(producer.look_up(u64::MAX - 4, 4), Sight::TooOld);
    }
}
