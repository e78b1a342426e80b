//! A disk in memory: it knows what was synced and what was not, fails on demand, and outlives a
//! crash. Nothing here depends on time, threads or chance.

use std::{collections::VecDeque, io, path::PathBuf, sync::Arc};

use parking_lot::Mutex;

use super::{
    Batch, JournalError, Place, Recovered,
    header::{BatchHeader, HEADER_BYTES},
    index::Index,
    layout::{SECTOR_BYTES, batch_extent, fits},
    ready::ShardEnds,
};

/// What a crash does to the bytes that were written and not synced: at most one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// They had reached the disk all the same; the batch is there after the crash.
    Keep,
    /// None of them had reached the disk.
    Drop,
    /// Only so many of them had, counted from the start of the batch; its header is 72 bytes.
    Tear {
        /// How many bytes reached the disk. All of them is the same as [`Crash::Keep`].
        bytes: u32,
    },
}

/// The disk under a [`MemoryJournal`](super::MemoryJournal). Clones are the same disk.
#[derive(Debug, Clone)]
pub struct MemoryDisk {
    pub(super) content: Arc<Mutex<Content>>,
}

impl MemoryDisk {
    /// An empty disk. Batches lie in segments of this size just as in files, so that trimming and
    /// places are the same as those of the file journal.
    #[must_use]
    pub fn new(segment_bytes: u32) -> Self {
        let content = Content {
            segment_bytes,
            next_number: 1,
            ready_bytes: u64::MAX,
            ..Content::default()
        };
        Self {
            content: Arc::new(Mutex::new(content)),
        }
    }

    /// Lets the n-th write from now fail, 1 being the next: nothing of it reaches the disk.
    pub fn fail_append(&self, n: u64) {
        self.content.lock().fail_append = n;
    }

    /// Lets the n-th sync from now fail, 1 being the next: the batch is written and not synced,
    /// and a [`MemoryDisk::crash`] decides what becomes of it.
    pub fn fail_sync(&self, n: u64) {
        self.content.lock().fail_sync = n;
    }

    /// Cuts the power: an open journal on this disk fails from now on, what was synced stays, and
    /// `how` says what becomes of the rest. Without a crash, opening again finds the rest whole,
    /// as the page cache would show it. Faults that are still to come are forgotten.
    pub fn crash(&self, how: Crash) {
        let mut content = self.content.lock();
        content.openings += 1;
        (content.fail_append, content.fail_sync) = (0, 0);
        let Some(unsynced) = content.unsynced.take() else {
            return;
        };
        let bytes = HEADER_BYTES as u32 + unsynced.header.payload_bytes;
        match how {
            Crash::Keep => content.take_in(unsynced),
            Crash::Tear { bytes: kept } if kept >= bytes => content.take_in(unsynced),
            Crash::Tear { bytes: 0 } | Crash::Drop => {}
            // A header that is not whole cannot tell the size of its batch.
            Crash::Tear { bytes: kept } if (kept as usize) < HEADER_BYTES => {
                content.torn_bytes = SECTOR_BYTES.into();
            }
            Crash::Tear { .. } => content.torn_bytes = bytes.into(),
        }
    }

    /// What [`super::JournalLog::ready_bytes`] tells from now on; without an end at first.
    pub fn tell_ready_bytes(&self, bytes: u64) {
        self.content.lock().ready_bytes = bytes;
    }

    /// True while a written batch is not synced: after a sync failed, and before the next open.
    #[must_use]
    pub fn has_unsynced(&self) -> bool {
        self.content.lock().unsynced.is_some()
    }
}

/// A written batch.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) header: BatchHeader,
    pub(super) batch: Batch,
}

impl Stored {
    pub(super) fn place(&self) -> Place {
        Place {
            segment: self.header.segment,
            offset: self.header.offset + HEADER_BYTES as u32,
            length: self.header.payload_bytes,
        }
    }
}

#[derive(Debug)]
pub(super) struct MemorySegment {
    pub(super) number: u64,
    pub(super) index: Index,
    pub(super) batches: Vec<Stored>,
}

#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) segment_bytes: u32,
    pub(super) segments: VecDeque<MemorySegment>,
    /// What this opening knows of the shards.
    pub(super) shards: Vec<ShardEnds>,
    pub(super) is_sealed: bool,
    /// Grows with every open and every crash: an older journal sees that it is over.
    pub(super) openings: u64,
    pub(super) ready_bytes: u64,
    unsynced: Option<Stored>,
    torn_bytes: u64,
    next_number: u64,
    sequence: u64,
    /// Countdowns to a fault; 0 is none.
    fail_append: u64,
    fail_sync: u64,
}

impl Content {
    /// What an open finds.
    pub(super) fn open(&mut self) -> Recovered {
        self.openings += 1;
        if let Some(unsynced) = self.unsynced.take() {
            self.take_in(unsynced);
        }
        if self.segments.is_empty() {
            self.add_segment();
        }
        self.shards.clear();
        let mut recovered = Recovered {
            cut_bytes: std::mem::take(&mut self.torn_bytes),
            ..Recovered::default()
        };
        for segment in &self.segments {
            for stored in &segment.batches {
                let header = &stored.header;
                recovered.last_time_ms = recovered.last_time_ms.max(header.time_ms);
                recovered.scanned_bytes += u64::from(batch_extent(header.payload_bytes));
                shard_mut(&mut self.shards, header.shard).durable_lsn = header.last_lsn();
            }
        }
        self.shards.sort_unstable_by_key(|ends| ends.shard);
        if let Some(ends) = self.shards.first() {
            recovered.first_lsn = self.first_lsn(ends.shard);
            recovered.last_lsn = Some(ends.durable_lsn);
        }
        let newest = self
            .segments
            .iter()
            .rev()
            .find_map(|segment| segment.batches.last());
        self.is_sealed = newest.is_none_or(|stored| stored.header.is_seal());
        recovered
    }

    /// Writes and syncs one batch.
    pub(super) fn write(&mut self, batch: &Batch) -> Result<Place, JournalError> {
        let payload_bytes = u32::try_from(batch.payload.len()).expect("a batch is at most 16 MiB");
        let end = self
            .segments
            .back()
            .map_or(self.segment_bytes, |newest| newest.index.end);
        if !fits(end, payload_bytes, self.segment_bytes) {
            self.add_segment();
        }
        if strikes(&mut self.fail_append) {
            return Err(injected("write"));
        }
        let newest = self.segments.back().expect("just made when there was none");
        let mut header =
            BatchHeader::new(batch, newest.number, newest.index.end, self.sequence + 1);
        header.payload_checksum = crc32c::crc32c(&batch.payload);
        let stored = Stored {
            header,
            batch: batch.clone(),
        };
        let place = stored.place();
        if strikes(&mut self.fail_sync) {
            self.unsynced = Some(stored);
            return Err(injected("sync"));
        }
        self.take_in(stored);
        Ok(place)
    }

    /// Makes a written batch durable.
    fn take_in(&mut self, stored: Stored) {
        let header = stored.header;
        self.sequence = header.sequence;
        shard_mut(&mut self.shards, header.shard).durable_lsn = header.last_lsn();
        self.is_sealed = header.is_seal();
        let newest = self
            .segments
            .back_mut()
            .expect("a batch is written to a segment");
        newest
            .index
            .add(&header, header.offset + batch_extent(header.payload_bytes));
        newest.batches.push(stored);
    }

    fn add_segment(&mut self) {
        let index = Index::new(self.segment_bytes);
        let number = self.next_number;
        self.segments.push_back(MemorySegment {
            number,
            index,
            batches: Vec::new(),
        });
        self.next_number += 1;
    }

    pub(super) fn durable_lsn(&self, shard: u16) -> u64 {
        self.shards
            .iter()
            .find(|ends| ends.shard == shard)
            .map_or(0, |ends| ends.durable_lsn)
    }

    pub(super) fn first_lsn(&self, shard: u16) -> Option<u64> {
        let mut ranges = self
            .segments
            .iter()
            .filter_map(|segment| segment.index.range(shard));
        ranges.next().map(|range| range.first_lsn)
    }

    /// Drops the oldest segments as long as nothing in them is needed; never the newest one that
    /// holds events.
    pub(super) fn trim(&mut self, shard: u16, lsn: u64) {
        let ends = shard_mut(&mut self.shards, shard);
        ends.trimmed_lsn = ends.trimmed_lsn.max(lsn);
        let newest = self
            .segments
            .iter()
            .rposition(|it| !it.index.ranges().is_empty());
        for _ in 0..newest.unwrap_or(0) {
            let is_needed = self.segments[0].index.ranges().iter().any(|range| {
                let ends = self.shards.iter().find(|ends| ends.shard == range.shard);
                ends.is_none_or(|ends| ends.trimmed_lsn < range.last_lsn)
            });
            if is_needed {
                return;
            }
            self.segments.pop_front();
        }
    }
}

fn shard_mut(shards: &mut Vec<ShardEnds>, shard: u16) -> &mut ShardEnds {
    let found = shards.iter().position(|ends| ends.shard == shard);
    let index = found.unwrap_or_else(|| {
        shards.push(ShardEnds {
            shard,
            ..ShardEnds::default()
        });
        shards.len() - 1
    });
    &mut shards[index]
}

/// Counts down; true when the fault is due now.
fn strikes(countdown: &mut u64) -> bool {
    let is_due = *countdown == 1;
    *countdown = countdown.saturating_sub(1);
    is_due
}

fn injected(op: &'static str) -> JournalError {
    let source = io::Error::other("injected fault");
    JournalError::Io {
        path: PathBuf::from("memory"),
        op,
        source,
    }
}
