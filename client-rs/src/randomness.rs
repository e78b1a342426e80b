//! Where ids and jitter come from: the system, or a seed that makes a run repeatable.

use std::sync::atomic::{AtomicU64, Ordering};

/// See the module.
#[derive(Debug)]
pub(crate) enum Randomness {
    /// The system's.
    System,
    /// Derived from a seed: the state of a SplitMix64 generator (Steele, Lea and Flood, 2014).
    Seeded(AtomicU64),
}

/// What SplitMix64 adds for each number.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Randomness {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self::Seeded(AtomicU64::new(seed))
    }

    /// Whether a run is to be repeatable.
    pub(crate) const fn is_seeded(&self) -> bool {
        matches!(self, Self::Seeded(_))
    }

    /// Fills `bytes`.
    pub(crate) fn fill(&self, bytes: &mut [u8]) -> Result<(), getrandom::Error> {
        let Self::Seeded(state) = self else {
            return getrandom::fill(bytes);
        };
        for chunk in bytes.chunks_mut(8) {
            let mut word = state.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            word ^= word >> 31;
            chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }

    /// From 0 to 1; 1 where the system has no randomness, which is no reason to fail.
    pub(crate) fn share(&self) -> f64 {
        let mut bytes = [0; 4];
        match self.fill(&mut bytes) {
            Ok(()) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
            Err(_) => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_again() {
        let take = |seed| {
            let (random, mut bytes) = (Randomness::seeded(seed), [0; 16]);
            random.fill(&mut bytes).unwrap();
            (bytes, random.share())
        };
        assert_eq!(take(7), take(7));
        assert_ne!(take(7), take(8));
        assert_ne!(take(7).0[..8], take(7).0[8..]);
    }
}
