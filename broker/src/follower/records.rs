//! Records: copied out of the journal into blocks of one partition each, as the bytes they are. What
//! retention has let go of by the time of the checkpoint never reaches the store.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use verteilt_core::{Ledger, Offset, PartitionId, RecordRun, TopicId};

use super::stopped;
use crate::engine::Failure;
use crate::journal::{JournalLog, Place};
use crate::store::{BlockReader, CheckpointWriter, RecordBlockMeta};

/// A block is closed once it holds this.
const BLOCK_BYTES: usize = 256 * 1024;
/// A smaller block at the end of a partition is joined with what follows it, if that is at least
/// half as much: so a slow partition has few blocks, and its bytes are copied a few times only.
const SMALL_BYTES: u32 = 64 * 1024;

/// What a checkpoint does about records.
pub(super) struct Records<'a, 'c> {
    pub(super) writer: &'a mut CheckpointWriter<'c>,
    pub(super) reader: &'a BlockReader,
    pub(super) ledger: &'a Ledger,
    /// Of the checkpoint before, in the order of places.
    blocks: Vec<RecordBlockMeta>,
    open: BTreeMap<PartitionId, OpenBlock>,
    written: Vec<RecordBlockMeta>,
}

#[derive(Default)]
struct OpenBlock {
    bytes: BytesMut,
    first_offset: Offset,
    next_offset: Offset,
    time_ms: u64,
    /// Nothing of the partition was written in this checkpoint so far.
    is_first: bool,
}

impl<'a, 'c> Records<'a, 'c> {
    /// Drops blocks of which no record is kept.
    pub(super) fn begin(
        writer: &'a mut CheckpointWriter<'c>,
        reader: &'a BlockReader,
        ledger: &'a Ledger,
        blocks: Vec<RecordBlockMeta>,
    ) -> Result<Self, Failure> {
        let mut kept = Vec::with_capacity(blocks.len());
        for block in blocks {
            let start = ledger.start_of(partition_of(&block));
            if start.is_some_and(|start| start < block.next_offset) {
                kept.push(block);
            } else {
                writer.drop_records(block.number)?;
            }
        }
        Ok(Self {
            writer,
            reader,
            ledger,
            blocks: kept,
            open: BTreeMap::new(),
            written: Vec::new(),
        })
    }

    /// Copies what is kept of these batches; returns all blocks that the checkpoint has, in order.
    pub(super) fn copy(
        mut self,
        log: &dyn JournalLog,
        batches: &[Place],
        is_stopped: impl Fn() -> bool,
    ) -> Result<Vec<RecordBlockMeta>, Failure> {
        for place in batches {
            let payload = log.read(*place)?;
            for (record, run) in RecordRun::scan_records(&payload)? {
                let start = self.ledger.start_of(run.partition);
                if start.is_some_and(|start| start < run.next_offset()) {
                    self.add(&run, &payload.slice(record))?;
                }
            }
            if is_stopped() {
                return Err(stopped().into());
            }
        }
        for (partition, block) in std::mem::take(&mut self.open) {
            self.close(partition, block)?;
        }
        let mut blocks = self.blocks;
        blocks.extend(self.written);
        blocks.sort_unstable_by_key(RecordBlockMeta::place);
        Ok(blocks)
    }

    fn add(&mut self, run: &RecordRun, record: &Bytes) -> Result<(), Failure> {
        let block = self.open.entry(run.partition).or_insert_with(|| OpenBlock {
            is_first: true,
            ..OpenBlock::default()
        });
        if block.bytes.is_empty() {
            block.first_offset = run.first_offset;
            block.time_ms = run.time_ms;
        }
        block.next_offset = run.next_offset();
        block.bytes.extend_from_slice(record);
        if block.bytes.len() >= BLOCK_BYTES {
            let full = std::mem::take(block);
            self.close(run.partition, full)?;
        }
        Ok(())
    }

    fn close(&mut self, partition: PartitionId, mut block: OpenBlock) -> Result<(), Failure> {
        if block.bytes.is_empty() {
            return Ok(());
        }
        if block.is_first {
            self.join_small(partition, &mut block)?;
        }
        let meta = RecordBlockMeta {
            number: 0,
            topic: partition.topic.0,
            partition: partition.number,
            first_offset: block.first_offset,
            next_offset: block.next_offset,
            time_ms: block.time_ms,
            bytes: 0,
        };
        self.written
            .push(self.writer.add_records(meta, &block.bytes)?);
        Ok(())
    }

    fn join_small(&mut self, partition: PartitionId, block: &mut OpenBlock) -> Result<(), Failure> {
        let end = (partition.topic.0, partition.number, block.first_offset);
        loop {
            let after = self.blocks.partition_point(|known| known.place() < end);
            let Some(at) = after.checked_sub(1) else {
                return Ok(());
            };
            let last = self.blocks[at];
            let is_worth_it =
                last.bytes < SMALL_BYTES && last.bytes as usize <= 2 * block.bytes.len();
            if partition_of(&last) != partition || !is_worth_it {
                return Ok(());
            }
            let bytes = self.reader.read_records(last.number, last.bytes)?;
            let mut joined = BytesMut::with_capacity(bytes.len() + block.bytes.len());
            joined.extend_from_slice(&bytes);
            joined.extend_from_slice(&block.bytes);
            block.bytes = joined;
            block.first_offset = last.first_offset;
            block.time_ms = last.time_ms;
            self.writer.drop_records(last.number)?;
            self.blocks.remove(at);
        }
    }
}

fn partition_of(block: &RecordBlockMeta) -> PartitionId {
    PartitionId {
        topic: TopicId(block.topic),
        number: block.partition,
    }
}
