//! The folder of a store: what must be there or gone before sled opens it, and lasts after.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::SledOptions;

/// Together with [`crate::store::VALUE_BYTES_MAX`] this keeps every leaf of sled inline. It is fixed for
/// the life of a folder. sled gathers writes in buffers of this size, a dozen and more at a time:
/// with 8 MiB they were 117 MB of memory during a checkpoint.
const SEGMENT_BYTES: usize = 2 * 1024 * 1024;

/// sled's names for its log and its settings.
pub(super) const LOG: &str = "db";
pub(super) const SETTINGS: &str = "conf";

/// How often and how long, in milliseconds, open waits for the lock of a store that was dropped.
const LOCK_TRIES: usize = 100;
const LOCK_WAIT_MS: u64 = 20;

/// Opens sled. Threads of a store that this process has just dropped may hold the lock for a moment.
pub(super) fn open(folder: &Path, options: SledOptions) -> sled::Result<sled::Db> {
    let config = sled::Config::new()
        .path(folder)
        .segment_size(SEGMENT_BYTES)
        .cache_capacity(options.cache_bytes)
        .flush_every_ms(Some(options.flush_every_ms));
    for _ in 1..LOCK_TRIES {
        match config.open() {
            Err(sled::Error::Io(error)) if error.to_string().contains("acquire lock") => {
                thread::sleep(Duration::from_millis(LOCK_WAIT_MS));
            }
            opened => return opened,
        }
    }
    config.open()
}

/// Creates the folder and removes what an earlier open that did not come to its end may have left.
pub(super) fn prepare(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut is_new = !fs::metadata(folder.join(LOG)).is_ok_and(|log| log.len() > 0);
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(name) = name.filter(|name| name.starts_with("snap.")) else {
            continue;
        };
        if name.ends_with(".generating") {
            fs::remove_file(&path)?;
        } else {
            is_new = false;
        }
    }
    let settings = folder.join(SETTINGS);
    if is_new && settings.try_exists()? {
        fs::remove_file(settings)?;
    }
    Ok(())
}

/// Makes the names of sled's files last, and the settings file, which sled writes without a sync.
pub(super) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder.join(SETTINGS))?.sync_all()?;
    File::open(folder)?.sync_all()?;
    let absolute: PathBuf = std::path::absolute(folder)?;
    match absolute.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}
