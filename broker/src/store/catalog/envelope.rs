//! What stands around every value. The engine swallows bit rot silently and could mix up values, so
//! each says itself what it is, and a checksum covers all of it.
//!
//! ```text
//!  0  4  magic "VTST"
//!  4  1  kind, the letter of the key
//!  5  1  format version of the kind
//!  6  2  shard       7..24 little-endian
//!  8  8  number
//! 16  4  part
//! 20  4  CRC32C of bytes 0..20 and of the payload
//! 24     payload
//! ```
//! The envelope is the same in every version of every kind: so a value of a later version is told
//! from a damaged one.

use bytes::Bytes;

use super::key::Key;
use crate::store::StoreError;

const MAGIC: &[u8; 4] = b"VTST";
const HEAD_BYTES: usize = 20;

/// Bytes of the envelope.
pub(super) const ENVELOPE_BYTES: usize = HEAD_BYTES + 4;

/// The largest value, in bytes. sled keeps up to 16 values in a leaf, reads and rewrites leaves as a
/// whole, and lets go of leaves in its cache by their number more than by their size: a smaller
/// value makes all of that smaller. Measured with 64 KiB a value, a store of 1 GB was in memory as a
/// whole after random reads; with 16 KiB it is an eighth.
const VALUE_BYTES: usize = crate::store::VALUE_BYTES_MAX;

/// What one value carries at most.
pub(super) const PAYLOAD_BYTES_MAX: usize = VALUE_BYTES - ENVELOPE_BYTES;

/// The value of `key`: its envelope, then the slices of `payload` one after the other.
pub(super) fn seal(key: Key, payload: &[&[u8]]) -> Vec<u8> {
    let length = payload.iter().map(|slice| slice.len()).sum::<usize>();
    let mut value = Vec::with_capacity(ENVELOPE_BYTES + length);
    value.extend_from_slice(&head(key, key.kind.version()));
    value.extend_from_slice(&[0; 4]);
    for slice in payload {
        value.extend_from_slice(slice);
    }
    let sum = checksum(&value);
    value[HEAD_BYTES..ENVELOPE_BYTES].copy_from_slice(&sum.to_le_bytes());
    value
}

/// The payload of the value found at `key`, once it has shown to be what was written there.
pub(super) fn open(key: Key, value: &Bytes) -> Result<Bytes, StoreError> {
    if value.len() < ENVELOPE_BYTES {
        return Err(damaged(key, "the value is shorter than its envelope"));
    }
    if checksum(value).to_le_bytes() != value[HEAD_BYTES..ENVELOPE_BYTES] {
        return Err(damaged(key, "the checksum does not match"));
    }
    let version = value[5];
    if value[..HEAD_BYTES] != head(key, version) {
        return Err(damaged(key, "the value belongs to another key"));
    }
    // Whoever reads a payload knows all formats of its kind up to this one.
    let known = key.kind.version();
    if !(1..=known).contains(&version) {
        return Err(StoreError::UnknownVersion {
            key: key.to_string(),
            version,
            known,
        });
    }
    Ok(value.slice(ENVELOPE_BYTES..))
}

/// The error for a value that is not what it should be.
pub(super) fn damaged(key: Key, reason: &'static str) -> StoreError {
    StoreError::Damaged {
        key: key.to_string(),
        reason,
    }
}

fn head(key: Key, version: u8) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[..4].copy_from_slice(MAGIC);
    head[4] = key.kind as u8;
    head[5] = version;
    head[6..8].copy_from_slice(&key.shard.to_le_bytes());
    head[8..16].copy_from_slice(&key.number.to_le_bytes());
    head[16..].copy_from_slice(&key.part.to_le_bytes());
    head
}

fn checksum(value: &[u8]) -> u32 {
    crc32c::crc32c_append(
        crc32c::crc32c(&value[..HEAD_BYTES]),
        &value[ENVELOPE_BYTES..],
    )
}
