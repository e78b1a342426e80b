//! Which files of this machine become jobs.

use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::failure::Failure;

/// Bytes of all files together: enough to see something, little enough to read in seconds.
const BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Folders that are on most machines and hold many real files.
const USUAL: [&str; 3] = ["/usr/share/doc", "/usr/share", "/usr/include"];

/// The folder that was given, or the first usual one that is there, else the one we are in. With
/// its full name: a job left over from here must mean the same file to a run from elsewhere.
pub(super) fn folder(given: Option<&Path>) -> Result<PathBuf, Failure> {
    let usual = || {
        let there = USUAL
            .into_iter()
            .map(Path::new)
            .find(|folder| folder.is_dir());
        there.unwrap_or(Path::new("."))
    };
    let folder = given.unwrap_or_else(usual);
    match folder.canonicalize() {
        Ok(full) if full.is_dir() => Ok(full),
        Ok(_) => Err(Failure::usage(format!(
            "{} is not a folder",
            folder.display()
        ))),
        Err(error) => Err(Failure::usage(format!(
            "cannot open {}: {error}",
            folder.display()
        ))),
    }
}

/// Regular files under `folder`, and whether there were more than `files_max` or [`BYTES_MAX`].
/// Links are not followed, and what may not be read is left out.
pub(super) async fn find(
    folder: PathBuf,
    files_max: usize,
) -> Result<(Vec<PathBuf>, bool), Failure> {
    let found = tokio::task::spawn_blocking(move || walk(&folder, files_max)).await;
    found.map_err(|panic| Failure::work(format!("cannot look for files: {panic}")))
}

fn walk(folder: &Path, files_max: usize) -> (Vec<PathBuf>, bool) {
    let mut files = Vec::new();
    let mut bytes = 0;
    let entries = WalkDir::new(folder).sort_by_file_name().into_iter();
    for entry in entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_file())
    {
        let length = entry.metadata().map_or(0, |metadata| metadata.len());
        if files.len() == files_max || bytes + length > BYTES_MAX {
            return (files, true);
        }
        bytes += length;
        files.push(entry.into_path());
    }
    (files, false)
}
