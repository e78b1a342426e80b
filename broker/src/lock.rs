//! The lock of a data folder: one owner at a time, and it can be named.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::OnceLock;

use crate::error::StartError;

/// Its name in the folder.
pub(crate) const LOCK: &str = "verteilt.lock";

/// More than this is not what an owner writes.
const OWNER_BYTES_MAX: u64 = 4096;

/// Who has a data folder, as it wrote into the lock file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderOwner {
    /// The process, by the number it has for itself.
    pub process: u32,
    /// The file name of its program.
    pub program: String,
    /// It is the process that asks.
    pub is_this_process: bool,
}

/// The right to a data folder. It ends when this is dropped, also while a child that was forked
/// meanwhile still has the file open.
#[derive(Debug)]
pub(crate) struct FolderLock {
    file: File,
    process: u32,
}

impl FolderLock {
    /// Takes it, or says who has it.
    pub(crate) fn take(folder: &Path) -> Result<Self, StartError> {
        let fail = |what, source| StartError::Folder {
            path: folder.to_owned(),
            what,
            source,
        };
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(folder.join(LOCK))
            .map_err(|error| fail("open the lock file", error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let owner = read_owner(&mut file);
                let path = folder.to_owned();
                return Err(StartError::Locked { path, owner });
            }
            Err(TryLockError::Error(error)) => return Err(fail("lock the folder", error)),
        }
        let process = std::process::id();
        if let Err(error) = write_owner(&mut file, process) {
            // Only the text that others are refused with suffers, for instance on a full disk.
            tracing::debug!(%error, "the lock file does not name its owner");
        }
        Ok(Self { file, process })
    }
}

impl Drop for FolderLock {
    /// A lock is shared with the children that a process forks. The parent gives it up for all; a
    /// child must not, because its parent's broker goes on.
    fn drop(&mut self) {
        if std::process::id() == self.process {
            // It goes with the file then, if with nothing before.
            let _ = self.file.unlock();
        }
    }
}

/// Tells two processes apart that have one number, each in its container.
fn mark() -> u64 {
    static MARK: OnceLock<u64> = OnceLock::new();
    *MARK.get_or_init(|| getrandom::u64().unwrap_or(0))
}

fn write_owner(file: &mut File, process: u32) -> std::io::Result<()> {
    let program = std::env::current_exe().ok();
    let program = program.as_deref().and_then(Path::file_name);
    let program = program.unwrap_or_default().to_string_lossy();
    file.set_len(0)?;
    let mark = mark();
    file.write_all(format!("{process} {mark:016x} {program}\n").as_bytes())
}

fn read_owner(file: &mut File) -> Option<FolderOwner> {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0)).ok()?;
    file.take(OWNER_BYTES_MAX).read_to_string(&mut text).ok()?;
    let mut words = text.strip_suffix('\n')?.splitn(3, ' ');
    let process = words.next()?.parse().ok()?;
    let marked = u64::from_str_radix(words.next()?, 16).ok()?;
    Some(FolderOwner {
        process,
        program: words.next()?.to_owned(),
        is_this_process: process == std::process::id() && marked == mark(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(folder: &Path) -> Option<FolderOwner> {
        match FolderLock::take(folder) {
            Err(StartError::Locked { owner, .. }) => owner,
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn the_owner_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let lock = FolderLock::take(folder.path()).unwrap();
        let owner = refusal(folder.path()).unwrap();
        assert_eq!(owner.process, std::process::id());
        assert!(owner.is_this_process && owner.program.starts_with("verteilt_broker"));
        // A process of the same number in another container.
        let other = format!("{} 00000000000000ff up all night\n", std::process::id());
        std::fs::write(folder.path().join(LOCK), other).unwrap();
        let owner = refusal(folder.path()).unwrap();
        assert!(!owner.is_this_process);
        assert_eq!(owner.program, "up all night");
        for strange in ["", "12", "12 34", "x 34 y\n", "12 34 cut"] {
            std::fs::write(folder.path().join(LOCK), strange).unwrap();
            assert_eq!(refusal(folder.path()), None, "{strange:?}");
        }
        drop(lock);
        FolderLock::take(folder.path()).unwrap();
    }

    /// A child has the open file of its parent, as after a fork: here it is handed down on purpose.
    #[test]
    fn a_child_that_goes_on_does_not_keep_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let lock = FolderLock::take(folder.path()).unwrap();
        let inherited = lock.file.try_clone().unwrap();
        let mut child = std::process::Command::new("sleep")
            .arg("600")
            .stdin(inherited)
            .spawn()
            .unwrap();
        assert!(refusal(folder.path()).is_some());
        drop(lock);
        let again = FolderLock::take(folder.path());
        child.kill().unwrap();
        child.wait().unwrap();
        again.unwrap();
    }

    #[test]
    fn a_child_does_not_give_up_what_its_parent_has() {
        let folder = tempfile::tempdir().unwrap();
        let mut lock = FolderLock::take(folder.path()).unwrap();
        let parents = lock.file.try_clone().unwrap();
        lock.process += 1;
        drop(lock);
        assert!(refusal(folder.path()).is_some());
        drop(parents);
        FolderLock::take(folder.path()).unwrap();
    }
}
