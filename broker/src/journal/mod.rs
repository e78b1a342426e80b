//! The journal: the one thing that an acknowledgement waits for.
//!
//! A shard's events leave the engine as batches. A batch is appended whole, and `Ok` means that its
//! bytes are on the disk. Everything else (replies, deliveries, the store) comes after.
//!
//! Start with the two traits here. [`FileJournal`] keeps the batches in preallocated segment files;
//! [`MemoryJournal`] keeps them in memory and fails on demand, for tests and for the simulator. One
//! conformance suite runs on both.
//!
//! | file | what it decides or does |
//! |---|---|
//! | `file.rs` | append and seal: one write and one fdatasync a batch |
//! | `log.rs` | the shared half: read, next, trim |
//! | `recovery.rs`, `scan.rs` | what an existing folder holds, what is torn, what is damaged |
//! | `inspect.rs` | the same without changing anything, for the offline check |
//! | `preparer.rs`, `ready.rs` | the thread that makes and recycles segments ahead of need |
//! | `folder.rs`, `names.rs` | what the files of a folder are, and tidying up after a crash |
//! | `header.rs`, `segment.rs`, `identity.rs`, `watermark.rs`, `layout.rs` | the formats |
//! | `aligned.rs` | memory for writes past the page cache |
//! | `disk.rs` | every system call that touches the disk, in one place |

mod aligned;
mod disk;
mod error;
mod file;
mod folder;
mod header;
mod identity;
mod index;
mod inspect;
mod latch;
mod layout;
mod log;
mod memory;
mod memory_disk;
mod meters;
mod names;
mod options;
mod preparer;
mod ready;
mod recovery;
mod scan;
mod segment;
#[cfg(test)]
mod tests;
mod watermark;

use std::sync::Arc;

use bytes::Bytes;

pub use error::JournalError;
pub use file::FileJournal;
pub(crate) use inspect::{InspectedFile, inspect, no_batches};
pub use memory::MemoryJournal;
pub use memory_disk::{Crash, MemoryDisk};
pub use options::JournalOptions;

/// The most payload bytes that one batch may carry.
pub const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;

/// One group of a shard's events: appended whole, durable whole, read whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The shard whose events these are.
    pub shard: u16,
    /// The log sequence number of the first event; the others follow without a gap. Starts at 1.
    pub first_lsn: u64,
    /// How many events the payload holds; 0 only in the empty batch that seals the one before.
    pub events: u32,
    /// Broker time of the batch in milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// The encoded events, opaque to the journal; at most [`BATCH_BYTES_MAX`].
    pub payload: Bytes,
}

impl Batch {
    /// The log sequence number of the last event. For a seal, that of the batch before it.
    #[must_use]
    pub fn last_lsn(&self) -> u64 {
        (self.first_lsn + u64::from(self.events)).saturating_sub(1)
    }
}

/// Where the payload of a durable batch, or a part of it, lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Use number of the segment. Never given twice, so a place in a recycled file is not mistaken.
    pub segment: u64,
    /// Offset of the first byte in the segment file.
    pub offset: u32,
    /// Length in bytes.
    pub length: u32,
}

impl Place {
    /// The part of this place that starts `offset` bytes in and is `length` bytes long.
    /// `None` when that reaches beyond its end.
    #[must_use]
    pub fn part(self, offset: u32, length: u32) -> Option<Self> {
        let end = offset.checked_add(length)?;
        (end <= self.length).then(|| Self {
            segment: self.segment,
            offset: self.offset + offset,
            length,
        })
    }
}

/// What an open found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovered {
    /// The oldest log sequence number still held, of the lowest shard (version 1 runs one shard;
    /// [`JournalLog::first_lsn`] answers for any). `None` when there is no batch.
    pub first_lsn: Option<u64>,
    /// The newest log sequence number held, of the same shard.
    pub last_lsn: Option<u64>,
    /// The latest time that any batch carries; 0 when there is none.
    pub last_time_ms: u64,
    /// Size of the torn last batch that was cut, which nobody was ever told of: as far as its own
    /// header tells it, else one sector. 0 when the end was clean.
    pub cut_bytes: u64,
    /// How many bytes were read and checked.
    pub scanned_bytes: u64,
}

/// The append half: one owner at a time. Blocking.
pub trait Journal: Send {
    /// Appends a batch. The first one of a shard may start at any number from 1; every other one
    /// must follow the last without a gap.
    ///
    /// `Ok` promises that the whole batch is on the disk, and that from now on readers see it.
    ///
    /// # Errors
    /// Every error is final: whether the batch is on the disk is unknown, and every later call
    /// fails with [`JournalError::Failed`]. Only opening again finds out.
    fn append(&mut self, batch: &Batch) -> Result<Place, JournalError>;

    /// Writes an empty batch behind the last one, so that damage to the last one can be told from
    /// a torn write. Does nothing when the last one is sealed, or when there is none. `Ok` promises
    /// that the seal is on the disk.
    ///
    /// # Errors
    /// As for [`Journal::append`].
    fn seal(&mut self) -> Result<(), JournalError>;

    /// Whether a payload of so many bytes fits behind the last batch, so that appending it waits for
    /// nothing but its own write.
    fn has_room(&self, payload_bytes: usize) -> bool;

    /// The half that can be shared. It stays readable after the journal is dropped.
    fn log(&self) -> Arc<dyn JournalLog>;
}

/// The shared half: read what is durable, and let go of what is no longer needed.
pub trait JournalLog: Send + Sync + std::fmt::Debug {
    /// Reads the payload at `place`, or any part of it. The segment is held while it is read, so
    /// it is never recycled under the reader. The bytes are not checked against the checksum of
    /// the batch, which covers the whole; [`JournalLog::next`] does that.
    ///
    /// # Errors
    /// [`JournalError::Trimmed`] when the segment is gone, [`JournalError::NotDurable`] when the
    /// place reaches beyond what is durable, [`JournalError::Failed`] after a failure.
    fn read(&self, place: Place) -> Result<Bytes, JournalError>;

    /// The first durable batch of `shard` that holds anything after `after_lsn`, its checksum
    /// proved. Seals are passed over. `None` at the durable end. With 0 it starts at the oldest
    /// batch held, whatever its number.
    ///
    /// # Errors
    /// [`JournalError::Trimmed`] when `after_lsn + 1` was trimmed (a reader that fell behind must
    /// not skip in silence), [`JournalError::Damaged`] when the bytes changed on the disk.
    fn next(&self, shard: u16, after_lsn: u64) -> Result<Option<(Batch, Place)>, JournalError>;

    /// Says that everything of `shard` up to and with `lsn` is safe elsewhere. Segments that hold
    /// nothing else are recycled or deleted, oldest first; never the one with the newest batch.
    ///
    /// # Errors
    /// [`JournalError::Failed`] after a failure, [`JournalError::Closed`] after the journal ended.
    fn trim(&self, shard: u16, lsn: u64) -> Result<(), JournalError>;

    /// The newest durable log sequence number of `shard`; 0 when the journal knows none.
    fn durable_lsn(&self, shard: u16) -> u64;

    /// The oldest log sequence number of `shard` that can still be read.
    fn first_lsn(&self, shard: u16) -> Option<u64>;

    /// Bytes that wait to be trimmed: whole segments, and the written part of the last.
    fn used_bytes(&self) -> u64;

    /// Bytes that can be appended before another segment has to be made. When the disk is full
    /// this shrinks towards 0; hold pushes before it does, for appends then wait and in the end
    /// fail.
    fn ready_bytes(&self) -> u64;

    /// Whether trimmed files are kept for their next use, as they are at first. While they are not,
    /// those that are there already are deleted, too: their room is somebody else's.
    fn keep_spares(&self, keep: bool);
}
