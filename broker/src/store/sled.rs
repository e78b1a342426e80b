//! What sled 0.34.7 does that would hurt, and what is done about each here:
//!
//! | sled | here |
//! |---|---|
//! | flushes with `sync_file_range`, which is no fsync | the symbol is replaced by verteilt-sled-sync, proven at every open; a flush ends with an `fdatasync` on a descriptor of our own |
//! | its background thread only logs a failed fsync | that descriptor is opened before the first write, so the kernel tells it too; verteilt-sled-sync latches the rest |
//! | large leaves become files that are not synced and leak | values of at most 16 KiB, segments of 2 MiB |
//! | a kill during open leaves `snap.*.generating`, on which the next open fails | removed before open; the snapshot it was to replace is still there |
//! | writes its settings in two pieces, and cannot be opened with one of them | removed before open when nothing else is there yet |
//! | no fsync of its folder | fsynced after open |
//! | takes 1 GiB for its cache | 32 MiB |
//! | looks at the limit of the cache only once in 64 accesses to one of its 256 shards, so that with large values it holds gigabytes | a read is followed by accesses that cost nothing but that |
//! | lets go of its file lock a little after it was dropped | open waits for that, for two seconds |
//! | batches, transactions and `flush_async` take a process-wide lock | not used |

#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use bytes::Bytes;

use super::{KeyVisitor, PairVisitor, Store, StoreError, check_size};

/// Together with [`super::VALUE_BYTES_MAX`] this keeps every leaf of sled inline. It is fixed for
/// the life of a folder. sled gathers writes in buffers of this size, a dozen and more at a time:
/// with 8 MiB they were 117 MB of memory during a checkpoint.
const SEGMENT_BYTES: usize = 2 * 1024 * 1024;

/// sled's names for its log and its settings.
const LOG: &str = "db";
const SETTINGS: &str = "conf";

/// How many further accesses follow a read or a deletion. With five accesses a value and four values
/// a block, sled looks at its limit every third block.
const NUDGES: usize = 4;

/// How often and how long, in milliseconds, open waits for the lock of a store that was dropped.
const LOCK_TRIES: usize = 100;
const LOCK_WAIT_MS: u64 = 20;

/// How a [`SledStore`] is opened.
#[derive(Debug, Clone, Copy)]
pub struct SledOptions {
    /// sled's cache, in bytes of its log; the memory it takes is a small multiple of that.
    pub cache_bytes: u64,
    /// How often sled flushes and collects garbage by itself, in milliseconds.
    pub flush_every_ms: u64,
}

impl Default for SledOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 32 * 1024 * 1024,
            flush_every_ms: 1000,
        }
    }
}

/// The [`Store`] on the disk: one sled folder. That nobody else opens the folder is for the owner
/// of the data folder to see to.
#[derive(Debug)]
pub struct SledStore {
    db: sled::Db,
    folder: PathBuf,
    /// Our own descriptor of sled's file `db`.
    file: File,
    failed: OnceLock<Arc<str>>,
    /// The last figure that could be read.
    disk_bytes: AtomicU64,
}

impl SledStore {
    /// Opens the folder, and creates it if need be. Blocking: it reads what was written since the
    /// last open.
    ///
    /// [`StoreError::Open`] when it cannot be opened, [`StoreError::SyncNotInForce`] when a flush
    /// would not reach the disk.
    pub fn open(folder: &Path, options: SledOptions) -> Result<Self, StoreError> {
        let cannot = |error: sled::Error| StoreError::Open {
            folder: folder.to_path_buf(),
            reason: explain(&error).into(),
        };
        prepare(folder).map_err(|error| cannot(error.into()))?;
        let file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(folder.join(LOG))
            .map_err(|error| cannot(error.into()))?;
        let db = open_sled(folder, options).map_err(cannot)?;
        let store = Self {
            db,
            folder: folder.to_path_buf(),
            file,
            failed: OnceLock::new(),
            disk_bytes: AtomicU64::new(0),
        };
        store.prove_sync()?;
        sync_folder(folder).map_err(|error| cannot(error.into()))?;
        Ok(store)
    }

    /// Shows that a flush of sled ends in our `fdatasync`.
    #[cfg(all(feature = "honest-sled-sync", target_os = "linux"))]
    fn prove_sync(&self) -> Result<(), StoreError> {
        let before = verteilt_sled_sync::calls();
        self.prove_flush()?;
        if verteilt_sled_sync::calls() > before {
            Ok(())
        } else {
            Err(StoreError::SyncNotInForce)
        }
    }

    /// Elsewhere than on Linux sled calls fsync by itself.
    #[cfg(not(all(feature = "honest-sled-sync", target_os = "linux")))]
    fn prove_sync(&self) -> Result<(), StoreError> {
        if cfg!(target_os = "linux") {
            tracing::warn!(
                "built without honest-sled-sync: sled reuses its segments trusting \
                 sync_file_range, so a power cut can damage the store"
            );
        }
        self.prove_flush()
    }

    /// Counts the start, in a tree of its own so that no scan sees it, and flushes. A count, because
    /// sled does not write what is there already.
    fn prove_flush(&self) -> Result<(), StoreError> {
        let tree = self
            .db
            .open_tree("start")
            .map_err(|error| self.fail(error))?;
        let count = tree.get("count").map_err(|error| self.fail(error))?;
        let count = count.and_then(|count| count.as_ref().try_into().ok());
        let count = count.map_or(0, u64::from_le_bytes).wrapping_add(1);
        tree.insert("count", &count.to_le_bytes())
            .map_err(|error| self.fail(error))?;
        self.flush()
    }

    fn check(&self) -> Result<(), StoreError> {
        match self.failed.get() {
            Some(reason) => Err(StoreError::Failed {
                reason: Arc::clone(reason),
            }),
            None => Ok(()),
        }
    }

    /// Makes sled look sooner at whether its cache is over its limit: it counts accesses, and the
    /// leaf of this key is in memory now.
    fn nudge_cache(&self, key: &[u8]) -> Result<(), StoreError> {
        for _ in 0..NUDGES {
            self.db
                .contains_key(key)
                .map_err(|error| self.fail(error))?;
        }
        Ok(())
    }

    /// Latches the first failure; every call from now on ends with it.
    fn fail(&self, error: impl Into<sled::Error>) -> StoreError {
        let said = || format!("{}: {}", self.folder.display(), explain(&error.into())).into();
        let reason = self.failed.get_or_init(said);
        StoreError::Failed {
            reason: Arc::clone(reason),
        }
    }
}

impl Store for SledStore {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.check()?;
        let value = self.db.get(key).map_err(|error| self.fail(error))?;
        self.nudge_cache(key)?;
        Ok(value.map(Bytes::from_owner))
    }

    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        check_size(key, value)?;
        self.check()?;
        self.db
            .insert(key, value)
            .map_err(|error| self.fail(error))?;
        self.nudge_cache(key)
    }

    fn delete(&self, key: &[u8]) -> Result<(), StoreError> {
        self.check()?;
        self.db.remove(key).map_err(|error| self.fail(error))?;
        self.nudge_cache(key)
    }

    fn scan(&self, prefix: &[u8], visit: &mut PairVisitor<'_>) -> Result<(), StoreError> {
        self.check()?;
        for pair in self.db.scan_prefix(prefix) {
            let (key, value) = pair.map_err(|error| self.fail(error))?;
            if visit(&key, &value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn keys(
        &self,
        prefix: &[u8],
        from: &[u8],
        visit: &mut KeyVisitor<'_>,
    ) -> Result<(), StoreError> {
        self.check()?;
        for pair in self.db.range(prefix.max(from)..) {
            let (key, _) = pair.map_err(|error| self.fail(error))?;
            if !key.starts_with(prefix) || visit(&key).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.check()?;
        self.db.flush().map_err(|error| self.fail(error))?;
        self.file.sync_data().map_err(|error| self.fail(error))?;
        #[cfg(all(feature = "honest-sled-sync", target_os = "linux"))]
        if let Some(errno) = verteilt_sled_sync::failure() {
            return Err(self.fail(io::Error::from_raw_os_error(errno)));
        }
        Ok(())
    }

    fn disk_bytes(&self) -> u64 {
        if let Ok(bytes) = self.db.size_on_disk() {
            self.disk_bytes.store(bytes, Ordering::Relaxed);
        }
        self.disk_bytes.load(Ordering::Relaxed)
    }
}

/// What sled says, and what to do about it.
fn explain(error: &sled::Error) -> String {
    let what = match error {
        sled::Error::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
            return format!(
                "{error}. Nothing acknowledged is lost; check that the disk is healthy and not full \
                 and that the broker may write there, then start it again"
            );
        }
        sled::Error::Corruption { at: Some(at), .. } => format!("`{LOG}` is damaged at {at:?}"),
        sled::Error::Corruption { at: None, .. } => "its files are damaged".to_owned(),
        other => format!("its files are damaged: {other}"),
    };
    format!("{what}. Check the disk, then restore the data folder from a copy")
}

/// Opens sled. Threads of a store that this process has just dropped may hold the lock for a moment.
fn open_sled(folder: &Path, options: SledOptions) -> sled::Result<sled::Db> {
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
fn prepare(folder: &Path) -> io::Result<()> {
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
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder.join(SETTINGS))?.sync_all()?;
    File::open(folder)?.sync_all()?;
    let absolute: PathBuf = std::path::absolute(folder)?;
    match absolute.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}
