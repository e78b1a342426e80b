//! A fingerprint of everything that happened in a run: two runs of one seed must have the same.

use std::sync::Arc;

use parking_lot::Mutex;

const MULTIPLIER: u64 = 0xf135_7aea_2e62_a9c5;

/// Cheap to clone; all clones are one fingerprint.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fingerprint(Arc<Mutex<u64>>);

impl Fingerprint {
    pub(crate) fn add(&self, words: &[u64], bytes: &[u8]) {
        let mut state = self.0.lock();
        let mut add = |word: u64| {
            *state = (state.rotate_left(5) ^ word).wrapping_mul(MULTIPLIER);
        };
        words.iter().copied().for_each(&mut add);
        let (chunks, rest) = bytes.as_chunks::<8>();
        chunks
            .iter()
            .for_each(|chunk| add(u64::from_le_bytes(*chunk)));
        rest.iter().for_each(|byte| add(u64::from(*byte)));
    }

    pub(crate) fn value(&self) -> u64 {
        *self.0.lock()
    }
}
