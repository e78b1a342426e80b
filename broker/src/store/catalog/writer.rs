//! Writing the blocks and pages of a checkpoint; `commit.rs` makes it count.

use std::collections::BTreeMap;
use std::fmt;

use super::block::{self, BlockRoom};
use super::key::{Key, Kind};
use super::open::Catalog;
use super::snapshot::{BlockMeta, Body, PageMeta, RecordBlockMeta};
use super::{PAGE_BYTES_MAX, chunk, records};
use crate::store::StoreError;

/// A checkpoint in the making: what it adds is in the store at once, under fresh numbers, and
/// counts from [`CheckpointWriter::commit`] on. Dropped without a commit it leaves the checkpoint
/// before as it was, and the next one deletes what it added.
///
/// A final error of any call means that the store has failed; any other leaves the writer as it was
/// before that call.
pub struct CheckpointWriter<'a> {
    pub(super) catalog: &'a mut Catalog,
    pub(super) changes: Changes,
    pub(super) written_bytes: u64,
    /// Since the last flush.
    unflushed_bytes: u64,
    pub(super) committed: bool,
}

/// The engine holds in memory what it has not flushed; so much of it at most.
const UNFLUSHED_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What a checkpoint changes in the directory.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) blocks: BTreeMap<u64, BlockMeta>,
    pub(super) pages: BTreeMap<u64, PageMeta>,
    pub(super) records: BTreeMap<u64, RecordBlockMeta>,
    pub(super) live: BTreeMap<u64, u32>,
    /// Of earlier checkpoints, with their parts.
    pub(super) dropped_blocks: BTreeMap<u64, u16>,
    /// Of earlier checkpoints, with their parts.
    pub(super) dropped_pages: BTreeMap<u64, u16>,
    /// Of earlier checkpoints, with their bytes.
    pub(super) dropped_records: BTreeMap<u64, u32>,
}

impl<'a> CheckpointWriter<'a> {
    pub(super) fn new(catalog: &'a mut Catalog) -> Self {
        Self {
            catalog,
            changes: Changes::default(),
            written_bytes: 0,
            unflushed_bytes: 0,
            committed: false,
        }
    }

    /// Adds a block of bodies in ascending order of id. Several have to fit one value, which
    /// [`BlockRoom`] counts; a single one may have any size up to the body limit.
    pub fn add_block(&mut self, bodies: &[Body]) -> Result<BlockMeta, StoreError> {
        let encoded = block::encode(bodies)?;
        let number = self.fresh_number()?;
        let (first, last) = (&bodies[0], &bodies[bodies.len() - 1]);
        let entries = u32::try_from(bodies.len()).map_err(|_| StoreError::TooLarge {
            what: "block (in bodies)",
            bytes: bodies.len(),
            bytes_max: u32::MAX as usize,
        })?;
        let meta = BlockMeta {
            number,
            first_id: first.id,
            last_id: last.id,
            entries,
            live: entries,
            bytes: encoded.bytes,
            parts: encoded.parts,
        };
        // Noted before it is written: a put that fails may still have reached the disk.
        self.changes.blocks.insert(number, meta);
        self.written_bytes += u64::from(encoded.bytes);
        let key = Key::new(Kind::Block, self.catalog.shard, number);
        chunk::put(&*self.catalog.store, key, &encoded.head, &encoded.tail)?;
        self.flush_much(u64::from(encoded.bytes))?;
        Ok(meta)
    }

    /// Flushes now and then. It counts for nothing: only the manifest makes a checkpoint.
    pub(super) fn flush_much(&mut self, more_bytes: u64) -> Result<(), StoreError> {
        self.unflushed_bytes += more_bytes;
        if self.unflushed_bytes >= UNFLUSHED_BYTES_MAX {
            self.unflushed_bytes = 0;
            self.catalog.store.flush()?;
        }
        Ok(())
    }

    /// Packs bodies in ascending order of id into as few blocks as they need.
    pub fn add_bodies(&mut self, bodies: &[Body]) -> Result<Vec<BlockMeta>, StoreError> {
        let mut blocks = Vec::new();
        let mut rest = bodies;
        while !rest.is_empty() {
            let mut room = BlockRoom::new();
            let fit = rest
                .iter()
                .take_while(|body| room.take(body.bytes.len()))
                .count();
            let (block, after) = rest.split_at(fit);
            blocks.push(self.add_block(block)?);
            rest = after;
        }
        Ok(blocks)
    }

    /// Adds a page of `records` index records for jobs of this range of ids; its bytes, at most
    /// [`PAGE_BYTES_MAX`], are kept as they are.
    pub fn add_page(
        &mut self,
        first_id: u64,
        last_id: u64,
        records: u32,
        bytes: &[u8],
    ) -> Result<PageMeta, StoreError> {
        if bytes.len() > PAGE_BYTES_MAX {
            return Err(StoreError::TooLarge {
                what: "page",
                bytes: bytes.len(),
                bytes_max: PAGE_BYTES_MAX,
            });
        }
        if first_id > last_id {
            return Err(StoreError::Refused {
                reason: "a page ends before it starts",
            });
        }
        let number = self.fresh_number()?;
        let parts = u16::try_from(chunk::parts(bytes.len())).expect("a page has its limit");
        let meta = PageMeta {
            number,
            first_id,
            last_id,
            records,
            parts,
        };
        self.changes.pages.insert(number, meta);
        self.written_bytes += chunk::stored_bytes(bytes.len()) as u64;
        let key = Key::new(Kind::Page, self.catalog.shard, number);
        chunk::put(&*self.catalog.store, key, &[], bytes)?;
        Ok(meta)
    }

    /// Notes how many bodies of a block still belong to a job.
    pub fn set_live(&mut self, number: u64, live: u32) -> Result<(), StoreError> {
        let Some(block) = self.block(number) else {
            return Err(StoreError::Refused {
                reason: "set_live names a block that is not there",
            });
        };
        if live > block.entries {
            return Err(StoreError::Refused {
                reason: "more bodies live than a block holds",
            });
        }
        match self.changes.blocks.get_mut(&number) {
            Some(added) => added.live = live,
            None => _ = self.changes.live.insert(number, live),
        }
        Ok(())
    }

    /// Drops a block: no job has its body there any more once this checkpoint is committed.
    pub fn drop_block(&mut self, number: u64) -> Result<(), StoreError> {
        let Some(block) = self.block(number) else {
            return Err(StoreError::Refused {
                reason: "drop_block names a block not there",
            });
        };
        if self.changes.blocks.remove(&number).is_some() {
            // No manifest has named it and none will: it goes before the next flush.
            self.catalog
                .garbage
                .extend(keys(Kind::Block, self.catalog.shard, number, block.parts));
        } else {
            self.changes.live.remove(&number);
            self.changes.dropped_blocks.insert(number, block.parts);
        }
        Ok(())
    }

    /// Drops a page.
    pub fn drop_page(&mut self, number: u64) -> Result<(), StoreError> {
        let shard = self.catalog.shard;
        if let Some(page) = self.changes.pages.remove(&number) {
            let keys = keys(Kind::Page, shard, number, page.parts);
            self.catalog.garbage.extend(keys);
            return Ok(());
        }
        let page = self.catalog.directory.read().pages.get(&number).copied();
        if let Some(page) = page
            && self
                .changes
                .dropped_pages
                .insert(number, page.parts)
                .is_none()
        {
            Ok(())
        } else {
            Err(StoreError::Refused {
                reason: "drop_page names a page that is not there",
            })
        }
    }

    /// The next number, once the store is fit to be written to.
    pub(super) fn fresh_number(&mut self) -> Result<u64, StoreError> {
        self.catalog.sweep()?;
        let number = self.catalog.number_next;
        self.catalog.number_next = number.checked_add(1).ok_or(StoreError::Refused {
            reason: "the shard has used up its numbers",
        })?;
        Ok(number)
    }

    /// A block that this checkpoint would name if it were committed now; `live` may be out of date.
    fn block(&self, number: u64) -> Option<BlockMeta> {
        if let Some(added) = self.changes.blocks.get(&number) {
            return Some(*added);
        }
        if self.changes.dropped_blocks.contains_key(&number) {
            return None;
        }
        self.catalog.directory.read().blocks.get(&number).copied()
    }
}

impl Drop for CheckpointWriter<'_> {
    fn drop(&mut self) {
        if self.committed {
            return;
        }
        let shard = self.catalog.shard;
        let garbage = &mut self.catalog.garbage;
        for block in self.changes.blocks.values() {
            garbage.extend(keys(Kind::Block, shard, block.number, block.parts));
        }
        for page in self.changes.pages.values() {
            garbage.extend(keys(Kind::Page, shard, page.number, page.parts));
        }
        for block in self.changes.records.values() {
            garbage.extend(records::keys_of(shard, block.number, block.bytes));
        }
    }
}

/// The keys of all parts of a block or page.
pub(super) fn keys(kind: Kind, shard: u16, number: u64, parts: u16) -> impl Iterator<Item = Key> {
    (0..u32::from(parts)).map(move |part| Key::new(kind, shard, number).part(part))
}

impl fmt::Debug for CheckpointWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckpointWriter")
            .field("catalog", &self.catalog)
            .field("changes", &self.changes)
            .finish_non_exhaustive()
    }
}
