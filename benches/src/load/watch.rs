//! How far a load is, for whoever watches, and the way to end it early.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// Shared with a load while it runs. Clones watch the same one.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    /// Cancelled by whoever wants the load to end now.
    pub stop: CancellationToken,
    shown: Arc<Shown>,
}

#[derive(Debug, Default)]
struct Shown {
    phase: Mutex<Option<Phase>>,
    done: AtomicU64,
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
        *self.shown.phase.lock() = Some(Phase { what, total });
    }

    pub(super) fn add(&self, jobs: u64) {
        self.shown.done.fetch_add(jobs, Ordering::Relaxed);
    }

    pub(super) fn done(&self) -> u64 {
        self.shown.done.load(Ordering::Relaxed)
    }
}
