//! The files of the journal.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Report, VerifyError};
use crate::folder;
use crate::journal::{InspectedFile, JournalError, JournalLog, Recovered, inspect};

/// A journal that an open would accept.
pub(crate) type Journal = (Recovered, Arc<dyn JournalLog>);

/// Checks every file of the journal; `None` when a broker would not start on it.
pub(super) fn check(path: &Path, report: &mut Report) -> Result<Option<Journal>, VerifyError> {
    let inspection = inspect(&path.join(folder::JOURNAL)).map_err(|error| cannot(path, error))?;
    for InspectedFile {
        path: file,
        finding,
    } in inspection.files
    {
        let name = file.strip_prefix(path).unwrap_or(&file).to_owned();
        let bytes = std::fs::metadata(&file).map_or(0, |metadata| metadata.len());
        match finding {
            Ok(what) => report.sound(name, bytes, what),
            Err(error) => note(path, name, bytes, error, report)?,
        }
    }
    if let Some((recovered, _)) = &inspection.whole {
        report.torn_tail_bytes = recovered.cut_bytes;
        report.last_lsn = recovered.last_lsn.unwrap_or(0);
    }
    Ok(inspection.whole)
}

/// Notes what is wrong with one file, unless it means that nothing can be said at all.
fn note(
    folder: &Path,
    name: PathBuf,
    bytes: u64,
    error: JournalError,
    report: &mut Report,
) -> Result<(), VerifyError> {
    let (file, offset, lsn, what) = match error {
        JournalError::Damaged {
            file,
            lsn,
            offset,
            why,
        } => {
            let lsn = (lsn > 0).then_some(lsn);
            (file, Some(offset), lsn, why.to_owned())
        }
        JournalError::CutShort {
            file,
            recovered,
            watermark,
        } => {
            let what = format!("it ends at {recovered}, but {watermark} was durable before");
            (file, None, Some(recovered + 1), what)
        }
        JournalError::Io { .. } | JournalError::UnknownFormat { .. } => {
            return Err(cannot(folder, error));
        }
        other => (folder.join(&name), None, None, other.to_string()),
    };
    let of_file = file.strip_prefix(folder).unwrap_or(&file).to_owned();
    // What is wrong with the journal as a whole names one of the files that are sound in themselves.
    let known = report.files.iter_mut().find(|known| known.file == of_file);
    match known {
        Some(known) => {
            known.sound = false;
            known.what.clone_from(&what);
        }
        None => report.files.push(super::FileReport {
            file: name,
            bytes,
            sound: false,
            what: what.clone(),
        }),
    }
    report.add(of_file, offset, lsn, what);
    Ok(())
}

fn cannot(folder: &Path, error: JournalError) -> VerifyError {
    match error {
        JournalError::Io { path, op, source } => VerifyError::Io {
            path,
            what: op,
            source,
        },
        JournalError::UnknownFormat { file, version } => {
            let file = file.strip_prefix(folder).unwrap_or(&file).display();
            VerifyError::UnknownFormat {
                what: format!(
                    "{file} has format version {version}, which this version cannot read"
                ),
            }
        }
        other => VerifyError::Io {
            path: folder.to_owned(),
            what: "read the journal in",
            source: std::io::Error::other(other.to_string()),
        },
    }
}
