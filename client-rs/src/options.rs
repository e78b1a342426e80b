//! What a caller may choose for a push, and what a push returns.

use std::time::Duration;

use bytes::Bytes;
use verteilt_protocol::{limits, wire};

use crate::error::ClientError;

/// How safe a job is before its push is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Durability {
    /// What the queue is set to; `Disk` unless it says otherwise.
    #[default]
    Default,
    /// In the broker's memory: gone when the broker stops.
    Memory,
    /// On the disk.
    Disk,
    /// On the disks of several brokers. Not served yet.
    Replicated,
}

impl Durability {
    pub(crate) fn to_wire(self) -> i32 {
        let durability = match self {
            Self::Default => wire::Durability::Default,
            Self::Memory => wire::Durability::Memory,
            Self::Disk => wire::Durability::Disk,
            Self::Replicated => wire::Durability::Replicated,
        };
        durability as i32
    }

    /// A level that this client does not know is at least what was asked for.
    pub(crate) fn from_wire(number: i32) -> Self {
        match wire::Durability::try_from(number) {
            Ok(wire::Durability::Memory) => Self::Memory,
            Ok(wire::Durability::Disk) => Self::Disk,
            Ok(wire::Durability::Replicated) => Self::Replicated,
            Ok(wire::Durability::Default) | Err(_) => Self::Default,
        }
    }
}

/// A name and a value that travel with a job beside its body.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// Any text; not unique.
    pub name: String,
    /// Any bytes.
    pub value: Bytes,
}

impl Header {
    /// A header.
    pub fn new(name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
        }
    }
}

/// Options of a push. `PushOptions::default()` is what [`crate::Client::push`] uses.
///
/// Pushes with the same queue and the same options (headers may differ) share a frame, so keep the
/// options of a hot path the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushOptions {
    /// Higher runs first. Default 0.
    pub priority: i32,
    /// The job may run after this time, counted by the broker from its arrival there; in
    /// milliseconds, at most 366 days. Default: at once.
    pub delay: Duration,
    /// Runs in all before the job is dead. Default `None`: 20.
    pub attempts: Option<u32>,
    /// How long a worker holds the job without a touch, 1 ms to 24 h. Default `None`: 30 s.
    pub lease: Option<Duration>,
    /// How safe the job must be before the push is answered.
    pub durability: Durability,
    /// At most 64 KiB, encoded.
    pub headers: Vec<Header>,
    /// How long to wait for the answer, across lost connections and a broker that is full. Default
    /// `None`: the client's push deadline, which is without an end unless set. A push whose
    /// deadline has passed may have been taken all the same; one that the broker had no room for all
    /// the while fails with that refusal, and was not. Waiting for a place in the client's
    /// budget of bytes is bounded by it too, and is counted for itself.
    pub deadline: Option<Duration>,
}

/// The answer to a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The job.
    pub id: u64,
    /// The level that was reached before this answer was sent.
    pub durability: Durability,
    /// The broker had taken this push before (it was repeated after a lost connection) and did not
    /// take it again; the id is that of then.
    pub duplicate: bool,
}

/// What a frame is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Target {
    /// Jobs of a queue.
    #[default]
    Queue,
    /// Records for whichever partition has its turn.
    Turn,
    /// Records for this partition.
    Partition(u32),
    /// Records whose keys belong to this partition, as far as is known here; the broker looks again.
    Key(u32),
}

/// The options that all jobs of a frame share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BatchKey {
    pub(crate) priority: i32,
    pub(crate) delay_ms: u64,
    pub(crate) attempts: u32,
    pub(crate) lease_ms: u64,
    pub(crate) durability: i32,
    pub(crate) deadline: Option<Duration>,
    pub(crate) target: Target,
}

impl BatchKey {
    pub(crate) fn of(
        options: &PushOptions,
        deadline: Option<Duration>,
    ) -> Result<Self, ClientError> {
        let refuse = |reason: String| Err(ClientError::BadArgument { reason });
        let delay_ms = milliseconds(options.delay);
        if delay_ms > limits::DELAY_MS_MAX {
            return refuse(format!("a delay is at most {} ms", limits::DELAY_MS_MAX));
        }
        let lease_ms = options.lease.map_or(0, milliseconds);
        // 0 stands for the default on the wire.
        if options.lease.is_some() && !(1..=limits::LEASE_MS_MAX).contains(&lease_ms) {
            return refuse(format!("a lease lasts 1 to {} ms", limits::LEASE_MS_MAX));
        }
        if options
            .attempts
            .is_some_and(|n| n == 0 || n > limits::ATTEMPTS_MAX)
        {
            return refuse(format!("attempts are 1 to {}", limits::ATTEMPTS_MAX));
        }
        Ok(Self {
            priority: options.priority,
            delay_ms,
            attempts: options.attempts.unwrap_or(0),
            lease_ms,
            durability: options.durability.to_wire(),
            deadline: options.deadline.or(deadline),
            target: Target::Queue,
        })
    }

    /// `None` when everything is the default: those frames say nothing about it.
    pub(crate) fn to_wire(self) -> Option<wire::JobOptions> {
        let plain = Self {
            deadline: self.deadline,
            ..Self::default()
        };
        (self != plain).then(|| wire::JobOptions {
            priority: self.priority,
            delay_ms: self.delay_ms,
            attempts: self.attempts,
            lease_ms: self.lease_ms,
            durability: self.durability,
            ..wire::JobOptions::default()
        })
    }
}

/// Whole milliseconds, rounded up so that a short wait does not become none.
pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_checked_here() {
        let long = PushOptions {
            delay: Duration::from_secs(400 * 86_400),
            ..Default::default()
        };
        let short = PushOptions {
            lease: Some(Duration::ZERO),
            ..Default::default()
        };
        let none = PushOptions {
            attempts: Some(0),
            ..Default::default()
        };
        for options in [long, short, none] {
            assert!(matches!(
                BatchKey::of(&options, None),
                Err(ClientError::BadArgument { .. })
            ));
        }
    }

    #[test]
    fn defaults_are_not_sent() {
        let key = BatchKey::of(&PushOptions::default(), Some(Duration::from_secs(1))).unwrap();
        assert_eq!(key.to_wire(), None);
        let options = PushOptions {
            delay: Duration::from_micros(1),
            ..Default::default()
        };
        let key = BatchKey::of(&options, None).unwrap();
        assert_eq!(key.to_wire().unwrap().delay_ms, 1);
    }
}
