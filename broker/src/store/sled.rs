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
//! | panics on some I/O errors, also when it is dropped | a panic is an error like any other |
//! | batches, transactions and `flush_async` take a process-wide lock | not used |

mod folder;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use self::folder::LOG;
use super::{KeyVisitor, PairVisitor, Store, StoreError, check_size};

/// How many further accesses follow a read or a deletion. With five accesses a value and four values
/// a block, sled looks at its limit every third block.
const NUDGES: usize = 4;

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
    /// `None` once it is being dropped.
    db: Option<sled::Db>,
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
    pub fn open(at: &Path, options: SledOptions) -> Result<Self, StoreError> {
        let cannot = |error: sled::Error| StoreError::Open {
            folder: at.to_path_buf(),
            reason: explain(&error).into(),
        };
        folder::prepare(at).map_err(|error| cannot(error.into()))?;
        let file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(at.join(LOG))
            .map_err(|error| cannot(error.into()))?;
        let db = caught(|| folder::open(at, options)).map_err(cannot)?;
        let store = Self {
            db: Some(db),
            folder: at.to_path_buf(),
            file,
            failed: OnceLock::new(),
            disk_bytes: AtomicU64::new(0),
        };
        store.prove_sync()?;
        folder::sync(at).map_err(|error| cannot(error.into()))?;
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
        self.ask(|db| {
            let tree = db.open_tree("start")?;
            let count = tree.get("count")?;
            let count = count.and_then(|count| count.as_ref().try_into().ok());
            let count = count.map_or(0, u64::from_le_bytes).wrapping_add(1);
            tree.insert("count", &count.to_le_bytes())
        })?;
        self.flush()
    }

    /// Asks sled, unless it has failed before.
    fn ask<T>(&self, question: impl FnOnce(&sled::Db) -> sled::Result<T>) -> Result<T, StoreError> {
        self.check()?;
        let db = self.db.as_ref().expect("only a drop takes it");
        caught(|| question(db)).map_err(|error| self.fail(error))
    }

    fn check(&self) -> Result<(), StoreError> {
        match self.failed.get() {
            Some(reason) => Err(StoreError::Failed {
                reason: Arc::clone(reason),
            }),
            None => Ok(()),
        }
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

impl Drop for SledStore {
    fn drop(&mut self) {
        let db = self.db.take();
        let dropped = caught(|| {
            drop(db);
            Ok(())
        });
        if let Err(error) = dropped {
            // Every checkpoint that counts was flushed before.
            tracing::warn!(%error, "the store could not be closed in good order");
        }
    }
}

impl Store for SledStore {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.ask(|db| {
            let value = db.get(key)?;
            nudge_cache(db, key)?;
            Ok(value.map(Bytes::from_owner))
        })
    }

    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        check_size(key, value)?;
        self.ask(|db| {
            db.insert(key, value)?;
            nudge_cache(db, key)
        })
    }

    fn delete(&self, key: &[u8]) -> Result<(), StoreError> {
        self.ask(|db| {
            db.remove(key)?;
            nudge_cache(db, key)
        })
    }

    fn scan(&self, prefix: &[u8], visit: &mut PairVisitor<'_>) -> Result<(), StoreError> {
        self.ask(|db| {
            for pair in db.scan_prefix(prefix) {
                let (key, value) = pair?;
                if visit(&key, &value).is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    fn keys(
        &self,
        prefix: &[u8],
        from: &[u8],
        visit: &mut KeyVisitor<'_>,
    ) -> Result<(), StoreError> {
        self.ask(|db| {
            for pair in db.range(prefix.max(from)..) {
                let (key, _) = pair?;
                if !key.starts_with(prefix) || visit(&key).is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.ask(|db| {
            db.flush()?;
            self.file.sync_data()?;
            #[cfg(all(feature = "honest-sled-sync", target_os = "linux"))]
            if let Some(errno) = verteilt_sled_sync::failure() {
                return Err(io::Error::from_raw_os_error(errno).into());
            }
            Ok(())
        })
    }

    fn disk_bytes(&self) -> u64 {
        let bytes = self.db.as_ref().map(sled::Db::size_on_disk);
        if let Some(Ok(bytes)) = bytes {
            self.disk_bytes.store(bytes, Ordering::Relaxed);
        }
        self.disk_bytes.load(Ordering::Relaxed)
    }
}

/// Makes sled look sooner at whether its cache is over its limit: it counts accesses, and the leaf
/// of this key is in memory now.
fn nudge_cache(db: &sled::Db, key: &[u8]) -> sled::Result<()> {
    for _ in 0..NUDGES {
        db.contains_key(key)?;
    }
    Ok(())
}

/// Makes a panic of sled an error.
fn caught<T>(work: impl FnOnce() -> sled::Result<T>) -> sled::Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().map(String::as_str);
        let words = words.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(sled::Error::ReportableBug(
            words.unwrap_or("a panic").to_owned(),
        ))
    })
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
        sled::Error::ReportableBug(words) => {
            return format!(
                "sled gave up ({words}). Check the disk, then start the broker again; if it does \
                 not start, restore the data folder from a copy"
            );
        }
        sled::Error::Corruption { at: Some(at), .. } => format!("`{LOG}` is damaged at {at:?}"),
        sled::Error::Corruption { at: None, .. } => "its files are damaged".to_owned(),
        other => format!("its files are damaged: {other}"),
    };
    format!("{what}. Check the disk, then restore the data folder from a copy")
}
