//! A new data folder from a backup. The identity of the folder is written last, so that a broker
//! does not start on a restore that did not come to its end.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::BytesMut;
use verteilt_core::{Event, encode_event};

use super::BackupFile;
use crate::engine::Failure;
use crate::error::StartError;
use crate::folder::NewFolder;
use crate::journal::{Batch, FileJournal, Journal, JournalError, JournalOptions, Recovered};
use crate::recovery::SHARD;
use crate::store::{SledOptions, SledStore, Store, StoreError, is_manifest, put_manifest};
use crate::verify::{self, Report, ReportKind, VerifyError};

/// Where log sequence numbers go on: lease tokens are log sequence numbers, and whoever was backed
/// up may have gone on, so no token that was given since may be given again, or a worker of then
/// could settle a job of now. Counted by the clock in steps that no broker can outrun: at this many
/// a second from 2020 on, no earlier life of the data has come this far. It stays below 2^53 for
/// 68 years.
const LSNS_A_SECOND: u64 = 1 << 22;
const SECONDS_TO_2020: u64 = 1_577_836_800;
/// At least so far, should the clock be wrong.
const LSN_GAP_MIN: u64 = 1 << 32;
/// The same for starts, which number the `memory` jobs: one a minute.
const START_SECONDS: u64 = 60;
const EPOCH_GAP_MIN: u64 = 1 << 12;
/// The store holds in memory what it has not flushed; so much of it at most.
const UNFLUSHED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What a restore made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored {
    /// The log sequence number that the backup was exact at.
    pub backup_lsn: u64,
    /// The jobs that are there.
    pub jobs: u64,
    /// The records of topics that are there.
    pub records: u64,
    /// Bytes of the backup.
    pub bytes: u64,
}

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The target is in use for something.
    #[error("{} is not empty. Name a folder that does not exist yet", path.display())]
    NotEmpty {
        /// The target.
        path: PathBuf,
    },
    /// The backup is damaged or incomplete.
    #[error("{} cannot be restored: {why}. Nothing was written; take another backup", path.display())]
    Unsound {
        /// The backup.
        path: PathBuf,
        /// The first thing that is wrong.
        why: String,
    },
    /// Nothing could be said about the backup.
    #[error("{0}")]
    Verify(#[from] VerifyError),
    /// The new folder could not be made.
    #[error("{0}. The new folder is unfinished, and no broker starts on it; remove it")]
    Folder(#[from] StartError),
    /// The new folder could not be written, or does not hold what it should.
    #[error(
        "cannot restore: {0}. The new folder is unfinished, and no broker starts on it; remove it"
    )]
    Write(#[from] Failure),
    /// What was written is not what the backup holds.
    #[error(
        "the new folder does not hold what the backup does: {why}. It is unfinished, and no broker \
         starts on it; check the disk"
    )]
    Written {
        /// The first thing that is wrong.
        why: String,
    },
}

/// Makes the data folder `data` from the backup in the file `backup`. The backup is proven before
/// anything is written, what was written is proven after it, and everything is on the disk when
/// this returns. Blocking.
///
/// The state is that of the backup, with two exceptions: the folder gets an identity of its own,
/// and log sequence numbers go on far behind those of the backup. Leases that were held go to
/// sessions that come back in time, as after any restart.
///
/// # Errors
/// [`RestoreError`]. A target that did not exist or was empty may then be there and unfinished.
pub fn restore(backup: &Path, data: &Path) -> Result<Restored, RestoreError> {
    let unsound = |why: String| RestoreError::Unsound {
        path: backup.to_owned(),
        why,
    };
    refuse_if_used(data)?;
    let (report, sound) = verify::backup(backup)?;
    let Some((file, proven)) = sound else {
        let why = report.problems.into_iter().next().map(|first| first.what);
        return Err(unsound(why.unwrap_or_default()));
    };
    let folder = NewFolder::create(data)?;
    let store = SledStore::open(&folder.store(), SledOptions::default()).map_err(Failure::from)?;
    let seconds = seconds_since_2020();
    let lsn = file
        .lsn()
        .saturating_add(LSN_GAP_MIN)
        .max(seconds * LSNS_A_SECOND);
    let epoch = proven
        .epoch
        .saturating_add(EPOCH_GAP_MIN)
        .max(seconds / START_SECONDS);
    copy(&file, &store, lsn).map_err(Failure::from)?;
    let journal = begin_journal(&folder.journal(), lsn, epoch, proven.now_ms);
    let journal = journal.map_err(Failure::from)?;
    let store: Arc<dyn Store> = Arc::new(store);
    let (jobs, records) = prove(data, &store, &journal, lsn)?;
    if (jobs, records) != (report.jobs, report.records) {
        let (jobs_were, records_were) = (report.jobs, report.records);
        let why =
            format!("{jobs} jobs and {records} records instead of {jobs_were} and {records_were}");
        return Err(RestoreError::Written { why });
    }
    drop((journal, store));
    folder.finish()?;
    Ok(Restored {
        backup_lsn: file.lsn(),
        jobs,
        records,
        bytes: file.bytes(),
    })
}

fn refuse_if_used(data: &Path) -> Result<(), RestoreError> {
    let is_empty = match fs::read_dir(data) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    let path = data.to_owned();
    is_empty
        .then_some(())
        .ok_or(RestoreError::NotEmpty { path })
}

fn seconds_since_2020() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
        .saturating_sub(SECONDS_TO_2020)
}

/// Everything but the manifest, a flush, the manifest, a flush: the rule of writing.
fn copy(file: &BackupFile, store: &SledStore, lsn: u64) -> Result<(), StoreError> {
    let mut unflushed = 0;
    let mut manifest = None;
    for key in file.all_keys() {
        let value = file.get(key)?.unwrap_or_default();
        if is_manifest(key) {
            manifest = Some((key, value));
            continue;
        }
        store.put(key, &value)?;
        unflushed += value.len();
        if unflushed >= UNFLUSHED_BYTES_MAX {
            unflushed = 0;
            store.flush()?;
        }
    }
    store.flush()?;
    let (key, value) = manifest.ok_or(StoreError::Refused {
        reason: "the backup has no manifest",
    })?;
    put_manifest(store, SHARD, (key, &value), lsn)?;
    store.flush()
}

/// A journal that goes on behind the store. A start wants to see that it reaches as far as the
/// store does, so it begins with an event: a start, like those that will follow.
fn begin_journal(
    folder: &Path,
    lsn: u64,
    epoch: u64,
    time_ms: u64,
) -> Result<FileJournal, JournalError> {
    let options = JournalOptions {
        spare_segments: 1,
        ..JournalOptions::default()
    };
    let (mut journal, _) = FileJournal::open(folder, options)?;
    let mut payload = BytesMut::new();
    encode_event(&mut payload, &Event::Started { epoch });
    journal.append(&Batch {
        shard: SHARD,
        first_lsn: lsn + 1,
        events: 1,
        time_ms,
        payload: payload.freeze(),
    })?;
    journal.seal()?;
    Ok(journal)
}

/// Reads back what was written; counts jobs and records.
fn prove(
    data: &Path,
    store: &Arc<dyn Store>,
    journal: &FileJournal,
    lsn: u64,
) -> Result<(u64, u64), RestoreError> {
    let mut report = Report::new(data.to_owned(), ReportKind::DataFolder);
    let recovered = Recovered {
        first_lsn: Some(lsn + 1),
        last_lsn: Some(lsn + 1),
        ..Recovered::default()
    };
    let journal = Some((recovered, journal.log()));
    verify::state_of(store, journal, Path::new("store"), &mut report)?;
    match report.problems.into_iter().next() {
        Some(first) => Err(RestoreError::Written { why: first.what }),
        None => Ok((report.jobs, report.records)),
    }
}
