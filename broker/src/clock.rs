//! The broker's clock: the wall clock at the start, never earlier than what was journaled before,
//! and from then on the monotonic clock, so that a wall clock that is set does not end leases.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;
use verteilt_core::{Micros, Millis};

/// Milliseconds since 1970 that never run backwards.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    base_ms: Millis,
    since: Instant,
}

impl Clock {
    /// Showed the wall clock or `journaled_ms`, whichever is later, at `since`: the moment at which
    /// the wall clock was read. A recovery that lies behind it is in the time that has passed.
    pub(crate) fn starting_at(wall_ms: Millis, journaled_ms: Millis, since: Instant) -> Self {
        Self {
            base_ms: wall_ms.max(journaled_ms),
            since,
        }
    }

    pub(crate) fn now_ms(&self) -> Millis {
        self.base_ms + self.since.elapsed().as_millis() as Millis
    }

    pub(crate) fn now_us(&self) -> Micros {
        self.base_ms * 1_000 + self.since.elapsed().as_micros() as Micros
    }

    /// When [`Self::now_us`] will be so much.
    pub(crate) fn instant_of_us(&self, at_us: Micros) -> Instant {
        self.since + Duration::from_micros(at_us.saturating_sub(self.base_ms * 1_000))
    }

    /// When the clock will show `at_ms`; a moment after it, so that it does not show less then.
    pub(crate) fn instant_of(&self, at_ms: Millis) -> Instant {
        self.since + Duration::from_millis(at_ms.saturating_sub(self.base_ms))
    }
}

/// Milliseconds since 1970 by the system's clock; 0 when that stands before 1970.
pub(crate) fn wall_ms() -> Millis {
    let wall = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    Millis::try_from(wall.as_millis()).unwrap_or(Millis::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_recovery_has_passed() {
        let recovery = Duration::from_secs(5);
        let since = Instant::now().checked_sub(recovery).unwrap();
        let clock = Clock::starting_at(1_000, 0, since);
        assert!(clock.now_ms() >= 6_000, "{}", clock.now_ms());
        assert_eq!(clock.instant_of(6_000), since + recovery);
        let ahead = Clock::starting_at(1_000, 9_000, since);
        assert!(ahead.now_ms() >= 9_000, "it never runs backwards");
    }
}
