//! One job: its states, and every move between them.
//!
//! ```text
//! push --> scheduled --time--> ready --lease--> leased --ack--> done (gone)
//!             push without delay ^  ^              |
//!                                |  +--release-----+--nack--> failed --time--> ready
//!                                |  +--lease ends--+
//!                                |                 +--no run left--> dead
//! ```
//! What is stored knows *queued, leased, dead*: whether a queued job is scheduled, failed or ready
//! follows from its due time and the clock, so that becoming due needs no event.

use std::sync::Arc;

use crate::id::{JobId, Millis, QueueId, SessionId, SubscriptionKey};
use crate::lane::LeaseEntry;

/// The states that users see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum JobState {
    /// Waits for its time.
    Scheduled,
    /// May run now.
    Ready,
    /// A worker holds it.
    Leased,
    /// Waits for its time after a failed run.
    Failed,
    /// Has used up its runs; kept for people to look at.
    Dead,
}

/// One job. The body is elsewhere: the core knows its length only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Where it stands.
    pub queue: QueueId,
    /// Higher first.
    pub priority: i32,
    /// When it may run; also its place in line among equals.
    pub due_ms: Millis,
    /// Bytes of header block and body together.
    pub length: u32,
    /// Milliseconds that a lease lasts without a touch.
    pub lease_ms: u32,
    /// Runs so far, the present one among them.
    pub attempts: u16,
    /// Runs that do not count against `attempts_max`, because the worker gave the job back unharmed.
    pub excused: u16,
    /// Counted runs in all.
    pub attempts_max: u16,
    /// What is being done with it.
    pub place: Place,
}

/// What is being done with a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In line, or waiting for its time.
    Queued,
    /// With a worker. Jobs that were leased together share it.
    Leased(Arc<Lease>),
    /// Out of runs since this time.
    Dead(Millis),
}

/// The right to work on a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Fencing number: grows with every lease of the shard and is never used again.
    pub token: u64,
    /// When the lease ends.
    pub until_ms: Millis,
    /// Whose it is.
    pub session: SessionId,
    /// Which credit it counts against; none after a restart.
    pub subscription: SubscriptionKey,
}

/// Makes the leases of jobs that go to one holder together. Those that end at the same time share
/// one.
#[derive(Debug)]
pub struct Lending {
    lease: Lease,
    now_ms: Millis,
    made: Option<Arc<Lease>>,
}

impl Lending {
    pub(crate) fn new(
        token: u64,
        session: SessionId,
        subscription: SubscriptionKey,
        now_ms: Millis,
    ) -> Self {
        let lease = Lease {
            token,
            until_ms: now_ms,
            session,
            subscription,
        };
        Self {
            lease,
            now_ms,
            made: None,
        }
    }

    pub(crate) fn holder(&self) -> Holder {
        self.lease.holder()
    }

    /// The job is leased for its own time.
    pub(crate) fn lend(&mut self, job: &mut Job) -> &Lease {
        let until_ms = self.now_ms + Millis::from(job.lease_ms);
        let lease = match self.made.take() {
            Some(lease) if lease.until_ms == until_ms => lease,
            _ => Arc::new(Lease {
                until_ms,
                ..self.lease.clone()
            }),
        };
        job.take(Arc::clone(&lease));
        self.made.insert(lease)
    }
}

/// Who has a job, and against which credit it counts.
pub(crate) type Holder = (SessionId, SubscriptionKey);

impl Lease {
    pub(crate) fn holder(&self) -> Holder {
        (self.session, self.subscription)
    }

    /// How a job with this lease stands in the line of leases.
    pub(crate) fn entry(&self, id: JobId) -> LeaseEntry {
        (self.until_ms, self.token, id)
    }
}

impl Job {
    /// The state that users see at `now_ms`.
    #[must_use]
    pub fn state(&self, now_ms: Millis) -> JobState {
        match &self.place {
            Place::Leased(_) => JobState::Leased,
            Place::Dead(_) => JobState::Dead,
            Place::Queued if self.due_ms <= now_ms => JobState::Ready,
            Place::Queued if self.attempts > 0 => JobState::Failed,
            Place::Queued => JobState::Scheduled,
        }
    }

    /// The lease, while there is one.
    #[must_use]
    pub fn lease(&self) -> Option<&Lease> {
        match &self.place {
            Place::Leased(lease) => Some(lease),
            Place::Queued | Place::Dead(_) => None,
        }
    }

    /// Whether no counted run is left once the present one has ended badly.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.attempts.saturating_sub(self.excused) >= self.attempts_max
    }

    /// Milliseconds to wait after a failed run: exponential, with a spread taken from the job's own
    /// number, so that jobs that failed together do not come back together.
    #[must_use]
    pub fn backoff_ms(&self, id: JobId, limits: &crate::Limits) -> Millis {
        let failures = u32::from(self.attempts.saturating_sub(self.excused).max(1));
        let doubled = 1u64.checked_shl(failures - 1).unwrap_or(u64::MAX);
        let wait = limits
            .backoff_ms_first
            .saturating_mul(doubled)
            .min(limits.backoff_ms_max);
        let spread = wait / 100 * limits.backoff_jitter_percent
            + wait % 100 * limits.backoff_jitter_percent / 100;
        if spread == 0 {
            return wait;
        }
        wait - spread + mix(id.0 ^ (u64::from(self.attempts) << 48)) % (2 * spread + 1)
    }

    // ---- the moves; each is legal from one place only

    pub(crate) fn take(&mut self, lease: Arc<Lease>) {
        assert!(
            matches!(self.place, Place::Queued),
            "only a queued job can be leased"
        );
        self.attempts = self.attempts.saturating_add(1);
        self.place = Place::Leased(lease);
    }

    /// Back to its old place in line.
    pub(crate) fn give_back(&mut self, excused: bool) {
        assert!(
            self.lease().is_some(),
            "only a leased job can be given back"
        );
        self.excused = self.excused.saturating_add(u16::from(excused));
        self.place = Place::Queued;
    }

    pub(crate) fn fail(&mut self, retry_ms: Millis) {
        assert!(self.lease().is_some(), "only a leased job can fail");
        self.due_ms = retry_ms;
        self.place = Place::Queued;
    }

    pub(crate) fn die(&mut self, now_ms: Millis) {
        assert!(self.lease().is_some(), "only a leased job can die");
        self.place = Place::Dead(now_ms);
    }

    pub(crate) fn touch(&mut self, until_ms: Millis) {
        match &mut self.place {
            Place::Leased(lease) => Arc::make_mut(lease).until_ms = until_ms,
            Place::Queued | Place::Dead(_) => panic!("only a leased job can be touched"),
        }
    }
}

/// splitmix64's finisher: spreads neighbouring numbers over the whole range.
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests;
