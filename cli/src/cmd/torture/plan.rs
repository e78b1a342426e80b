//! When the broker is killed.

use std::fmt;
use std::time::Duration;

use super::random::Random;

/// Longest wait for the kill once enough is acknowledged, so that it falls anywhere between two
/// syncs, and longest time that a checkpoint may have been under way.
const PHASE_US_MAX: u64 = 30_000;
const CHECKPOINT_US_MAX: u64 = 60_000;

/// A recovery takes about as long.
const START_US_MAX: u64 = 100_000;

/// How one round ends: under load, always; and some are killed again before they serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// So many pushes are acknowledged, and as many jobs acked as there have to be, ...
    pub(super) pushes: u64,
    /// ... and it is so long after that.
    pub(super) phase: Duration,
    /// Asked for a checkpoint so long before the kill.
    pub(super) checkpoint: Option<Duration>,
    /// Started after the kill, and killed so long after the start, in the middle of its recovery.
    pub(super) starts: Vec<Duration>,
}

impl Plan {
    /// Of a hundred: 10 after a longer life, 25 in a checkpoint, 12 again while they start, 3 of
    /// these twice.
    pub(super) fn random(random: &mut Random, acknowledged: u64) -> Self {
        let mut micros = |most| Duration::from_micros(random.below(most));
        let (phase, checkpoint) = (micros(PHASE_US_MAX), micros(CHECKPOINT_US_MAX));
        let starts = [micros(START_US_MAX), micros(START_US_MAX)];
        let again = match random.below(100) {
            0..3 => 2,
            3..12 => 1,
            _ => 0,
        };
        let span = if random.percent(10) {
            acknowledged * 4
        } else {
            acknowledged / 2
        };
        Self {
            pushes: acknowledged + random.below(span),
            phase,
            checkpoint: random.percent(25).then_some(checkpoint),
            starts: starts[..again].to_vec(),
        }
    }
}

/// For a person.
impl fmt::Display for Plan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("under load")?;
        if self.checkpoint.is_some() {
            out.write_str(", in a checkpoint")?;
        }
        match self.starts.len() {
            0 => Ok(()),
            1 => out.write_str(", again while it started"),
            times => write!(out, ", {times} times again while it started"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_has_its_acknowledgements_and_every_variant_comes() {
        let mut random = Random::new(1);
        let plans: Vec<Plan> = (0..500).map(|_| Plan::random(&mut random, 5_000)).collect();
        assert!(plans.iter().all(|plan| plan.pushes >= 5_000));
        let of = |is: fn(&Plan) -> bool| plans.iter().filter(|plan| is(plan)).count();
        assert!(of(|plan| plan.pushes > 10_000) > 20);
        assert!(of(|plan| plan.checkpoint.is_some()) > 50);
        assert!(of(|plan| plan.starts.len() == 1) > 20);
        assert!(of(|plan| plan.starts.len() == 2) > 2);
    }
}
