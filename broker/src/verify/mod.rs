//! The offline check: everything in a data folder or a backup is read and proven, and nothing in
//! it is changed.
//!
//! | file | what is proven there |
//! |---|---|
//! | `folder.rs` | the lock, the identity, the list of files |
//! | `segments.rs` | the journal: every header, every batch, the chain, the watermark |
//! | `scratch.rs` | nothing: the copy of the store that sled may write to |
//! | `state.rs` | the checkpoint: directory, pages, blocks, and how they fit each other |
//! | `records.rs` | the records of topics in it |
//! | `whole.rs` | checkpoint and journal together, that every job has its body, and that records go on without a gap |
//! | `report.rs` | what is told of it |

mod folder;
mod records;
mod report;
mod scratch;
mod segments;
mod state;
#[cfg(test)]
mod tests;
mod whole;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::report::{
    FileReport, Problem, QueueReport, Report, ReportKind, TopicReport, Verdict,
};
use crate::backup::{BackupError, BackupFile};
use crate::config::BrokerConfig;
use crate::engine::Failure;
use crate::folder::STORE;
use crate::journal::{JournalError, Recovered, no_batches};
use crate::store::{SledOptions, SledStore, Store, StoreError};

/// Why nothing can be said about a folder or a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// A broker has it.
    #[error("a broker uses {}. Stop it first; a running broker checks what it reads by itself", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// It is not ours.
    #[error("{} is neither a data folder nor a backup of verteilt. Name another path", path.display())]
    NotOurs {
        /// The folder or file.
        path: PathBuf,
    },
    /// A newer version wrote it.
    #[error("{what}. Check it with the version that wrote it, or a newer one")]
    UnknownFormat {
        /// Which file and which format.
        what: String,
    },
    /// The copy of the store does not fit.
    #[error(
        "{} has {free_bytes} bytes free and the copy of the store needs {needed_bytes}. Free some \
         space, or name another place for the copy", scratch.display()
    )]
    NoRoom {
        /// Where the copy was to be.
        scratch: PathBuf,
        /// Its size.
        needed_bytes: u64,
        /// What is free.
        free_bytes: u64,
    },
    /// The system refused.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried, as a verb.
        what: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Checks the data folder or the backup in `path` and changes nothing in it. `scratch` is an empty
/// folder of the caller's, elsewhere: the store of a data folder is copied there, because sled
/// writes to what it opens, so it needs as much room as the folder `store` takes. The caller
/// removes it.
///
/// A folder that this calls sound is one that a broker starts on, with every body that a job
/// needs and every record that a topic keeps. Damage to bytes that nothing needs any more is not damage. Blocking, and as large in
/// memory as a broker on this folder.
///
/// # Errors
/// When nothing can be said. What is wrong with the folder is in the report.
pub fn verify(path: &Path, scratch: &Path) -> Result<Report, VerifyError> {
    if path.is_file() {
        return backup(path).map(|(report, _)| report);
    }
    let mut report = Report::new(path.to_owned(), ReportKind::DataFolder);
    let locked = folder::lock(path)?;
    folder::identity(path, &mut report)?;
    let journal = segments::check(path, &mut report)?;
    let bytes = scratch::copy(&path.join(STORE), scratch)?;
    // sled ends the process on some of what it cannot read.
    let opened = whole::caught(|| SledStore::open(scratch, SledOptions::default()));
    let opened = opened.unwrap_or_else(|reason| {
        let (folder, reason) = (path.join(STORE), reason.into());
        Err(StoreError::Open { folder, reason })
    });
    let what = match opened {
        Ok(store) => {
            let store: Arc<dyn Store> = Arc::new(store);
            state_of(&store, journal, STORE.as_ref(), &mut report)?.what
        }
        Err(StoreError::Open { reason, .. }) => {
            let what = format!("it cannot be opened: {reason}");
            report.problem(STORE.into(), what.clone());
            what
        }
        Err(error) => return Err(scratch::failed(scratch, &error)),
    };
    let is_sound = |problem: &Problem| problem.file != Path::new(STORE);
    report.files.push(FileReport {
        file: STORE.into(),
        bytes,
        sound: report.problems.iter().all(is_sound),
        what,
    });
    folder::others(path, &mut report)?;
    if report.torn_tail_bytes > 0 && !report.is_damaged() {
        report.verdict = Verdict::SoundWithTornTail;
    }
    drop(locked);
    Ok(report)
}

/// Checks the backup in the file `path`, and changes nothing. The file and what is known of its
/// state come along when it is sound.
pub(crate) fn backup(path: &Path) -> Result<(Report, Option<SoundBackup>), VerifyError> {
    let mut report = Report::new(path.to_owned(), ReportKind::Backup);
    let name = PathBuf::from(path.file_name().unwrap_or(path.as_os_str()));
    let file = match BackupFile::open(path) {
        Ok(file) => Arc::new(file),
        Err(error) => {
            let (offset, what) = match error {
                BackupError::Damaged { offset, .. } | BackupError::Incomplete { offset } => {
                    (offset, error.to_string())
                }
                BackupError::Foreign => {
                    let path = path.to_owned();
                    return Err(VerifyError::NotOurs { path });
                }
                BackupError::UnknownVersion(_) => {
                    let what = format!("{}: {error}", name.display());
                    return Err(VerifyError::UnknownFormat { what });
                }
                BackupError::Io(source) => {
                    let (path, what) = (path.to_owned(), "read");
                    return Err(VerifyError::Io { path, what, source });
                }
            };
            let bytes = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
            report.files.push(FileReport {
                file: name.clone(),
                bytes,
                sound: false,
                what: what.clone(),
            });
            report.add(name, Some(offset), None, what);
            return Ok((report, None));
        }
    };
    let store: Arc<dyn Store> = Arc::clone(&file) as _;
    // It has no journal: its state is that of its one checkpoint.
    let recovered = Recovered {
        last_lsn: Some(file.lsn()),
        ..Recovered::default()
    };
    let journal = Some((recovered, no_batches(path)));
    let found = state_of(&store, journal, &name, &mut report)?;
    if !report.is_damaged() && report.checkpoint_lsn != file.lsn() {
        let what = "its header names another log sequence number than its checkpoint";
        report.problem(name.clone(), what);
    }
    report.files.push(FileReport {
        file: name,
        bytes: file.bytes(),
        sound: !report.is_damaged(),
        what: found.what,
    });
    let proven = found.proven.filter(|_| !report.is_damaged());
    Ok((report, proven.map(|proven| (file, proven))))
}

/// An opened backup that is sound, and what is known of its state.
type SoundBackup = (Arc<BackupFile>, Proven);

/// What is known of a state that holds together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Proven {
    /// How often a broker started on it.
    pub(crate) epoch: u64,
    /// Its time.
    pub(crate) now_ms: u64,
}

/// What a store is.
#[derive(Debug)]
pub(crate) struct Found {
    /// In words.
    pub(crate) what: String,
    pub(crate) proven: Option<Proven>,
}

/// Checks what a store and a journal hold; `file` names the store in the report.
pub(crate) fn state_of(
    store: &Arc<dyn Store>,
    journal: Option<segments::Journal>,
    file: &Path,
    report: &mut Report,
) -> Result<Found, VerifyError> {
    // Only its limits count: the address is never listened on.
    let config = BrokerConfig::new(&report.path, ([127, 0, 0, 1], 0).into());
    let window = config.limits().producer_window;
    let mut found = Found {
        what: "damaged".to_owned(),
        proven: None,
    };
    let Some(checkpoint) = state::check(store, file, window, report)? else {
        return Ok(found);
    };
    found.what = match checkpoint.lsn {
        0 => "no checkpoint yet".to_owned(),
        lsn => format!(
            "checkpoint at {lsn}: {} pages, {} blocks, {} record blocks",
            checkpoint.pages, checkpoint.blocks, checkpoint.record_blocks
        ),
    };
    if let Some((recovered, log)) = journal {
        let journal = (&recovered, log.as_ref());
        found.proven = whole::check(&config, store, &checkpoint, journal, file, report)?;
    }
    Ok(found)
}

/// Tells what was written by a newer version from what is damaged.
fn newer(failure: &Failure) -> Option<VerifyError> {
    let unknown = match failure {
        Failure::Journal(error) => matches!(error, JournalError::UnknownFormat { .. }),
        Failure::Store(error) => matches!(error, StoreError::UnknownVersion { .. }),
        Failure::Codec(error) => matches!(error, verteilt_core::CodecError::UnknownTag(_)),
        _ => false,
    };
    unknown.then(|| VerifyError::UnknownFormat {
        what: failure.to_string(),
    })
}
