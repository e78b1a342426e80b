//! What is on its way between clients and broker, and what was acknowledged.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Counted by all clients together.
#[derive(Debug, Default)]
pub(super) struct Flow {
    pushes_acknowledged: AtomicU64,
    acks_answered: AtomicU64,
    pushes_open: AtomicU64,
    leases_held: AtomicU64,
}

/// The counts at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Pushes that were acknowledged so far; a batch is one, however many jobs it has.
    pub(super) pushes: u64,
    /// Jobs whose ack was answered so far.
    pub(super) acks: u64,
    /// Pushes without an answer.
    pub(super) pushes_open: u64,
    /// Jobs in the hands of workers, under a lease that they mean to settle in time.
    pub(super) leases_held: u64,
}

impl Flow {
    pub(super) fn push_begins(&self) {
        self.pushes_open.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn push_ends(&self, is_acknowledged: bool) {
        self.pushes_open.fetch_sub(1, Ordering::Relaxed);
        let acknowledged = u64::from(is_acknowledged);
        self.pushes_acknowledged
            .fetch_add(acknowledged, Ordering::Relaxed);
    }

    pub(super) fn acked(&self) {
        self.acks_answered.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {
            pushes: self.pushes_acknowledged.load(Ordering::Relaxed),
            acks: self.acks_answered.load(Ordering::Relaxed),
            pushes_open: self.pushes_open.load(Ordering::Relaxed),
            leases_held: self.leases_held.load(Ordering::Relaxed),
        }
    }
}

impl Counts {
    /// What was acknowledged since `before`, and what is on its way now.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            pushes: self.pushes - before.pushes,
            acks: self.acks - before.acks,
            ..self
        }
    }

    /// Whether a kill now takes away pushes and deliveries alike.
    pub(super) fn is_in_flight(self) -> bool {
        self.pushes_open > 0 && self.leases_held > 0
    }
}

/// What one worker holds: job and token of each lease.
#[derive(Debug, Default)]
pub(super) struct Hands {
    leases: Mutex<HashSet<(u64, u64)>>,
}

impl Hands {
    pub(super) fn take(&self, flow: &Flow, lease: (u64, u64)) {
        if self.lock().insert(lease) {
            flow.leases_held.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn let_go(&self, flow: &Flow, lease: (u64, u64)) {
        if self.lock().remove(&lease) {
            flow.leases_held.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Those that the client has named to the broker if it was connected again just now: it names
    /// every lease whose job is in somebody's hands. It may have named more.
    pub(super) fn named(&self) -> Vec<(u64, u64)> {
        self.lock().iter().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<(u64, u64)>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_counts_what_was_acknowledged_in_it() {
        let flow = Flow::default();
        let push = |is_acknowledged| {
            flow.push_begins();
            flow.push_ends(is_acknowledged);
        };
        push(true);
        let before = flow.counts();
        push(true);
        push(false);
        flow.acked();
        flow.push_begins();
        let counts = flow.counts().since(before);
        assert_eq!((counts.pushes, counts.acks, counts.pushes_open), (1, 1, 1));
        assert!(!counts.is_in_flight(), "nobody holds a lease");
    }

    #[test]
    fn a_lease_is_held_once_until_it_is_let_go() {
        let (flow, hands) = (Flow::default(), Hands::default());
        hands.take(&flow, (1, 7));
        hands.take(&flow, (1, 7));
        hands.take(&flow, (2, 7));
        hands.let_go(&flow, (2, 7));
        hands.let_go(&flow, (2, 7));
        assert_eq!(
            (flow.counts().leases_held, hands.named()),
            (1, vec![(1, 7)])
        );
    }
}
