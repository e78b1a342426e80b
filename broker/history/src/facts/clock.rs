//! The broker's clock over the life of a history.
//!
//! It begins with the wall clock at a start, or with the last time in the journal if that is later,
//! and runs evenly from then on. So it may differ from the clock of the records after the wall
//! clock was set, and is known within bounds only.

use super::At;

/// What the broker's clock showed, at the least and at the most.
#[derive(Clone, Debug)]
pub(crate) struct BrokerClock {
    /// In order: from when, and by how much the broker's clock is ahead of the records' clock.
    spans: Vec<(u64, i128, i128)>,
}

impl BrokerClock {
    pub(super) fn new() -> Self {
        Self {
            spans: vec![(0, 0, 0)],
        }
    }

    /// The broker starts, `down_ms` or less after it stopped, with the wall clock ahead by `wall`.
    pub(super) fn start(&mut self, stopped: Option<At>, started: At, lag_ms: u64, wall: i128) {
        let (_, low, high) = self.spans[self.spans.len() - 1];
        let stopped_ms = stopped.map_or(started.at_ms, |at| at.at_ms);
        let down_ms = started
            .at_ms
            .saturating_sub(lag_ms)
            .saturating_sub(stopped_ms);
        let next = (wall, wall.max(high - i128::from(down_ms)));
        // While it is down, what waits for it may see either clock.
        let between = (low.min(next.0), high.max(next.1));
        self.spans.push((stopped_ms, between.0, between.1));
        self.spans.push((started.at_ms, next.0, next.1));
    }

    /// The least that it can have shown at this time.
    pub(crate) fn least(&self, at_ms: u64) -> i128 {
        i128::from(at_ms) + self.span(at_ms).1
    }

    /// The most that it can have shown at this time.
    pub(crate) fn most(&self, at_ms: u64) -> i128 {
        i128::from(at_ms) + self.span(at_ms).2
    }

    /// For comparing times between these two: within one run of the broker it does not matter by
    /// how much its clock is ahead, so what is not known about that does no harm.
    pub(crate) fn between(&self, from_ms: u64, to_ms: u64) -> Reading<'_> {
        let same = self.index(from_ms) == self.index(to_ms);
        Reading(if same { None } else { Some(self) })
    }

    fn span(&self, at_ms: u64) -> (u64, i128, i128) {
        self.spans[self.index(at_ms)]
    }

    fn index(&self, at_ms: u64) -> usize {
        let behind = self.spans.partition_point(|span| span.0 <= at_ms);
        behind.saturating_sub(1)
    }
}

/// The broker's clock as far as one question needs it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading<'c>(Option<&'c BrokerClock>);

impl Reading<'_> {
    /// The least that the clock can have shown at this time.
    pub(crate) fn least(self, at_ms: u64) -> i128 {
        self.0.map_or(i128::from(at_ms), |clock| clock.least(at_ms))
    }

    /// The most that the clock can have shown at this time.
    pub(crate) fn most(self, at_ms: u64) -> i128 {
        self.0.map_or(i128::from(at_ms), |clock| clock.most(at_ms))
    }

    /// The most that it can have shown when the run ended that was recorded as ended at this time.
    pub(crate) fn most_at_stop(self, at_ms: u64) -> i128 {
        let high = |clock: &BrokerClock| {
            let behind = clock.spans.partition_point(|span| span.0 < at_ms);
            clock.spans[behind.saturating_sub(1)].2
        };
        i128::from(at_ms) + self.0.map_or(0, high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(at_ms: u64) -> At {
        At { line: 1, at_ms }
    }

    #[test]
    fn a_wall_clock_set_back_does_not_bring_back_the_past() {
        let mut clock = BrokerClock::new();
        clock.start(Some(at(100)), at(150), 0, -1_000);
        assert_eq!(clock.least(160), -840);
        assert_eq!(clock.most(160), 110, "it stood still for 50 ms at the most");
    }

    #[test]
    fn a_wall_clock_set_forward_counts_from_the_next_start() {
        let mut clock = BrokerClock::new();
        clock.start(Some(at(100)), at(150), 0, 500);
        assert_eq!((clock.least(99), clock.most(99)), (99, 99));
        assert_eq!((clock.least(120), clock.most(120)), (120, 620));
        assert_eq!((clock.least(200), clock.most(200)), (700, 700));
        assert_eq!(clock.between(160, 200).most(200), 200);
        assert_eq!(clock.between(90, 200).most(200), 700);
        assert_eq!(clock.between(90, 200).most_at_stop(100), 100);
    }
}
