//! Ways to open a journal again and again, and the files beneath it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tempfile::TempDir;

use crate::journal::{
    Batch, FileJournal, Journal, JournalError, JournalLog, JournalOptions, MemoryDisk,
    MemoryJournal, Place, Recovered, disk::Disk, tests::hook::DiskHook,
};

pub(super) const SEGMENT_BYTES: u32 = 64 * 1024;

/// A disk that a journal can be opened on many times.
pub(super) trait Bench: Sized {
    type Opened: Journal;
    fn new() -> Self;
    fn try_open(&self) -> Result<(Self::Opened, Recovered), JournalError>;

    fn open(&self) -> (Self::Opened, Recovered) {
        self.try_open().unwrap()
    }
}

pub(super) struct InMemory {
    pub(super) disk: MemoryDisk,
}

impl Bench for InMemory {
    type Opened = MemoryJournal;

    fn new() -> Self {
        Self {
            disk: MemoryDisk::new(SEGMENT_BYTES),
        }
    }

    fn try_open(&self) -> Result<(MemoryJournal, Recovered), JournalError> {
        Ok(MemoryJournal::open(&self.disk))
    }
}

pub(super) struct InFiles {
    pub(super) folder: TempDir,
    pub(super) options: JournalOptions,
}

impl Bench for InFiles {
    type Opened = FileJournal;

    fn new() -> Self {
        let options = JournalOptions {
            segment_bytes: SEGMENT_BYTES,
            // Tests that need the watermark to move say so.
            watermark_interval: Duration::from_secs(3600),
            segment_wait: Duration::from_secs(10),
            ..JournalOptions::default()
        };
        Self {
            folder: tempfile::tempdir().unwrap(),
            options,
        }
    }

    fn try_open(&self) -> Result<(FileJournal, Recovered), JournalError> {
        FileJournal::open(self.path(), self.options)
    }
}

impl InFiles {
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn open_hooked(
        &self,
        hook: Arc<dyn DiskHook>,
    ) -> Result<(FileJournal, Recovered), JournalError> {
        FileJournal::open_on(
            Disk {
                hook: Some(hook),
                ..Disk::default()
            },
            self.path(),
            self.options,
        )
    }

    pub(super) fn segment(&self, number: u64) -> PathBuf {
        self.path().join(format!("{number:016}.journal"))
    }

    pub(super) fn watermark(&self) -> PathBuf {
        self.path().join("watermark")
    }

    /// The names in the folder, sorted.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Runs `work` on an open journal and leaves the folder as a kill would: the watermark is
    /// where it was before.
    pub(super) fn work_and_kill(&self, work: impl FnOnce(&mut FileJournal)) {
        drop(self.open());
        let watermark = fs::read(self.watermark()).unwrap();
        let (mut journal, _) = self.open();
        work(&mut journal);
        drop(journal);
        fs::write(self.watermark(), watermark).unwrap();
    }

    /// Changes the bytes of a segment file.
    pub(super) fn change(&self, number: u64, change: impl FnOnce(&mut Vec<u8>)) {
        let path = self.segment(number);
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(&path, bytes).unwrap();
    }
}

/// A batch whose payload tells from its bytes which one it is.
pub(super) fn batch(shard: u16, first_lsn: u64, events: u32, bytes: usize) -> Batch {
    let seed = first_lsn.wrapping_mul(31).wrapping_add(u64::from(shard)) as u8;
    let payload: Bytes = (0..bytes)
        .map(|at| seed.wrapping_add(at as u8) | 1)
        .collect();
    Batch {
        shard,
        first_lsn,
        events,
        time_ms: 1_000 + first_lsn,
        payload,
    }
}

/// Appends `count` batches of one event and `bytes` bytes that follow `after_lsn`.
pub(super) fn append_many(
    journal: &mut impl Journal,
    after_lsn: u64,
    count: u64,
    bytes: usize,
) -> Vec<Place> {
    (after_lsn + 1..=after_lsn + count)
        .map(|lsn| journal.append(&batch(0, lsn, 1, bytes)).unwrap())
        .collect()
}

/// All batches of a shard that come after `after_lsn`.
pub(super) fn read_all(log: &dyn JournalLog, shard: u16, after_lsn: u64) -> Vec<(Batch, Place)> {
    let mut all = Vec::new();
    let mut after_lsn = after_lsn;
    while let Some((batch, place)) = log.next(shard, after_lsn).unwrap() {
        after_lsn = batch.last_lsn();
        all.push((batch, place));
    }
    all
}

/// The first cause behind a final error.
pub(super) fn cause(error: &JournalError) -> &JournalError {
    match error {
        JournalError::Failed { cause } => cause,
        other => other,
    }
}
