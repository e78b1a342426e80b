//! The rule of writing, in the order in which it happens.

use std::collections::BTreeMap;

use super::directory::{self, Listing};
use super::envelope;
use super::key::{Key, Kind};
use super::manifest::{Manifest, Named};
use super::open::Catalog;
use super::snapshot::{BlockMeta, CheckpointSummary, PageMeta, RecordBlockMeta};
use super::writer::{CheckpointWriter, keys};
use super::{chunk, records};
use crate::store::StoreError;

impl CheckpointWriter<'_> {
    /// Makes the checkpoint count: it holds the state after the event `lsn` at broker time
    /// `time_ms`, with `ledger` of any size beside the pages and blocks.
    ///
    /// Ok promises that it is on the disk and that a start finds it, so the journal may be trimmed
    /// up to `lsn`. A refusal leaves the checkpoint before in force; after a final error nobody
    /// knows which of the two a start will find, but it finds one of them whole.
    pub fn commit(
        mut self,
        lsn: u64,
        time_ms: u64,
        ledger: &[u8],
    ) -> Result<CheckpointSummary, StoreError> {
        if lsn < self.catalog.lsn {
            return Err(StoreError::Refused {
                reason: "a checkpoint goes back in time",
            });
        }
        let listing = self.listing()?;
        let numbers = (self.fresh_number()?, self.fresh_number()?);
        let shard = self.catalog.shard;
        let directory = listing.encode();
        let manifest = Manifest {
            lsn,
            time_ms,
            number_next: self.catalog.number_next,
            directory: Named {
                number: numbers.0,
                bytes: directory.len() as u64,
            },
            ledger: Named {
                number: numbers.1,
                bytes: ledger.len() as u64,
            },
        };
        let key = Key::new(Kind::Manifest, shard, listing.generation);
        // Until the last flush below comes back, which checkpoint is the newest is an open question.
        self.catalog.failed = true;
        self.committed = true;
        let store = &*self.catalog.store;
        chunk::put(
            store,
            Key::new(Kind::Directory, shard, numbers.0),
            &directory,
            &[],
        )?;
        chunk::put(store, Key::new(Kind::Ledger, shard, numbers.1), ledger, &[])?;
        store.flush()?;
        let root = envelope::seal(key, &[&manifest.encode()]);
        store.put(&key.encode(), &root)?;
        store.flush()?;
        self.catalog.failed = false;

        let written_bytes = self.written_bytes
            + root.len() as u64
            + (chunk::stored_bytes(directory.len()) + chunk::stored_bytes(ledger.len())) as u64;
        let freed_values = self.adopt(key, &manifest)?;
        Ok(CheckpointSummary {
            generation: listing.generation,
            lsn,
            pages: listing.pages.len(),
            blocks: listing.blocks.len(),
            written_bytes,
            directory_bytes: directory.len() as u64,
            freed_values,
        })
    }

    /// What the checkpoint will name: what was, with the changes.
    fn listing(&self) -> Result<Listing, StoreError> {
        let changes = &self.changes;
        let before = self.catalog.directory.read();
        let mut pages: Vec<PageMeta> = before
            .pages
            .values()
            .filter(|page| !changes.dropped_pages.contains_key(&page.number))
            .chain(changes.pages.values())
            .copied()
            .collect();
        let mut blocks: Vec<BlockMeta> = before
            .blocks
            .values()
            .filter(|block| !changes.dropped_blocks.contains_key(&block.number))
            .chain(changes.blocks.values())
            .copied()
            .collect();
        for block in &mut blocks {
            block.live = changes
                .live
                .get(&block.number)
                .copied()
                .unwrap_or(block.live);
        }
        pages.sort_unstable_by_key(|page| page.first_id);
        blocks.sort_unstable_by_key(|block| block.first_id);
        if !pages.is_sorted_by(|a, b| a.last_id < b.first_id) {
            return Err(StoreError::Refused {
                reason: "the id ranges of two pages overlap",
            });
        }
        if !blocks.is_sorted_by(|a, b| a.last_id < b.first_id) {
            return Err(StoreError::Refused {
                reason: "the id ranges of two blocks overlap",
            });
        }
        let kept = before.records.values();
        let kept = kept.filter(|block| !changes.dropped_records.contains_key(&block.number));
        let mut records: Vec<RecordBlockMeta> =
            kept.chain(changes.records.values()).copied().collect();
        records.sort_unstable_by_key(RecordBlockMeta::place);
        if !directory::disjoint(&records) {
            return Err(StoreError::Refused {
                reason: "the offsets of two record blocks overlap",
            });
        }
        Ok(Listing {
            records,
            freed_records: self.freed_records(),
            generation: self.catalog.generation + 1,
            pages,
            blocks,
            freed_pages: self.freed(Kind::Page, &changes.dropped_pages),
            freed_blocks: self.freed(Kind::Block, &changes.dropped_blocks),
        })
    }

    /// What this checkpoint drops, and what earlier ones dropped and is still held: whatever is
    /// not deleted yet when the broker ends is found again by this list only.
    fn freed(&self, kind: Kind, dropped: &BTreeMap<u64, u16>) -> Vec<(u64, u16)> {
        let mut freed = dropped.clone();
        for key in self.catalog.held.iter().filter(|key| key.kind == kind) {
            let parts = freed.entry(key.number).or_default();
            let more = u16::try_from(key.part + 1).unwrap_or(u16::MAX);
            *parts = more.max(*parts);
        }
        freed.into_iter().collect()
    }

    /// As [`Self::freed`]; record blocks are listed with their bytes, which give the parts.
    fn freed_records(&self) -> Vec<(u64, u32)> {
        let mut freed = self.changes.dropped_records.clone();
        let held = self.catalog.held.iter();
        for key in held.filter(|key| key.kind == Kind::Records) {
            let bytes = freed.entry(key.number).or_default();
            let upto = (key.part as usize + 1) * envelope::PAYLOAD_BYTES_MAX;
            let upto = u32::try_from(upto).unwrap_or(u32::MAX);
            *bytes = upto.max(*bytes);
        }
        freed.into_iter().collect()
    }

    /// Takes the committed checkpoint as the newest one and deletes what it freed.
    fn adopt(&mut self, key: Key, manifest: &Manifest) -> Result<u64, StoreError> {
        let catalog = &mut *self.catalog;
        let changes = &mut self.changes;
        {
            // Before anything is deleted: a reader tells a drop from a loss by this.
            let mut directory = catalog.directory.write();
            directory
                .pages
                .retain(|number, _| !changes.dropped_pages.contains_key(number));
            directory
                .blocks
                .retain(|number, _| !changes.dropped_blocks.contains_key(number));
            directory.pages.append(&mut changes.pages);
            directory.blocks.append(&mut changes.blocks);
            directory
                .records
                .retain(|number, _| !changes.dropped_records.contains_key(number));
            directory.records.append(&mut changes.records);
            for (number, live) in &changes.live {
                if let Some(block) = directory.blocks.get_mut(number) {
                    block.live = *live;
                }
            }
        }
        catalog.generation = key.number;
        catalog.lsn = manifest.lsn;
        let old = std::mem::replace(&mut catalog.roots, roots(key, manifest));
        catalog.garbage.extend(old);
        for (number, parts) in &changes.dropped_pages {
            let freed = keys(Kind::Page, catalog.shard, *number, *parts);
            catalog.garbage.extend(freed);
        }
        for (number, parts) in &changes.dropped_blocks {
            let freed = keys(Kind::Block, catalog.shard, *number, *parts);
            catalog.garbage.extend(freed);
        }
        for (number, bytes) in &changes.dropped_records {
            let freed = records::keys_of(catalog.shard, *number, *bytes);
            catalog.garbage.extend(freed);
        }
        let freed_values = catalog.garbage.len() as u64;
        catalog.sweep()?;
        Ok(freed_values)
    }
}

impl Catalog {
    /// Deletes what no manifest names, but for what somebody reads. The next flush makes it last;
    /// until then a crash may bring it back, and the next start finds it again.
    pub(super) fn sweep(&mut self) -> Result<(), StoreError> {
        if self.failed {
            let reason = "an earlier checkpoint failed half way".into();
            return Err(StoreError::Failed { reason });
        }
        self.pins.retain(|pin| pin.strong_count() > 0);
        if self.pins.is_empty() {
            self.garbage.append(&mut self.held);
        }
        for key in std::mem::take(&mut self.garbage) {
            if self.is_pinned(key) {
                self.held.push(key);
            } else {
                self.store.delete(&key.encode())?;
            }
        }
        Ok(())
    }
}

/// The values a checkpoint has beside pages and blocks.
pub(super) fn roots(key: Key, manifest: &Manifest) -> Vec<Key> {
    let mut roots = vec![key];
    let named = [
        (Kind::Directory, manifest.directory),
        (Kind::Ledger, manifest.ledger),
    ];
    for (kind, named) in named {
        let first = Key::new(kind, key.shard, named.number);
        let parts = chunk::parts(usize::try_from(named.bytes).unwrap_or(usize::MAX));
        roots.extend((0..u32::try_from(parts).unwrap_or(u32::MAX)).map(|part| first.part(part)));
    }
    roots
}

/// The values that a checkpoint no longer names and the one before did.
pub(super) fn freed(shard: u16, listing: &Listing) -> Vec<Key> {
    let both = [
        (Kind::Page, &listing.freed_pages),
        (Kind::Block, &listing.freed_blocks),
    ];
    let mut freed = Vec::new();
    for (kind, numbers) in both {
        for (number, parts) in numbers {
            freed.extend(keys(kind, shard, *number, *parts));
        }
    }
    for (number, bytes) in &listing.freed_records {
        freed.extend(records::keys_of(shard, *number, *bytes));
    }
    freed
}
