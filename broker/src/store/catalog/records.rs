//! Record blocks of a checkpoint: added under fresh numbers, dropped when no record of them is kept.

use super::chunk;
use super::key::{Key, Kind};
use super::snapshot::RecordBlockMeta;
use super::writer::{CheckpointWriter, keys};
use crate::store::StoreError;

impl CheckpointWriter<'_> {
    /// Adds the records of a partition with the offsets of `meta`, whose `number` and `bytes` are
    /// filled in. The bytes are kept as they are.
    pub fn add_records(
        &mut self,
        meta: RecordBlockMeta,
        bytes: &[u8],
    ) -> Result<RecordBlockMeta, StoreError> {
        if bytes.is_empty() || meta.first_offset >= meta.next_offset {
            return Err(StoreError::Refused {
                reason: "a record block needs a record",
            });
        }
        let too_large = |_| StoreError::TooLarge {
            what: "record block",
            bytes: bytes.len(),
            bytes_max: u32::MAX as usize,
        };
        let number = self.fresh_number()?;
        let meta = RecordBlockMeta {
            number,
            bytes: u32::try_from(bytes.len()).map_err(too_large)?,
            ..meta
        };
        // Noted before it is written: a put that fails may still have reached the disk.
        self.changes.records.insert(number, meta);
        let key = Key::new(Kind::Records, self.catalog.shard, number);
        chunk::put(&*self.catalog.store, key, &[], bytes)?;
        let stored_bytes = chunk::stored_bytes(bytes.len()) as u64;
        self.written_bytes += stored_bytes;
        self.flush_much(stored_bytes)?;
        Ok(meta)
    }

    /// Drops a record block.
    pub fn drop_records(&mut self, number: u64) -> Result<(), StoreError> {
        let shard = self.catalog.shard;
        if let Some(block) = self.changes.records.remove(&number) {
            self.catalog
                .garbage
                .extend(keys_of(shard, number, block.bytes));
            return Ok(());
        }
        let block = self.catalog.directory.read().records.get(&number).copied();
        let block = block.filter(|_| !self.changes.dropped_records.contains_key(&number));
        let Some(block) = block else {
            return Err(StoreError::Refused {
                reason: "drop_records names a block that is not there",
            });
        };
        self.changes.dropped_records.insert(number, block.bytes);
        Ok(())
    }
}

/// The keys of all parts of a record block of so many bytes.
pub(super) fn keys_of(shard: u16, number: u64, bytes: u32) -> impl Iterator<Item = Key> {
    let parts = chunk::parts(bytes as usize);
    keys(
        Kind::Records,
        shard,
        number,
        u16::try_from(parts).unwrap_or(u16::MAX),
    )
}
