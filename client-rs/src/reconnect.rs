//! How long to wait before trying again: exponential with jitter, so that a thousand clients do not
//! come back in the same millisecond.

use std::time::Duration;

use crate::randomness::Randomness;

/// Waits between attempts to reconnect; see [`crate::ClientBuilder::reconnect`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconnect {
    /// Wait before the first attempt, doubled for each further one. Default 50 ms.
    pub delay_first: Duration,
    /// Longest wait. Default 5 s.
    pub delay_max: Duration,
    /// Time without a connection after which the client gives up and closes; everything that waits
    /// then fails with [`crate::ClientError::ReconnectGaveUp`]. Default `None`: never.
    pub deadline: Option<Duration>,
}

impl Default for Reconnect {
    fn default() -> Self {
        Self {
            delay_first: Duration::from_millis(50),
            delay_max: Duration::from_secs(5),
            deadline: None,
        }
    }
}

/// `first` x 2^`attempt` (from 0), at most `max`, of which a random half is taken off.
pub(crate) fn backoff(
    first: Duration,
    max: Duration,
    attempt: u32,
    random: &Randomness,
) -> Duration {
    let full = first.saturating_mul(1 << attempt.min(20)).min(max);
    full.mul_f64(0.5 + 0.5 * random.share())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_up_to_the_limit_with_jitter() {
        let (first, max) = (Duration::from_millis(100), Duration::from_secs(10));
        for (attempt, full_ms) in [(0, 100), (1, 200), (3, 800), (7, 10_000), (500, 10_000)] {
            for _ in 0..20 {
                let delay = backoff(first, max, attempt, &Randomness::of_the_system()).as_millis();
                assert!(
                    delay >= full_ms / 2 && delay <= full_ms,
                    "{attempt}: {delay}"
                );
            }
        }
    }
}
