//! The one folder that is touched, which must be ours.

use std::fs;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use verteilt_history::{History, TopicRecord, write_topics};
use walkdir::WalkDir;

use crate::failure::Failure;

/// Tells that the folder is ours to empty.
const MARKER: &str = ".verteilt-torture";

/// Small files and short times: the journal is trimmed, checkpoints are taken and leases come back
/// as often in a minute as otherwise in a day.
const CONFIG: &str = r#"# Written by `verteilt torture`.
[connections]
resume_grace = "2s"

[journal]
segment_bytes = "4MiB"
bytes_max = "64MiB"

[checkpoint]
bytes = "8MiB"
interval = "1s"
"#;

/// As in [`CONFIG`], for the checker.
pub(super) const RESUME_GRACE_MS: u64 = 2_000;

/// The folder and what is in it.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes it, or empties it if it is from an earlier torture; refuses any other.
    pub(super) fn prepare(path: &Path) -> Result<Self, Failure> {
        let cannot =
            |error: io::Error| Failure::work(format!("cannot prepare {}: {error}", path.display()));
        fs::create_dir_all(path).map_err(cannot)?;
        let folder = Self {
            path: path.canonicalize().map_err(cannot)?,
        };
        let marker = folder.path.join(MARKER);
        let is_empty = fs::read_dir(&folder.path).map_err(cannot)?.next().is_none();
        if !is_empty && !marker.is_file() {
            return Err(Failure::usage(format!(
                "{} is neither empty nor the folder of an earlier torture",
                path.display()
            ))
            .advise("name a folder that does not exist yet: everything in it is removed"));
        }
        fs::write(&marker, "Everything beside this file may be removed.\n").map_err(cannot)?;
        if folder.broker().exists() {
            fs::remove_dir_all(folder.broker()).map_err(cannot)?;
        }
        for file in [folder.log(), folder.history(), folder.topics()] {
            match fs::remove_file(file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(cannot(error)),
                _ => {}
            }
        }
        fs::write(folder.config(), CONFIG).map_err(cannot)?;
        Ok(folder)
    }

    /// The broker's data.
    pub(super) fn broker(&self) -> PathBuf {
        self.path.join("broker")
    }

    /// The broker's configuration.
    pub(super) fn config(&self) -> PathBuf {
        self.path.join("verteilt.toml")
    }

    /// What the broker says, over all its runs.
    pub(super) fn log(&self) -> PathBuf {
        self.path.join("broker.log")
    }

    /// The history of a section that went wrong, a record a line.
    pub(super) fn history(&self) -> PathBuf {
        self.path.join("history.jsonl")
    }

    /// The history of its topics, a record a line.
    pub(super) fn topics(&self) -> PathBuf {
        self.path.join("topics.jsonl")
    }

    /// Bytes of all files of the broker.
    pub(super) fn broker_bytes(&self) -> u64 {
        let files = WalkDir::new(self.broker()).into_iter().flatten();
        let lengths = files.filter_map(|file| file.metadata().ok().map(|data| data.len()));
        lengths.sum()
    }

    /// Writes the history down.
    pub(super) fn keep(&self, history: &History) -> Result<(), Failure> {
        write(&self.history(), |file| history.write(file))
    }

    /// Writes that of the topics down.
    pub(super) fn keep_topics(&self, history: &[TopicRecord]) -> Result<(), Failure> {
        write(&self.topics(), |file| write_topics(history, file))
    }
}

fn write(
    path: &Path,
    lines: impl FnOnce(BufWriter<fs::File>) -> io::Result<()>,
) -> Result<(), Failure> {
    let written = fs::File::create(path).and_then(|file| lines(BufWriter::new(file)));
    written.map_err(|error| Failure::work(format!("cannot write {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_something_else_in_it_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.txt"), "years of work").unwrap();
        assert!(Folder::prepare(folder.path()).is_err());
        assert!(folder.path().join("thesis.txt").is_file());
    }

    #[test]
    fn an_earlier_torture_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new");
        let first = Folder::prepare(&path).unwrap();
        fs::create_dir(first.broker()).unwrap();
        fs::write(first.history(), "").unwrap();
        let second = Folder::prepare(&path).unwrap();
        assert!(!second.broker().exists() && !second.history().exists());
    }
}
