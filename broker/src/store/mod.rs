//! The store: the state of a shard between two checkpoints of its journal, in an ordered key-value
//! engine that is never on the way of an acknowledgement.
//!
//! | file | what stands there |
//! |---|---|
//! | `mod.rs` | [`Store`]: what every engine promises |
//! | `sled.rs` | [`SledStore`], the engine on the disk |
//! | `memory.rs` | [`MemoryStore`], its twin that can crash and fail on purpose |
//! | `conformance.rs` | the suite that both pass |
//! | `catalog/` | [`Catalog`]: the checkpoint format, written over any [`Store`] |
//!
//! Only `sled.rs` knows sled. Only `catalog/` knows what a key or a value means.

mod catalog;
#[cfg(test)]
mod conformance;
mod error;
mod memory;
mod sled;

use std::ops::ControlFlow;

use bytes::Bytes;

pub use self::catalog::{
    BLOCK_BYTES_MAX, BlockMeta, BlockReader, BlockRoom, Body, Catalog, CheckpointSummary,
    CheckpointWriter, PAGE_BYTES_MAX, PageMeta, PinnedCheckpoint, RecordBlockMeta, Snapshot,
};
pub(crate) use self::catalog::{is_manifest, put_manifest};
pub use self::error::StoreError;
pub use self::memory::MemoryStore;
pub use self::sled::{SledOptions, SledStore};

/// The largest value a store takes, in bytes. sled moves larger leaves to files of their own, which
/// it neither syncs nor removes; with segments of 2 MiB and values of this size it never does.
pub const VALUE_BYTES_MAX: usize = 16 * 1024;

/// The largest key a store takes, in bytes.
pub const KEY_BYTES_MAX: usize = 64;

/// Is shown the keys of a store one by one, until it breaks.
pub type KeyVisitor<'a> = dyn FnMut(&[u8]) -> ControlFlow<()> + 'a;

/// Is shown the pairs of a store one by one, until it breaks.
pub type PairVisitor<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// An ordered key-value engine: what the checkpoint format asks of a disk, and no more.
///
/// A put or a delete is seen by every later read at once, is atomic, and is lost or kept as a whole
/// by a crash. Between two flushes nothing is promised about which of them a crash keeps; two
/// changes of one key are never swapped.
///
/// An error that [`StoreError::is_final`] calls final is latched: every later call fails with it,
/// because nobody can say any more what is on the disk.
pub trait Store: Send + Sync {
    /// The value of `key`, or `None`.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// Sets `key` to `value`; at most [`KEY_BYTES_MAX`] and [`VALUE_BYTES_MAX`] bytes.
    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError>;

    /// Removes `key`; Ok also when there was none.
    fn delete(&self, key: &[u8]) -> Result<(), StoreError>;

    /// Visits the pairs whose key starts with `prefix`, in ascending order of the key, until the
    /// visitor breaks. The visitor must not call the store.
    fn scan(&self, prefix: &[u8], visit: &mut PairVisitor<'_>) -> Result<(), StoreError>;

    /// Visits the keys that start with `prefix` and are not below `from`, in ascending order, until
    /// the visitor breaks. `from` exists because the engine keeps values beside their keys: whoever
    /// visits a key pays for reading its neighbours. The visitor must not call the store.
    fn keys(
        &self,
        prefix: &[u8],
        from: &[u8],
        visit: &mut KeyVisitor<'_>,
    ) -> Result<(), StoreError>;

    /// Ok promises: all that was put or deleted before this call is on the disk. An error is final.
    fn flush(&self) -> Result<(), StoreError>;

    /// What the store takes on the disk now, in bytes; the last figure known when it cannot be read.
    fn disk_bytes(&self) -> u64;
}

/// Refuses a pair that the engine must not see.
fn check_size(key: &[u8], value: &[u8]) -> Result<(), StoreError> {
    if key.len() > KEY_BYTES_MAX {
        return Err(StoreError::TooLarge {
            what: "key",
            bytes: key.len(),
            bytes_max: KEY_BYTES_MAX,
        });
    }
    if value.len() > VALUE_BYTES_MAX {
        return Err(StoreError::TooLarge {
            what: "value",
            bytes: value.len(),
            bytes_max: VALUE_BYTES_MAX,
        });
    }
    Ok(())
}
