//! A checkpoint that stays whole while it is read, however many follow it; and the way back from a
//! copy of it to a store.

use std::fmt;
use std::sync::Arc;
use std::vec::IntoIter;

use bytes::Bytes;

use super::envelope::{self, damaged};
use super::key::{Key, Kind};
use super::manifest::Manifest;
use super::open::Catalog;
use super::records;
use super::writer::keys;
use crate::store::{Store, StoreError};

/// What must not be deleted: everything that was there when a checkpoint was pinned.
#[derive(Debug)]
pub(super) struct Held {
    generation: u64,
    number_next: u64,
}

impl Held {
    fn holds(&self, key: Key) -> bool {
        match key.kind {
            Kind::Manifest => key.number <= self.generation,
            Kind::Block | Kind::Directory | Kind::Ledger | Kind::Page | Kind::Records => {
                key.number < self.number_next
            }
        }
    }
}

/// The newest checkpoint at the moment it was pinned, as the pairs of the store that its manifest
/// names. While it lives nothing of it is deleted, so the store keeps what later checkpoints drop.
/// It may be read on any thread and beside everything else.
pub struct PinnedCheckpoint {
    store: Arc<dyn Store>,
    keys: IntoIter<Key>,
    lsn: u64,
    _held: Arc<Held>,
}

impl Catalog {
    /// Pins the newest checkpoint; `None` before the first.
    pub fn pin(&mut self) -> Option<PinnedCheckpoint> {
        if self.generation == 0 || self.failed {
            return None;
        }
        let held = Arc::new(Held {
            generation: self.generation,
            number_next: self.number_next,
        });
        self.pins.push(Arc::downgrade(&held));
        let mut all = self.roots.clone();
        let directory = self.directory.read();
        for page in directory.pages.values() {
            all.extend(keys(Kind::Page, self.shard, page.number, page.parts));
        }
        for block in directory.blocks.values() {
            all.extend(keys(Kind::Block, self.shard, block.number, block.parts));
        }
        for block in directory.records.values() {
            all.extend(records::keys_of(self.shard, block.number, block.bytes));
        }
        drop(directory);
        Some(PinnedCheckpoint {
            store: Arc::clone(&self.store),
            keys: all.into_iter(),
            lsn: self.lsn,
            _held: held,
        })
    }

    pub(super) fn is_pinned(&self, key: Key) -> bool {
        let mut pins = self.pins.iter().filter_map(std::sync::Weak::upgrade);
        pins.any(|held| held.holds(key))
    }
}

impl PinnedCheckpoint {
    /// The state holds every event up to this LSN and none after it.
    pub fn lsn(&self) -> u64 {
        self.lsn
    }

    /// How many pairs are still to come.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether all pairs have been read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Key and value, each value proven: what has rotted is not copied.
impl Iterator for PinnedCheckpoint {
    type Item = Result<(Vec<u8>, Bytes), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.keys.next()?;
        let read = || {
            let value = self.store.get(&key.encode())?;
            let value = value.ok_or_else(|| damaged(key, "it is missing"))?;
            envelope::open(key, &value)?;
            Ok((key.encode().to_vec(), value))
        };
        Some(read())
    }
}

impl fmt::Debug for PinnedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PinnedCheckpoint")
            .field("lsn", &self.lsn)
            .field("left", &self.len())
            .finish_non_exhaustive()
    }
}

/// Whether this is the key of a manifest, which is written last.
pub(crate) fn is_manifest(key: &[u8]) -> bool {
    key.first() == Some(&(Kind::Manifest as u8))
}

/// Puts a copied manifest, its LSN moved on to `lsn`. All that it names has been put and flushed;
/// the caller flushes.
pub(crate) fn put_manifest(
    store: &dyn Store,
    shard: u16,
    (key, value): (&[u8], &Bytes),
    lsn: u64,
) -> Result<(), StoreError> {
    let key = Key::decode(Kind::Manifest, shard, key).ok_or(StoreError::Refused {
        reason: "the manifest is of another shard",
    })?;
    let manifest = Manifest::decode(&envelope::open(key, value)?);
    let mut manifest = manifest.map_err(|reason| damaged(key, reason))?;
    if lsn < manifest.lsn {
        return Err(StoreError::Refused {
            reason: "a checkpoint goes back in time",
        });
    }
    manifest.lsn = lsn;
    store.put(&key.encode(), &envelope::seal(key, &[&manifest.encode()]))
}
