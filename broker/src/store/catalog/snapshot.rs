//! What a checkpoint holds, as others see it.

use bytes::Bytes;

/// One block of bodies, as the directory knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockMeta {
    /// The number of the block in its shard, never used twice.
    pub number: u64,
    /// The lowest job id in it.
    pub first_id: u64,
    /// The highest job id in it.
    pub last_id: u64,
    /// How many bodies it holds.
    pub entries: u32,
    /// How many of them belong to jobs that still exist; kept by the caller, `entries` at first.
    pub live: u32,
    /// What it takes in the store, in bytes, envelopes included.
    pub bytes: u32,
    /// Over how many values it is spread.
    pub parts: u16,
}

/// One page of index records, as the directory knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageMeta {
    /// The number of the page in its shard, never used twice.
    pub number: u64,
    /// The lowest job id in it.
    pub first_id: u64,
    /// The highest job id in it.
    pub last_id: u64,
    /// How many records it holds.
    pub records: u32,
    /// Over how many values it is spread.
    pub parts: u16,
}

/// One block of records of a partition, as the directory knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordBlockMeta {
    /// The number of the block in its shard, never used twice.
    pub number: u64,
    /// The topic.
    pub topic: u32,
    /// The partition of the topic.
    pub partition: u32,
    /// The offset of the first record in it.
    pub first_offset: u64,
    /// The offset behind the last.
    pub next_offset: u64,
    /// When the first record came, in milliseconds of broker time.
    pub time_ms: u64,
    /// How many bytes were put in.
    pub bytes: u32,
}

impl RecordBlockMeta {
    /// By partition, then offset: the order in which blocks are listed.
    pub fn place(&self) -> (u32, u32, u64) {
        (self.topic, self.partition, self.first_offset)
    }
}

/// The body of one job with its headers in front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// The id of the job.
    pub id: u64,
    /// How many of the bytes are the header block.
    pub header_length: u32,
    /// The header block, then the body.
    pub bytes: Bytes,
}

/// The newest checkpoint of a shard, as found when the store was opened. The pages are read with
/// [`BlockReader::read_page`](super::BlockReader::read_page).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The state holds every event up to this LSN and none after it.
    pub lsn: u64,
    /// Broker time of that LSN, in milliseconds.
    pub time_ms: u64,
    /// The small state beside the jobs, opaque to the store.
    pub ledger: Bytes,
    /// The pages in ascending order of id; their ranges are disjoint.
    pub pages: Vec<PageMeta>,
    /// The blocks in ascending order of id; their ranges are disjoint.
    pub blocks: Vec<BlockMeta>,
    /// The record blocks, each partition in ascending order of offset; their ranges are disjoint.
    pub records: Vec<RecordBlockMeta>,
}

/// What a committed checkpoint was, for the log and the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointSummary {
    /// Counts the checkpoints of the shard from 1.
    pub generation: u64,
    /// The journal may be trimmed up to here.
    pub lsn: u64,
    /// Pages in all.
    pub pages: usize,
    /// Blocks in all.
    pub blocks: usize,
    /// What this checkpoint wrote into the store, in bytes, without the store's own overhead.
    pub written_bytes: u64,
    /// Of that, the directory.
    pub directory_bytes: u64,
    /// How many values it freed.
    pub freed_values: u64,
}
