//! The append half of the file journal: one write and one fdatasync a batch.

use std::{
    path::Path,
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    Batch, Journal, JournalError, JournalLog, JournalOptions, Place, Recovered,
    aligned::Aligned,
    disk::{Disk, DiskFile, is_unsupported},
    folder,
    header::{BatchHeader, HEADER_BYTES, Identity},
    index::Index,
    layout::{batch_extent, fits, write_extent},
    log::FileLog,
    meters::Meters,
    preparer::Preparer,
    ready::{Live, Shared},
    segment::Segment,
    watermark::Position,
};

/// A journal in preallocated segment files. Dropping it moves the watermark and ends its thread.
#[derive(Debug)]
pub struct FileJournal {
    pub(super) shared: Arc<Shared>,
    log: Arc<FileLog>,
    identity: Identity,
    segment_wait: Duration,
    batch_bytes_max: usize,
    /// The segment that is written, and where.
    active: Arc<Segment>,
    /// The same file past the page cache, where the file system allows that: the copy into the
    /// cache costs more than all else on the way to the disk (docs/benchmarks/), and what was
    /// written is read from the broker's own memory first.
    direct: Option<DiskFile>,
    offset: u32,
    sequence: u64,
    /// The last batch of all: its shard, its last number and its time.
    last: (u16, u64, u64),
    is_sealed: bool,
    staging: Aligned,
    meters: Meters,
    preparer: Option<JoinHandle<()>>,
}

impl FileJournal {
    /// Opens the journal in `dir`, or makes one there. Reads and proves everything that is in it,
    /// cuts a torn last batch, and brings what it found to the disk before it returns.
    ///
    /// One process at a time: the caller holds the lock of the data folder.
    ///
    /// # Errors
    /// [`JournalError::Damaged`], [`JournalError::CutShort`] and [`JournalError::UnknownFormat`]
    /// when the folder must not be used as it is; nothing in it was changed then but for the
    /// removal of unfinished files. Otherwise what the system or the options refuse.
    pub fn open(dir: &Path, options: JournalOptions) -> Result<(Self, Recovered), JournalError> {
        Self::open_on(Disk::default(), dir, options)
    }

    pub(super) fn open_on(
        disk: Disk,
        dir: &Path,
        options: JournalOptions,
    ) -> Result<(Self, Recovered), JournalError> {
        options.check()?;
        let opened = folder::open(disk, dir, &options)?;
        let (position, recovered) = (opened.state.position, opened.summary);
        let active = opened
            .state
            .live
            .back()
            .expect("an open makes the first segment");
        let (active, offset) = (Arc::clone(&active.segment), active.index.end);
        let smallest = opened.state.ready.iter().map(|segment| segment.bytes).min();
        let smallest = smallest.map_or(options.segment_bytes, |bytes| {
            bytes.min(options.segment_bytes)
        });
        let identity = opened.maker.identity;
        let shared = Arc::new(Shared::new(dir.to_owned(), opened.state));
        let preparer = Preparer::new(Arc::clone(&shared), opened.maker, options, opened.watermark);
        let preparer = std::thread::Builder::new()
            .name("journal-prepare".into())
            .spawn(move || preparer.run())
            .map_err(|source| JournalError::Io {
                path: dir.to_owned(),
                op: "start the preparing thread for",
                source,
            })?;
        let journal = Self {
            log: Arc::new(FileLog::new(Arc::clone(&shared), identity)),
            shared,
            identity,
            segment_wait: options.segment_wait,
            batch_bytes_max: JournalOptions::batch_bytes_max(smallest),
            direct: active.file.direct(),
            active,
            offset,
            sequence: opened.sequence,
            last: (position.shard, position.lsn, recovered.last_time_ms),
            is_sealed: opened.is_sealed,
            staging: Aligned::default(),
            meters: Meters::new(),
            preparer: Some(preparer),
        };
        Ok((journal, recovered))
    }

    fn try_append(&mut self, batch: &Batch) -> Result<Place, JournalError> {
        self.shared.check()?;
        if batch.events == 0 {
            return Err(JournalError::EmptyBatch { shard: batch.shard });
        }
        let (bytes, bytes_max) = (batch.payload.len(), self.batch_bytes_max);
        if bytes > bytes_max {
            return Err(JournalError::BatchTooLarge { bytes, bytes_max });
        }
        let newest = self.shared.state.lock().durable_lsn(batch.shard);
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
        let place = self.write(batch)?;
        self.last = (batch.shard, batch.last_lsn(), batch.time_ms);
        self.is_sealed = false;
        Ok(place)
    }

    fn try_seal(&mut self) -> Result<(), JournalError> {
        self.shared.check()?;
        if self.is_sealed {
            return Ok(());
        }
        let (shard, lsn, time_ms) = self.last;
        let seal = Batch {
            shard,
            first_lsn: lsn + 1,
            events: 0,
            time_ms,
            payload: Bytes::new(),
        };
        self.write(&seal)?;
        self.is_sealed = true;
        Ok(())
    }

    fn write(&mut self, batch: &Batch) -> Result<Place, JournalError> {
        let payload_bytes = u32::try_from(batch.payload.len()).expect("a batch is at most 16 MiB");
        if !fits(self.offset, payload_bytes, self.active.bytes) {
            self.roll()?;
        }
        let header = self.stage(batch);
        self.write_staged()?;
        let started = Instant::now();
        self.active.file.sync()?;
        self.meters.appended(started.elapsed(), batch.payload.len());
        // Another part of the journal may have failed meanwhile; then nobody is told anything.
        self.shared.check()?;
        self.publish(&header);
        Ok(Place {
            segment: header.segment,
            offset: header.offset + HEADER_BYTES as u32,
            length: payload_bytes,
        })
    }

    /// Lays header, payload and padding out in the one buffer that every append uses.
    fn stage(&mut self, batch: &Batch) -> BatchHeader {
        let mut header = BatchHeader::new(batch, self.active.number, self.offset, self.sequence);
        header.payload_checksum = self.identity.checksum(&batch.payload);
        let extent = write_extent(self.offset, header.payload_bytes, self.active.bytes);
        self.staging.clear(extent as usize);
        self.staging.extend(&header.encode(self.identity));
        self.staging.extend(&batch.payload);
        self.staging.resize(extent as usize);
        header
    }

    fn write_staged(&mut self) -> Result<(), JournalError> {
        let (bytes, offset) = (self.staging.bytes(), self.offset.into());
        if let Some(direct) = &self.direct {
            match direct.write_at(bytes, offset) {
                // The disk has larger sectors than batches begin on.
                Err(error) if is_unsupported(&error) => self.direct = None,
                written => return written,
            }
        }
        self.active.file.write_at(bytes, offset)
    }

    /// Lets readers see a batch that is durable.
    fn publish(&mut self, header: &BatchHeader) {
        self.offset += batch_extent(header.payload_bytes);
        self.sequence += 1;
        let mut state = self.shared.state.lock();
        state.position = Position {
            segment: header.segment,
            offset: self.offset,
            shard: header.shard,
            lsn: header.last_lsn(),
        };
        state.shard_mut(header.shard).durable_lsn = header.last_lsn();
        let live = state.live.back_mut().expect("the active segment is live");
        live.index.add(header, self.offset);
    }

    /// Goes on to the next segment; waits for it when it is not ready.
    fn roll(&mut self) -> Result<(), JournalError> {
        let started = Instant::now();
        let deadline = started + self.segment_wait;
        let mut state = self.shared.state.lock();
        let segment = loop {
            self.shared.check()?;
            if let Some(segment) = state.ready.pop_front() {
                break segment;
            }
            if self
                .shared
                .segment_ready
                .wait_until(&mut state, deadline)
                .timed_out()
                && state.ready.is_empty()
            {
                let waited_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                let path = self.shared.folder.clone();
                return Err(JournalError::DiskFull { path, waited_ms });
            }
        };
        let index = Index::new(segment.bytes);
        self.offset = index.end;
        self.active = Arc::clone(&segment);
        state.live.push_back(Live { segment, index });
        self.shared.work.notify_all();
        drop(state);
        self.direct = self.direct.as_ref().and_then(|_| self.active.file.direct());
        self.meters.rolled(started.elapsed());
        Ok(())
    }
}

impl Journal for FileJournal {
    fn has_room(&self, payload_bytes: usize) -> bool {
        u32::try_from(payload_bytes).is_ok_and(|bytes| fits(self.offset, bytes, self.active.bytes))
    }

    fn append(&mut self, batch: &Batch) -> Result<Place, JournalError> {
        self.try_append(batch)
            .map_err(|error| self.shared.fail(error))
    }

    fn seal(&mut self) -> Result<(), JournalError> {
        self.try_seal().map_err(|error| self.shared.fail(error))
    }

    fn log(&self) -> Arc<dyn JournalLog> {
        Arc::clone(&self.log) as Arc<dyn JournalLog>
    }
}

impl Drop for FileJournal {
    fn drop(&mut self) {
        self.shared.state.lock().closing = true;
        self.shared.work.notify_all();
        if let Some(preparer) = self.preparer.take() {
            // A panic there was reported when it happened; there is nothing to add here.
            let _ = preparer.join();
        }
    }
}
