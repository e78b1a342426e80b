//! The offline check: everything in a data folder or a backup is read and proven, and nothing in
//! it is changed.
//!
//! | file | what is proven there |
//! |---|---|
//! | `folder.rs` | the lock, the identity, the list of files |
//! | `segments.rs` | the journal: every header, every batch, the chain, the watermark |
//! | `scratch.rs` | nothing: the copy of the store that sled may write to |
//! | `state.rs` | the checkpoint: directory, pages, blocks, and how they fit each other |
//! | `whole.rs` | checkpoint and journal together, and that every job has its body |
//! | `report.rs` | what is told of it |

mod folder;
mod report;
mod scratch;
mod segments;
mod state;
mod whole;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::report::{FileReport, Problem, QueueReport, Report, ReportKind, Verdict};
use crate::config::BrokerConfig;
use crate::engine::Failure;
use crate::folder::STORE;
use crate::journal::JournalError;
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

/// Checks the data folder in `path` and changes nothing in it. `scratch` is an empty folder of the
/// caller's, elsewhere: the store is copied there, because sled writes to what it opens, so it
/// needs as much room as the folder `store` takes. The caller removes it.
///
/// A folder that this calls sound is one that a broker starts on, with every body that a job
/// needs. Damage to bytes that nothing needs any more is not damage. Blocking, and as large in
/// memory as a broker on this folder.
///
/// # Errors
/// When nothing can be said. What is wrong with the folder is in the report.
pub fn verify(path: &Path, scratch: &Path) -> Result<Report, VerifyError> {
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
            state_of(&store, journal, STORE.as_ref(), &mut report)?
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

/// Checks what a store and a journal hold; says in words what the store is.
fn state_of(
    store: &Arc<dyn Store>,
    journal: Option<segments::Journal>,
    file: &Path,
    report: &mut Report,
) -> Result<String, VerifyError> {
    // Only its limits count: the address is never listened on.
    let config = BrokerConfig::new(&report.path, ([127, 0, 0, 1], 0).into());
    let window = config.limits().producer_window;
    let Some(checkpoint) = state::check(store, file, window, report)? else {
        return Ok("damaged".to_owned());
    };
    let what = match checkpoint.lsn {
        0 => "no checkpoint yet".to_owned(),
        lsn => format!(
            "checkpoint at {lsn}: {} pages, {} blocks",
            checkpoint.pages, checkpoint.blocks
        ),
    };
    if let Some((recovered, log)) = journal {
        let journal = (&recovered, log.as_ref());
        whole::check(&config, store, &checkpoint, journal, file, report)?;
    }
    Ok(what)
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
