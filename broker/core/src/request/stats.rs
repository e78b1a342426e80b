//! What is counted of a worker.

use crate::effect::Refusal;

/// Buckets of a histogram: up to 2^30 us, which is 18 minutes, and all above.
const BUCKETS: usize = 32;

/// How often which time was seen, by powers of two. Those of several workers may be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; BUCKETS],
    sum: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: [0; BUCKETS],
            sum: 0,
        }
    }
}

impl Histogram {
    pub(crate) fn record(&mut self, micros: u64) {
        let bits = (u64::BITS - micros.leading_zeros()) as usize;
        self.counts[bits.min(BUCKETS - 1)] += 1;
        self.sum = self.sum.saturating_add(micros);
    }

    /// All times together, in microseconds.
    #[must_use]
    pub const fn sum(&self) -> u64 {
        self.sum
    }

    /// Entry i counts those below 2^i that are in no entry before; the last one, all others. Nothing
    /// behind the last entry that is not 0.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        let last = self.counts.iter().rposition(|count| *count > 0);
        &self.counts[..last.map_or(0, |at| at + 1)]
    }
}

/// How the requests of a worker ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerCounts {
    /// Replies by status: 1xx or none, 2xx, 3xx, 4xx, 5xx and above.
    pub replies: [u64; 5],
    /// Passed on.
    pub forwarded: u64,
    /// The deadline fell.
    pub expired: u64,
    /// The caller went.
    pub cancelled: u64,
    /// A body broke off, or came faster than it may.
    pub broken: u64,
}

impl ServerCounts {
    pub(crate) fn replied(&mut self, status: u32) {
        let class = (status / 100).clamp(1, 5) as usize - 1;
        self.replies[class] += 1;
    }

    pub(crate) fn ended(&mut self, refusal: Refusal) {
        match refusal {
            Refusal::DeadlineExceeded => self.expired += 1,
            Refusal::Cancelled | Refusal::RequestLost => self.cancelled += 1,
            _ => self.broken += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_fall_into_powers_of_two() {
        let mut histogram = Histogram::default();
        for micros in [0, 1, 2, 3, 4, 1_000_000, u64::MAX] {
            histogram.record(micros);
        }
        let counts = histogram.counts();
        assert_eq!(counts[..4], [1, 1, 2, 1]);
        assert_eq!((counts[20], counts[31]), (1, 1));
        assert_eq!(Histogram::default().counts(), [0_u64; 0]);
        assert_eq!(histogram.sum(), u64::MAX);
    }

    #[test]
    fn replies_are_counted_by_class() {
        let mut counts = ServerCounts::default();
        for status in [0, 101, 200, 204, 302, 404, 503, 999] {
            counts.replied(status);
        }
        assert_eq!(counts.replies, [2, 2, 1, 1, 2]);
    }
}
