//! The journal in memory, for tests and for the simulator: deterministic, and able to fail.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;

use super::{
    Batch, Journal, JournalError, JournalLog, JournalOptions, Place, Recovered,
    latch::Latch,
    layout::DATA_OFFSET,
    memory_disk::{Content, MemoryDisk},
};

/// The append half. Keeps its batches on a [`MemoryDisk`], which outlives it.
#[derive(Debug)]
pub struct MemoryJournal {
    log: Arc<MemoryLog>,
    /// The shard, number and time of the last batch.
    last: (u16, u64, u64),
}

impl MemoryJournal {
    /// Opens what is on `disk`. A journal that was open on it before is over.
    #[must_use]
    pub fn open(disk: &MemoryDisk) -> (Self, Recovered) {
        let mut content = disk.content.lock();
        let recovered = content.open();
        let newest = content
            .segments
            .iter()
            .rev()
            .find_map(|segment| segment.batches.last());
        let last = newest.map_or((0, 0, 0), |stored| {
            (
                stored.header.shard,
                stored.header.last_lsn(),
                recovered.last_time_ms,
            )
        });
        let opening = content.openings;
        drop(content);
        let log = MemoryLog {
            disk: disk.clone(),
            opening,
            latch: Latch::default(),
            is_closed: AtomicBool::new(false),
        };
        (
            Self {
                log: Arc::new(log),
                last,
            },
            recovered,
        )
    }

    fn try_append(&mut self, batch: &Batch) -> Result<Place, JournalError> {
        self.log.check()?;
        let mut content = self.log.disk.content.lock();
        if batch.events == 0 {
            return Err(JournalError::EmptyBatch { shard: batch.shard });
        }
        let bytes = batch.payload.len();
        let bytes_max = JournalOptions::batch_bytes_max(content.segment_bytes);
        if bytes > bytes_max {
            return Err(JournalError::BatchTooLarge { bytes, bytes_max });
        }
        let newest = content.durable_lsn(batch.shard);
        let expected = if newest == 0 {
            batch.first_lsn.max(1)
        } else {
            newest + 1
        };
        if batch.first_lsn != expected {
            let (shard, found) = (batch.shard, batch.first_lsn);
            return Err(JournalError::OutOfOrder {
                shard,
                expected,
                found,
            });
        }
        let place = content.write(batch)?;
        self.last = (batch.shard, batch.last_lsn(), batch.time_ms);
        Ok(place)
    }

    fn try_seal(&mut self) -> Result<(), JournalError> {
        self.log.check()?;
        let mut content = self.log.disk.content.lock();
        if content.is_sealed {
            return Ok(());
        }
        let (shard, lsn, time_ms) = self.last;
        let payload = Bytes::new();
        content.write(&Batch {
            shard,
            first_lsn: lsn + 1,
            events: 0,
            time_ms,
            payload,
        })?;
        Ok(())
    }
}

impl Journal for MemoryJournal {
    fn has_room(&self, _payload_bytes: usize) -> bool {
        true
    }

    fn append(&mut self, batch: &Batch) -> Result<Place, JournalError> {
        self.try_append(batch)
            .map_err(|error| self.log.latch.set(error))
    }

    fn seal(&mut self) -> Result<(), JournalError> {
        self.try_seal().map_err(|error| self.log.latch.set(error))
    }

    fn log(&self) -> Arc<dyn JournalLog> {
        Arc::clone(&self.log) as Arc<dyn JournalLog>
    }
}

impl Drop for MemoryJournal {
    fn drop(&mut self) {
        self.log.is_closed.store(true, Ordering::Release);
    }
}

#[derive(Debug)]
struct MemoryLog {
    disk: MemoryDisk,
    opening: u64,
    latch: Latch,
    is_closed: AtomicBool,
}

impl MemoryLog {
    /// Refuses after a failure, and when the disk crashed or was opened again.
    fn check(&self) -> Result<(), JournalError> {
        self.latch.check()?;
        if self.disk.content.lock().openings != self.opening {
            return Err(self.latch.set(JournalError::Closed));
        }
        Ok(())
    }
}

impl JournalLog for MemoryLog {
    fn read(&self, place: Place) -> Result<Bytes, JournalError> {
        self.check()?;
        let content = self.disk.content.lock();
        let (segment, offset, length) = (place.segment, place.offset, place.length);
        let oldest = content.segments.front().map_or(0, |oldest| oldest.number);
        if segment < oldest {
            return Err(JournalError::Trimmed { segment });
        }
        find(&content, place).ok_or(JournalError::NotDurable {
            segment,
            offset,
            length,
        })
    }

    fn next(&self, shard: u16, after_lsn: u64) -> Result<Option<(Batch, Place)>, JournalError> {
        self.check()?;
        let content = self.disk.content.lock();
        if content.durable_lsn(shard) <= after_lsn {
            return Ok(None);
        }
        let is_held = content
            .first_lsn(shard)
            .is_some_and(|first| first <= after_lsn + 1);
        if after_lsn > 0 && !is_held {
            let segment = content.segments.front().map_or(0, |oldest| oldest.number);
            return Err(JournalError::Trimmed { segment });
        }
        let holder = content.segments.iter().find(|it| {
            it.index
                .range(shard)
                .is_some_and(|range| range.last_lsn > after_lsn)
        });
        let found = holder.and_then(|holder| {
            holder.batches.iter().find(|stored| {
                let header = &stored.header;
                header.shard == shard && !header.is_seal() && header.last_lsn() > after_lsn
            })
        });
        Ok(found.map(|stored| (stored.batch.clone(), stored.place())))
    }

    fn trim(&self, shard: u16, lsn: u64) -> Result<(), JournalError> {
        self.check()?;
        if self.is_closed.load(Ordering::Acquire) {
            return Err(JournalError::Closed);
        }
        self.disk.content.lock().trim(shard, lsn);
        Ok(())
    }

    fn durable_lsn(&self, shard: u16) -> u64 {
        self.disk.content.lock().durable_lsn(shard)
    }

    fn first_lsn(&self, shard: u16) -> Option<u64> {
        self.disk.content.lock().first_lsn(shard)
    }

    fn used_bytes(&self) -> u64 {
        let content = self.disk.content.lock();
        let older = content.segments.len().saturating_sub(1) as u64;
        let written = content
            .segments
            .back()
            .map_or(0, |newest| newest.index.end - DATA_OFFSET);
        older * u64::from(content.segment_bytes) + u64::from(written)
    }

    fn ready_bytes(&self) -> u64 {
        self.disk.content.lock().ready_bytes
    }

    /// There are none.
    fn keep_spares(&self, _keep: bool) {}
}

/// The bytes at a place within one payload.
fn find(content: &Content, place: Place) -> Option<Bytes> {
    let segment = content
        .segments
        .iter()
        .find(|segment| segment.number == place.segment)?;
    let after = segment
        .batches
        .partition_point(|stored| stored.place().offset <= place.offset);
    let stored = segment.batches.get(after.checked_sub(1)?)?;
    let from = (place.offset - stored.place().offset) as usize;
    let end = from + place.length as usize;
    (end <= stored.batch.payload.len()).then(|| stored.batch.payload.slice(from..end))
}
