//! Values of any size, spread over consecutive parts of one key.

use bytes::{Bytes, BytesMut};

use super::envelope::{self, ENVELOPE_BYTES, PAYLOAD_BYTES_MAX, damaged};
use super::key::Key;
use crate::store::{Store, StoreError};

/// How many parts this many bytes take; none for none.
pub(super) fn parts(bytes: usize) -> usize {
    bytes.div_ceil(PAYLOAD_BYTES_MAX)
}

/// What this many bytes take in the store.
pub(super) fn stored_bytes(bytes: usize) -> usize {
    bytes + parts(bytes) * ENVELOPE_BYTES
}

/// Puts `head` and then `tail`, cut into parts. Every part but the last is full.
pub(super) fn put(
    store: &dyn Store,
    key: Key,
    mut head: &[u8],
    mut tail: &[u8],
) -> Result<(), StoreError> {
    let mut part = 0;
    while !head.is_empty() || !tail.is_empty() {
        let first = cut(&mut head, PAYLOAD_BYTES_MAX);
        let second = cut(&mut tail, PAYLOAD_BYTES_MAX - first.len());
        let key = key.part(part);
        store.put(&key.encode(), &envelope::seal(key, &[first, second]))?;
        part += 1;
    }
    Ok(())
}

/// Reads what was put as `parts` parts. One part is not copied. `None` names the part that is not
/// there; whether that is damage is for the caller to say.
pub(super) fn get(
    store: &dyn Store,
    key: Key,
    parts: u32,
) -> Result<Result<Bytes, Key>, StoreError> {
    let mut whole = BytesMut::new();
    for part in 0..parts {
        let key = key.part(part);
        let Some(value) = store.get(&key.encode())? else {
            return Ok(Err(key));
        };
        let payload = envelope::open(key, &value)?;
        if parts == 1 {
            return Ok(Ok(payload));
        }
        if part + 1 < parts && payload.len() != PAYLOAD_BYTES_MAX {
            return Err(damaged(key, "a part in the middle is not full"));
        }
        whole.extend_from_slice(&payload);
    }
    Ok(Ok(whole.freeze()))
}

/// Reads `bytes` bytes that a manifest names.
pub(super) fn get_named(store: &dyn Store, key: Key, bytes: u64) -> Result<Bytes, StoreError> {
    let parts = usize::try_from(bytes)
        .ok()
        .and_then(|bytes| u32::try_from(parts(bytes)).ok());
    let parts = parts.ok_or_else(|| damaged(key, "the manifest gives an impossible size"))?;
    let whole = get(store, key, parts)?.map_err(|key| damaged(key, "it is missing"))?;
    if whole.len() as u64 == bytes {
        Ok(whole)
    } else {
        Err(damaged(key, "its size is not the one in the manifest"))
    }
}

fn cut<'a>(from: &mut &'a [u8], bytes_max: usize) -> &'a [u8] {
    let (taken, left) = from.split_at(from.len().min(bytes_max));
    *from = left;
    taken
}
