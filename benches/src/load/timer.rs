//! How long a step takes, over all jobs of a load.

use std::time::Instant;

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use serde::Serialize;

/// Nanoseconds; shorter ones count as this.
const LEAST_NS: u64 = 1_000;
/// Nanoseconds, an hour; longer ones count as this.
const MOST_NS: u64 = 3_600_000_000_000;
/// Significant digits of a percentile.
const DIGITS: u8 = 3;

/// Gathers the times of one step.
#[derive(Debug)]
pub(super) struct Timer {
    name: &'static str,
    made: Instant,
    /// None: nobody wants to know, and clocks cost time.
    times: Option<Mutex<Histogram<u64>>>,
}

impl Timer {
    pub(super) fn new(name: &'static str, counts: bool) -> Self {
        let histogram = || {
            Histogram::new_with_bounds(LEAST_NS, MOST_NS, DIGITS)
                .expect("these bounds and digits make a histogram")
        };
        let times = counts.then(|| Mutex::new(histogram()));
        let made = Instant::now();
        Self { name, made, times }
    }

    /// A step begins: now, or at any time where times are not kept.
    pub(super) fn begin(&self) -> Instant {
        if self.times.is_some() {
            Instant::now()
        } else {
            self.made
        }
    }

    /// The step of `jobs` jobs ended now. Returns when that was, if times are kept.
    pub(super) fn record(&self, since: Instant, jobs: u64) -> Option<Instant> {
        let times = self.times.as_ref()?;
        let now = Instant::now();
        let took = now.saturating_duration_since(since);
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or(MOST_NS);
        times.lock().saturating_record_n(took_ns, jobs);
        Some(now)
    }

    pub(super) fn latency(&self) -> Option<Latency> {
        let times = self.times.as_ref()?.lock();
        let us = |ns: u64| ns as f64 / 1e3;
        let at = |quantile: f64| us(times.value_at_quantile(quantile));
        (!times.is_empty()).then(|| Latency {
            step: self.name,
            count: times.len(),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p99_9_us: at(0.999),
            max_us: us(times.max()),
        })
    }
}

/// The times of one step, in microseconds.
#[derive(Debug, Clone, Serialize)]
pub struct Latency {
    /// What took this long.
    pub step: &'static str,
    /// Jobs.
    pub count: u64,
    /// Half of them took at most this.
    pub p50_us: f64,
    /// Nine of ten.
    pub p90_us: f64,
    /// Ninety-nine of a hundred.
    pub p99_us: f64,
    /// All but one of a thousand.
    pub p99_9_us: f64,
    /// The longest.
    pub max_us: f64,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn percentiles_are_those_of_the_jobs() {
        let timer = Timer::new("push", true);
        let now = Instant::now();
        let ago = |ms| {
            now.checked_sub(Duration::from_millis(ms))
                .expect("a machine that runs")
        };
        timer.record(ago(1_000), 90);
        timer.record(ago(5_000), 10);
        let latency = timer.latency().expect("a hundred times");
        assert_eq!(latency.count, 100);
        assert!((1e6..2e6).contains(&latency.p50_us), "{latency:?}");
        assert!((1e6..2e6).contains(&latency.p90_us), "{latency:?}");
        assert!((5e6..6e6).contains(&latency.p99_us), "{latency:?}");
        assert!(latency.max_us >= latency.p99_9_us, "{latency:?}");
    }

    #[test]
    fn what_nobody_wants_to_know_is_not_recorded() {
        let timer = Timer::new("push", false);
        timer.record(Instant::now(), 1);
        assert!(timer.latency().is_none());
    }
}
