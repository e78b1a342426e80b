//! How far a load is, for whoever watches, and the way to end it early.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// Shared with a load while it runs. Clones watch the same one.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    /// Cancelled by whoever wants the load to end now.
    pub stop: CancellationToken,
    shown: Arc<Shown>,
}

#[derive(Debug)]
struct Shown {
    phase: Mutex<Option<Phase>>,
    done: AtomicU64,
    gap: Gap,
}

/// The longest time in which nothing was answered.
#[derive(Debug)]
struct Gap {
    made: Instant,
    /// Microseconds since then.
    last_us: AtomicU64,
    longest_us: AtomicU64,
}

impl Default for Shown {
    fn default() -> Self {
        let gap = Gap {
            made: Instant::now(),
            last_us: AtomicU64::new(0),
            longest_us: AtomicU64::new(0),
        };
        Self {
            phase: Mutex::default(),
            done: AtomicU64::new(0),
            gap,
        }
    }
}

impl Gap {
    fn begin(&self) {
        let now_us = self.made.elapsed().as_micros() as u64;
        self.last_us.store(now_us, Ordering::Relaxed);
        self.longest_us.store(0, Ordering::Relaxed);
    }

    fn answered(&self, at: Instant) {
        let now_us = at.saturating_duration_since(self.made).as_micros() as u64;
        let last_us = self.last_us.fetch_max(now_us, Ordering::Relaxed);
        let gap_us = now_us.saturating_sub(last_us);
        self.longest_us.fetch_max(gap_us, Ordering::Relaxed);
    }
}

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phase {
    /// What is counted: `jobs` of the load, or of the `backlog` that is made before.
    pub what: &'static str,
    /// How many there will be, if that is known.
    pub total: Option<u64>,
}

impl Watch {
    /// One that is ended by somebody's token.
    #[must_use]
    pub fn new(stop: CancellationToken) -> Self {
        Self {
            stop,
            shown: Arc::default(),
        }
    }

    /// What is being done now, and how much of it is done. None before it begins.
    #[must_use]
    pub fn look(&self) -> Option<(Phase, u64)> {
        let phase = (*self.shown.phase.lock())?;
        Some((phase, self.shown.done.load(Ordering::Relaxed)))
    }

    pub(super) fn begin(&self, what: &'static str, total: Option<u64>) {
        self.shown.done.store(0, Ordering::Relaxed);
        self.shown.gap.begin();
        *self.shown.phase.lock() = Some(Phase { what, total });
    }

    /// So many more are done.
    pub(super) fn add(&self, jobs: u64) {
        self.shown.done.fetch_add(jobs, Ordering::Relaxed);
    }

    /// Something was answered then.
    pub(super) fn answered(&self, at: Instant) {
        self.shown.gap.answered(at);
    }

    /// The longest time between two answers; zero where no times are kept.
    pub(super) fn longest_gap(&self) -> Duration {
        Duration::from_micros(self.shown.gap.longest_us.load(Ordering::Relaxed))
    }

    pub(super) fn done(&self) -> u64 {
        self.shown.done.load(Ordering::Relaxed)
    }
}
