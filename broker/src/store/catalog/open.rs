//! Finding the newest checkpoint, and what nobody names.
//!
//! **When the newest manifest is damaged, the store is refused**, and the one before is not taken
//! in its place. A put is whole or absent after a crash, so a manifest that is there and does not
//! check was written whole and has rotted since. By then the journal may have been trimmed behind
//! it and its predecessor's blocks deleted, so falling back would lose acknowledged jobs in silence.
//!
//! **When the newest manifest is gone altogether**, because the engine lost a part of its own log,
//! that shows in two places. A directory names the generation it belongs to, and generation `g` is
//! only begun when manifest `g - 1` is on the disk: a directory of a later generation than that
//! means a manifest is missing, and is refused here. A single lost manifest at the very end looks
//! like a checkpoint that never came to its end; then the snapshot is older than the first LSN of
//! the journal, and whoever joins the two must refuse that.
//!
//! **What nobody names** can only be: values under numbers the manifest has not reached, left by a
//! checkpoint that never came to its end; values the manifest lists as freed; and older manifests,
//! directories and ledgers. So it is found without visiting the blocks, which would read the whole
//! store. It is deleted by the next checkpoint before its first flush, not by opening: a start that
//! is refused for any reason has changed nothing.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::{Arc, Weak};

use parking_lot::RwLock;

use super::chunk;
use super::directory::{self, Directory, Listing};
use super::envelope::{self, damaged};
use super::key::{Key, Kind, prefix};
use super::manifest::Manifest;
use super::pinned::Held;
use super::reader::BlockReader;
use super::snapshot::Snapshot;
use super::writer::CheckpointWriter;
use crate::store::{Store, StoreError};

/// The checkpoints of one shard in a store. One owner; readers are handed out.
pub struct Catalog {
    pub(super) store: Arc<dyn Store>,
    pub(super) shard: u16,
    /// Of the newest checkpoint; 0 before the first.
    pub(super) generation: u64,
    pub(super) lsn: u64,
    pub(super) number_next: u64,
    pub(super) directory: Arc<RwLock<Directory>>,
    /// Manifest, directory and ledger of the newest checkpoint, which the next one frees.
    pub(super) roots: Vec<Key>,
    /// Values that no manifest names: deleted before the next flush.
    pub(super) garbage: Vec<Key>,
    /// Checkpoints that somebody reads, and what is not deleted until nobody does.
    pub(super) pins: Vec<Weak<Held>>,
    pub(super) held: Vec<Key>,
    /// A commit failed half way, so the newest checkpoint on the disk is not known any more.
    pub(super) failed: bool,
}

impl Catalog {
    /// Opens the checkpoints of `shard`; `None` when none was ever committed. Reads the manifest,
    /// the directory and the ledger, not the pages and not the blocks, and changes nothing.
    ///
    /// The caller must refuse to start when the snapshot (LSN 0 for `None`) lies behind the first
    /// LSN of the journal.
    pub fn open(store: Arc<dyn Store>, shard: u16) -> Result<(Self, Option<Snapshot>), StoreError> {
        let mut catalog = Self {
            store,
            shard,
            generation: 0,
            lsn: 0,
            number_next: 1,
            directory: Arc::default(),
            roots: Vec::new(),
            garbage: Vec::new(),
            pins: Vec::new(),
            held: Vec::new(),
            failed: false,
        };
        let mut roots = catalog.keys(Kind::Manifest, 0)?;
        let snapshot = match roots.pop() {
            Some(newest) => Some(catalog.load(newest)?),
            None => None,
        };
        roots.extend(catalog.keys(Kind::Ledger, 0)?);
        let directories = catalog.keys(Kind::Directory, 0)?;
        catalog.check_no_manifest_is_missing(&directories)?;
        roots.extend(directories);
        roots.retain(|key| !catalog.roots.contains(key));
        for kind in [Kind::Block, Kind::Page, Kind::Records] {
            roots.extend(catalog.keys(kind, catalog.number_next)?);
        }
        for key in roots.iter().filter(|key| key.kind != Kind::Manifest) {
            catalog.number_next = catalog.number_next.max(key.number.saturating_add(1));
        }
        catalog.garbage.extend(roots);
        Ok((catalog, snapshot))
    }

    /// Reads blocks and pages; works beside a checkpoint that is being written.
    pub fn reader(&self) -> BlockReader {
        BlockReader::new(
            Arc::clone(&self.store),
            self.shard,
            Arc::clone(&self.directory),
        )
    }

    /// Begins a checkpoint. Nothing of it counts before its commit; dropping it gives it up.
    pub fn begin(&mut self) -> CheckpointWriter<'_> {
        CheckpointWriter::new(self)
    }

    fn load(&mut self, key: Key) -> Result<Snapshot, StoreError> {
        let store = &*self.store;
        let value = store
            .get(&key.encode())?
            .ok_or_else(|| damaged(key, "it is missing"))?;
        let manifest = Manifest::decode(&envelope::open(key, &value)?)
            .map_err(|reason| damaged(key, reason))?;
        let at = Key::new(Kind::Directory, self.shard, manifest.directory.number);
        let bytes = chunk::get_named(store, at, manifest.directory.bytes)?;
        let listing = Listing::decode(&bytes).map_err(|reason| damaged(at, reason))?;
        if listing.generation != key.number {
            return Err(damaged(at, "it belongs to another checkpoint"));
        }
        let ledger_at = Key::new(Kind::Ledger, self.shard, manifest.ledger.number);
        let ledger = chunk::get_named(store, ledger_at, manifest.ledger.bytes)?;

        self.generation = key.number;
        self.lsn = manifest.lsn;
        self.number_next = manifest.number_next;
        self.roots = super::commit::roots(key, &manifest);
        self.garbage = super::commit::freed(self.shard, &listing);
        *self.directory.write() = Directory {
            pages: listing
                .pages
                .iter()
                .map(|page| (page.number, *page))
                .collect(),
            blocks: listing
                .blocks
                .iter()
                .map(|block| (block.number, *block))
                .collect(),
            records: listing
                .records
                .iter()
                .map(|block| (block.number, *block))
                .collect(),
        };
        Ok(Snapshot {
            lsn: manifest.lsn,
            time_ms: manifest.time_ms,
            ledger,
            pages: listing.pages,
            blocks: listing.blocks,
            records: listing.records,
        })
    }

    fn check_no_manifest_is_missing(&self, directories: &[Key]) -> Result<(), StoreError> {
        for key in directories.iter().filter(|key| key.part == 0) {
            let Some(value) = self.store.get(&key.encode())? else {
                continue;
            };
            let generation = directory::generation(&envelope::open(*key, &value)?)
                .map_err(|reason| damaged(*key, reason))?;
            if generation > self.generation.saturating_add(1) {
                let manifest = Key::new(Kind::Manifest, self.shard, generation - 1);
                return Err(damaged(
                    manifest,
                    "it is missing, and a later directory is there",
                ));
            }
        }
        Ok(())
    }

    /// The keys of a kind from a number on, in ascending order.
    fn keys(&self, kind: Kind, from: u64) -> Result<Vec<Key>, StoreError> {
        let mut keys = Vec::new();
        let mut foreign = false;
        let from = Key::new(kind, self.shard, from);
        self.store.keys(
            &prefix(kind, self.shard),
            &from.encode(),
            &mut |bytes| match Key::decode(kind, self.shard, bytes) {
                Some(key) => {
                    keys.push(key);
                    ControlFlow::Continue(())
                }
                None => {
                    foreign = true;
                    ControlFlow::Break(())
                }
            },
        )?;
        if foreign {
            Err(damaged(from, "a key of another form stands near it"))
        } else {
            Ok(keys)
        }
    }
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalog")
            .field("shard", &self.shard)
            .field("generation", &self.generation)
            .field("lsn", &self.lsn)
            .finish_non_exhaustive()
    }
}
