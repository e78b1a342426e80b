//! Where ids and jitter come from: the system, or a seed that makes a run repeatable.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// Bytes asked of the system at a time: each time is a system call, and every request takes 16 of them.
const STOCK_BYTES: usize = 1024;

/// See the module.
#[derive(Debug)]
pub(crate) enum Randomness {
    /// The system's.
    System(Mutex<Stock>),
    /// Derived from a seed: the state of a SplitMix64 generator (Steele, Lea and Flood, 2014).
    Seeded(AtomicU64),
}

/// What SplitMix64 adds for each number.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Bytes of the system that were not used yet; each is used once.
#[derive(Default)]
pub(crate) struct Stock(Vec<u8>);

impl Stock {
    fn take(&mut self, wanted: &mut [u8]) -> Result<(), getrandom::Error> {
        if wanted.len() > STOCK_BYTES {
            return getrandom::fill(wanted);
        }
        if wanted.len() > self.0.len() {
            let mut fresh = vec![0; STOCK_BYTES];
            getrandom::fill(&mut fresh)?;
            self.0 = fresh;
        }
        let left = self.0.len() - wanted.len();
        wanted.copy_from_slice(&self.0[left..]);
        self.0.truncate(left);
        Ok(())
    }
}

impl fmt::Debug for Stock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stock").finish_non_exhaustive()
    }
}

impl Randomness {
    pub(crate) fn of_the_system() -> Self {
        Self::System(Mutex::default())
    }

    pub(crate) fn seeded(seed: u64) -> Self {
        Self::Seeded(AtomicU64::new(seed))
    }

    /// Whether a run is to be repeatable.
    pub(crate) const fn is_seeded(&self) -> bool {
        matches!(self, Self::Seeded(_))
    }

    /// Fills `bytes`.
    pub(crate) fn fill(&self, bytes: &mut [u8]) -> Result<(), getrandom::Error> {
        let state = match self {
            Self::System(stock) => return stock.lock().take(bytes),
            Self::Seeded(state) => state,
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
    fn the_bytes_of_the_system_are_used_once() {
        let random = Randomness::of_the_system();
        let mut known = std::collections::BTreeSet::new();
        for _ in 0..STOCK_BYTES / 3 {
            let mut bytes = [0; 12];
            random.fill(&mut bytes).unwrap();
            assert!(known.insert(bytes), "the same bytes came again");
        }
        let mut long = [0; STOCK_BYTES * 2];
        random.fill(&mut long).unwrap();
        assert!(long.iter().any(|byte| *byte != 0));
    }

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
