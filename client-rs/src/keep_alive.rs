//! Leases that are touched by themselves while their holder works, all in one frame.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::lot::Lease;
use crate::shared::{Pending, Shared};

/// A lease in the driver's care.
pub(crate) struct Kept {
    pub(crate) id: u64,
    pub(crate) token: u64,
    /// When it is touched next.
    pub(crate) due: Instant,
    /// A third of the lease, so that two touches may fail.
    pub(crate) every: Duration,
}

/// Keeps a lease alive until it is dropped; see [`crate::Job::keep_alive`].
#[must_use = "the lease is kept alive only as long as this is held"]
pub struct KeepAlive {
    shared: Arc<Shared>,
    number: u64,
}

impl KeepAlive {
    pub(crate) fn new(lease: &Lease) -> Self {
        let shared = Arc::clone(lease.shared());
        let number = shared.next_number();
        // A lease of 0 ms would be touched without end.
        let lease_ms = lease.lot.lease_ms(lease.index).max(300);
        let every = Duration::from_millis(lease_ms / 3);
        let due = Instant::now() + every;
        let kept = Kept {
            id: lease.id(),
            token: lease.token(),
            due,
            every,
        };
        let mut pending = shared.pending.lock();
        if pending.closed.is_none() {
            pending.kept.insert(number, kept);
            pending.lower_due(due);
        }
        drop(pending);
        Self { shared, number }
    }
}

impl Drop for KeepAlive {
    fn drop(&mut self) {
        self.shared.pending.lock().kept.remove(&self.number);
    }
}

impl fmt::Debug for KeepAlive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeepAlive")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl Pending {
    /// The leases to touch now, and when the next ones are due. Those that are due soon come along,
    /// so that leases which began at different times end up in the same frame.
    pub(crate) fn take_due_leases(&mut self, now: Instant) -> (Vec<(u64, u64)>, Option<Instant>) {
        let mut leases = Vec::new();
        let Some(earliest) = self.kept.values().map(|kept| kept.due).min() else {
            return (leases, None);
        };
        if earliest > now {
            return (leases, Some(earliest));
        }
        for kept in self.kept.values_mut() {
            if kept.due <= now + kept.every / 2 {
                kept.due = now + kept.every;
                leases.push((kept.id, kept.token));
            }
        }
        (leases, self.kept.values().map(|kept| kept.due).min())
    }

    /// After a reconnect: all of them at once, since some may end soon.
    pub(crate) fn touch_all_now(&mut self, now: Instant) {
        for kept in self.kept.values_mut() {
            kept.due = now;
        }
        if !self.kept.is_empty() {
            self.lower_due(now);
        }
    }
}
