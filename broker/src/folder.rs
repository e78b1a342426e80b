//! The data folder: its lock, its format, its identity.
//!
//! ```text
//! verteilt.lock   held while a broker runs
//! verteilt.id     format version and the 16 bytes that name this folder
//! journal/        what acknowledgements wait for
//! store/          sled: the state of the last checkpoint
//! ```

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::StartError;

const LOCK: &str = "verteilt.lock";
const IDENTITY: &str = "verteilt.id";
const IDENTITY_NEW: &str = "verteilt.id.new";
const FORMAT: u8 = 1;
const MAGIC: &[u8; 7] = b"VERTEIL";

/// A data folder that is ours while this value lives.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// The lock goes with the file.
    _lock: File,
    /// Names the folder for ever.
    pub(crate) id: [u8; 16],
}

impl Folder {
    /// Opens or makes it.
    pub(crate) fn open(path: &Path) -> Result<Self, StartError> {
        let fail = |what, source| StartError::Folder {
            path: path.to_owned(),
            what,
            source,
        };
        std::fs::create_dir_all(path).map_err(|error| fail("make the folder", error))?;
        if holds_something_else(path).map_err(|error| fail("read the folder", error))? {
            return Err(StartError::NotAFolder {
                path: path.to_owned(),
            });
        }
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join(LOCK))
            .map_err(|error| fail("open the lock file", error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StartError::Locked {
                    path: path.to_owned(),
                });
            }
            Err(TryLockError::Error(error)) => return Err(fail("lock the folder", error)),
        }
        let id = identity(path)?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
            id,
        })
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.path.join("journal")
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path.join("store")
    }
}

/// What may stand in a folder that has no identity yet: traces of a start that did not get far, and
/// what file systems put there.
const BEFORE_IDENTITY: [&str; 3] = [LOCK, IDENTITY_NEW, "lost+found"];

/// A folder with files in it that were there before us is somebody's home, or ours without its
/// identity; either way nothing is written there.
fn holds_something_else(folder: &Path) -> io::Result<bool> {
    if folder.join(IDENTITY).try_exists()? {
        return Ok(false);
    }
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        if !BEFORE_IDENTITY.iter().any(|known| name == *known) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn identity(folder: &Path) -> Result<[u8; 16], StartError> {
    let path = folder.join(IDENTITY);
    let fail = |what, source| StartError::Folder {
        path: path.clone(),
        what,
        source,
    };
    match std::fs::read(&path) {
        Ok(bytes) => match (bytes.get(..7), bytes.get(7), bytes.get(8..24)) {
            (Some(magic), Some(&format), _) if magic == MAGIC && format != FORMAT => {
                Err(StartError::UnknownFormat { path, format })
            }
            (Some(magic), Some(_), Some(id)) if magic == MAGIC && bytes.len() == 24 => {
                Ok(<[u8; 16]>::try_from(id).expect("the range has 16 bytes"))
            }
            _ => Err(StartError::NotAFolder { path }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_identity(folder).map_err(|error| fail("write", error))
        }
        Err(error) => Err(fail("read", error)),
    }
}

fn make_identity(folder: &Path) -> io::Result<[u8; 16]> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| io::Error::other(error.to_string()))?;
    let new = folder.join(IDENTITY_NEW);
    let mut file = File::create(&new)?;
    file.write_all(&[MAGIC, &[FORMAT][..], &id].concat())?;
    file.sync_all()?;
    std::fs::rename(&new, folder.join(IDENTITY))?;
    File::open(folder)?.sync_all()?;
    Ok(id)
}
