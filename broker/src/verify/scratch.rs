//! A copy of the store. sled writes to what it opens (it cuts what is torn, and takes snapshots),
//! so it gets a copy to write to; where the file system can share blocks, it takes no room.

use std::fmt::Display;
use std::fs;
use std::io;
use std::path::Path;

use super::VerifyError;

/// Copies the files below `from` to `to`, which exists; returns their bytes. A folder that is not
/// there has no files.
pub(super) fn copy(from: &Path, to: &Path) -> Result<u64, VerifyError> {
    if !from.is_dir() {
        return Ok(0);
    }
    let needed_bytes = size(from)?;
    let free_bytes = free(to)?;
    if needed_bytes > free_bytes {
        return Err(VerifyError::NoRoom {
            scratch: to.to_owned(),
            needed_bytes,
            free_bytes,
        });
    }
    copy_all(from, to)?;
    Ok(needed_bytes)
}

/// The copy could not be worked on.
pub(super) fn failed(scratch: &Path, error: &dyn Display) -> VerifyError {
    VerifyError::Io {
        path: scratch.to_owned(),
        what: "work on the copy in",
        source: io::Error::other(error.to_string()),
    }
}

fn size(folder: &Path) -> Result<u64, VerifyError> {
    let mut bytes = 0;
    for entry in list(folder)? {
        let metadata = entry
            .metadata()
            .map_err(|error| refused(&entry.path(), "inspect", error))?;
        bytes += if metadata.is_dir() {
            size(&entry.path())?
        } else {
            metadata.len()
        };
    }
    Ok(bytes)
}

fn copy_all(from: &Path, to: &Path) -> Result<(), VerifyError> {
    for entry in list(from)? {
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            fs::create_dir(&copy).map_err(|error| refused(&copy, "create", error))?;
            copy_all(&path, &copy)?;
        } else {
            fs::copy(&path, &copy).map_err(|error| refused(&path, "copy", error))?;
        }
    }
    Ok(())
}

fn list(folder: &Path) -> Result<Vec<fs::DirEntry>, VerifyError> {
    fs::read_dir(folder)
        .and_then(Iterator::collect)
        .map_err(|error| refused(folder, "list", error))
}

fn free(folder: &Path) -> Result<u64, VerifyError> {
    let stat = rustix::fs::statvfs(folder)
        .map_err(|error| refused(folder, "measure the room in", error.into()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

fn refused(path: &Path, what: &'static str, source: io::Error) -> VerifyError {
    VerifyError::Io {
        path: path.to_owned(),
        what,
        source,
    }
}
