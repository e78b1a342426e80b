//! How much of a work that several connections share is left.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio_util::sync::CancellationToken;

/// Counts down to nothing, and remembers when that was.
#[derive(Debug)]
pub(crate) struct Countdown {
    left: AtomicU64,
    ended: OnceLock<Instant>,
    /// Cancelled at nothing.
    pub(crate) over: CancellationToken,
}

impl Countdown {
    pub(crate) fn new(jobs: u64) -> Arc<Self> {
        Arc::new(Self {
            left: AtomicU64::new(jobs),
            ended: OnceLock::new(),
            over: CancellationToken::new(),
        })
    }

    /// So many are done. None are counted that were not there.
    pub(crate) fn count(&self, jobs: u64) {
        let less = |left: u64| Some(left.saturating_sub(jobs));
        let before = self
            .left
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
        if before.is_ok_and(|left| left <= jobs) {
            self.ended.get_or_init(Instant::now);
            self.over.cancel();
        }
    }

    /// From then to when nothing was left.
    ///
    /// # Errors
    /// If something is left.
    pub(crate) fn took(&self, begun: Instant) -> Result<Duration> {
        let left = self.left.load(Ordering::Acquire);
        let ended = self.ended.get();
        let ended = ended.with_context(|| format!("{left} jobs were not acked"))?;
        Ok(ended.duration_since(begun))
    }
}
