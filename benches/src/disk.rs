//! What the disk itself takes: one 4 KiB write with its `fdatasync`, into a file whose blocks were all
//! written before, as a journal segment's are.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

const FILE_BYTES: usize = 16 * 1024 * 1024;
const WRITE_BYTES: usize = 4096;

/// The file.
#[derive(Debug)]
pub struct SyncFile {
    file: File,
    block: Vec<u8>,
    at: usize,
}

impl SyncFile {
    /// Makes it in a folder.
    ///
    /// # Errors
    /// What the system says.
    pub fn new(folder: &Path) -> Result<Self> {
        let path = folder.join("sync-probe");
        let file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .open(path)?;
        file.write_all_at(&vec![0; FILE_BYTES], 0)?;
        file.sync_all()?;
        let block = vec![7; WRITE_BYTES];
        Ok(Self { file, block, at: 0 })
    }

    /// One write, until it is on the disk.
    ///
    /// # Errors
    /// What the system says.
    pub fn sync(&mut self) -> Result<Duration> {
        let begun = Instant::now();
        self.file.write_all_at(&self.block, self.at as u64)?;
        self.file.sync_data()?;
        let took = begun.elapsed();
        self.at = (self.at + WRITE_BYTES) % FILE_BYTES;
        Ok(took)
    }
}

/// The median of `count` writes in a folder.
///
/// # Errors
/// What the system says.
pub fn sync_median(folder: &Path, count: usize) -> Result<Duration> {
    let mut file = SyncFile::new(folder)?;
    let samples: Result<Vec<_>> = (0..count).map(|_| file.sync()).collect();
    Ok(percentile(&samples?, 50))
}

/// The sample that `percent` of all are not above.
#[must_use]
pub fn percentile(samples: &[Duration], percent: usize) -> Duration {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}
