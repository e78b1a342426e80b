//! The data folder itself: whose it is, and that nobody works in it.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use super::{Report, VerifyError};
use crate::error::StartError;
use crate::folder;
use crate::lock::LOCK;

/// Keeps brokers out while this value lives. `None` inside: there is no lock file, so no broker has
/// ever got as far as to hold it.
#[derive(Debug)]
pub(super) struct Locked(#[expect(dead_code, reason = "the lock goes with the file")] Option<File>);

/// What shows that a folder is ours though its identity is gone.
const OURS: [&str; 3] = [folder::JOURNAL, folder::STORE, LOCK];

/// Takes the lock without creating its file.
pub(super) fn lock(path: &Path) -> Result<Locked, VerifyError> {
    let fail = |what, source| VerifyError::Io {
        path: path.to_owned(),
        what,
        source,
    };
    let is_folder = std::fs::metadata(path).map_err(|error| fail("open", error))?;
    let is_ours = path.join(folder::IDENTITY).exists()
        || OURS.iter().filter(|name| path.join(name).exists()).count() > 1;
    if !is_folder.is_dir() || !is_ours {
        return Err(VerifyError::NotOurs {
            path: path.to_owned(),
        });
    }
    let file = match File::open(path.join(LOCK)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Locked(None)),
        Err(error) => return Err(fail("open the lock file of", error)),
    };
    match file.try_lock() {
        Ok(()) => Ok(Locked(Some(file))),
        Err(TryLockError::WouldBlock) => Err(VerifyError::InUse {
            path: path.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(fail("lock", error)),
    }
}

/// Reads the identity.
pub(super) fn identity(path: &Path, report: &mut Report) -> Result<(), VerifyError> {
    let file = folder::IDENTITY;
    match std::fs::read(path.join(file)) {
        Ok(bytes) => match folder::read_identity(file.into(), &bytes) {
            Ok(_) => report.sound(file.into(), bytes.len() as u64, "names this folder"),
            Err(StartError::Identity { why, .. }) => {
                report.problem(file.into(), format!("it {why}"))
            }
            Err(newer) => {
                return Err(VerifyError::UnknownFormat {
                    what: newer.to_string(),
                });
            }
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let what = "it is missing: it was removed, or a restore did not come to its end";
            report.problem(file.into(), what);
        }
        Err(source) => {
            return Err(VerifyError::Io {
                path: path.join(file),
                what: "read",
                source,
            });
        }
    }
    Ok(())
}

/// Lists what else is there.
pub(super) fn others(path: &Path, report: &mut Report) -> Result<(), VerifyError> {
    let fail = |source| VerifyError::Io {
        path: path.to_owned(),
        what: "list",
        source,
    };
    for entry in std::fs::read_dir(path).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name();
        let what = match name.to_str() {
            Some(folder::IDENTITY | folder::JOURNAL | folder::STORE) => continue,
            Some(LOCK) => "held while a broker runs",
            Some(folder::IDENTITY_NEW) => "unfinished, the next start writes it anew",
            _ => "not of verteilt, passed over",
        };
        let bytes = entry.metadata().map_or(0, |metadata| metadata.len());
        report.sound(name.into(), bytes, what);
    }
    Ok(())
}
