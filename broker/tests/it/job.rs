//! Jobs as they come out, and bodies that can be told from one another.

use bytes::Bytes;
use verteilt_protocol::{Frame, split_payload, wire};

/// One job that was delivered, whole.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) id: u64,
    pub(crate) token: u64,
    pub(crate) attempt: u32,
    pub(crate) lease_ms: u64,
    pub(crate) headers: Bytes,
    pub(crate) body: Vec<u8>,
    /// Bytes that are still on their way.
    pub(crate) to_come: u64,
}

/// The jobs of a DELIVER, checked for what every client relies on.
pub(crate) fn jobs_of(frame: &Frame) -> (wire::Deliver, Vec<Job>) {
    let deliver: wire::Deliver = frame.message().unwrap();
    let count = deliver.ids.len();
    assert_eq!(deliver.attempts.len(), count);
    assert_eq!(deliver.body_lengths.len(), count);
    assert!(deliver.lease_ms.len() == count || deliver.lease_ms.len() == 1 || count == 0);
    assert!(deliver.lengths_to_come.is_empty() || deliver.lengths_to_come.len() == count);
    let slices = split_payload(
        &frame.payload,
        &deliver.header_lengths,
        &deliver.body_lengths,
    )
    .unwrap();
    let job = |(at, slice): (usize, verteilt_protocol::JobSlices)| Job {
        id: deliver.ids[at],
        token: deliver.token,
        attempt: deliver.attempts[at],
        lease_ms: *deliver.lease_ms.get(at).unwrap_or(&deliver.lease_ms[0]),
        headers: slice.headers,
        body: slice.body.to_vec(),
        to_come: deliver.lengths_to_come.get(at).copied().unwrap_or(0),
    };
    let jobs = slices.enumerate().map(job).collect();
    (deliver, jobs)
}

/// Bytes that depend on the seed and on their place, so that nothing mixed up goes unseen.
pub(crate) fn body(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A small generator with a seed: the same traffic every time.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_F491_4F6C_DD1D) | 1)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}
