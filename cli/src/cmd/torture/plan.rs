//! When the broker is killed.

use std::time::Duration;

use super::random::Random;

/// How one round ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// So long after it has begun to serve.
    Loaded(Duration),
    /// So long after its process was started, which is in the middle of the recovery.
    Starting(Duration),
    /// Asked for a checkpoint after the first time, killed the second time later.
    Checkpointing(Duration, Duration),
    /// As loaded, and again so long after the next process was started.
    Twice(Duration, Duration),
}

impl Plan {
    /// Of a hundred: 10 while it starts, 5 twice, 20 in a checkpoint, 65 under load.
    pub(super) fn random(random: &mut Random, round: Duration) -> Self {
        let loaded = round.mul_f64(random.share());
        match random.below(100) {
            0..10 => Self::Starting(Duration::from_micros(random.below(50_000))),
            10..15 => Self::Twice(loaded, Duration::from_micros(random.below(50_000))),
            15..35 => Self::Checkpointing(loaded, Duration::from_micros(random.below(60_000))),
            _ => Self::Loaded(loaded),
        }
    }

    /// For a person.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Loaded(_) => "under load",
            Self::Starting(_) => "while it started",
            Self::Checkpointing(..) => "in a checkpoint",
            Self::Twice(..) => "twice in a row",
        }
    }
}
