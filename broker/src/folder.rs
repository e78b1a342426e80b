//! The data folder: its lock, its format, its identity.
//!
//! ```text
//! verteilt.lock   held while a broker runs
//! verteilt.id     format version, the 16 bytes that name this folder, CRC32C
//! journal/        what acknowledgements wait for
//! store/          sled: the state of the last checkpoint
//! ```

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::StartError;
use crate::lock::{FolderLock, LOCK};

pub(crate) const IDENTITY: &str = "verteilt.id";
pub(crate) const IDENTITY_NEW: &str = "verteilt.id.new";
pub(crate) const JOURNAL: &str = "journal";
pub(crate) const STORE: &str = "store";
const MAGIC: &[u8; 7] = b"VERTEIL";
const FORMAT: u8 = 2;
/// As [`FORMAT`], but without the checksum.
const FORMAT_UNCHECKED: u8 = 1;
/// Of the checksum at the end of every format from 2 on, little-endian, over all before it.
const CHECKSUM_BYTES: usize = 4;

/// A data folder that is ours while this value lives.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _lock: FolderLock,
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
        // The process may go to another working directory later.
        let path = &std::path::absolute(path).map_err(|error| fail("find", error))?;
        make(path).map_err(|error| fail("make the folder", error))?;
        refuse_what_is_not_ours(path)?;
        let lock = FolderLock::take(path)?;
        let id = identity(path)?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
            id,
        })
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.path.join(JOURNAL)
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path.join(STORE)
    }
}

/// A data folder in the making. It has its lock and no identity yet, so that no broker starts on it
/// before it is finished.
#[derive(Debug)]
pub(crate) struct NewFolder {
    path: PathBuf,
    _lock: FolderLock,
}

impl NewFolder {
    /// Makes it; `path` does not exist or is empty.
    pub(crate) fn create(path: &Path) -> Result<Self, StartError> {
        let fail = |what, source| StartError::Folder {
            path: path.to_owned(),
            what,
            source,
        };
        make(path).map_err(|error| fail("make the folder", error))?;
        Ok(Self {
            path: path.to_owned(),
            _lock: FolderLock::take(path)?,
        })
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.path.join(JOURNAL)
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path.join(STORE)
    }

    /// Gives it its identity, durably: from now on it is a data folder.
    pub(crate) fn finish(self) -> Result<(), StartError> {
        let made = make_identity(&self.path);
        made.map(drop).map_err(|source| StartError::Folder {
            path: self.path.join(IDENTITY),
            what: "write",
            source,
        })
    }
}

/// What may stand in a folder that has no identity yet: traces of a start that did not get far, and
/// what file systems put there.
const BEFORE_IDENTITY: [&str; 3] = [LOCK, IDENTITY_NEW, "lost+found"];

/// What stands beside the identity once a broker has run.
const BESIDE_IDENTITY: [&str; 2] = [JOURNAL, STORE];

/// Makes the folder and its parents. They last: an acknowledgement is worth nothing when a power cut
/// takes the folder away.
fn make(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    make(parent)?;
    match std::fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    File::open(parent)?.sync_all()
}

/// A folder with files in it that were there before us is somebody's home, or ours without its
/// identity; either way nothing is written there.
fn refuse_what_is_not_ours(folder: &Path) -> Result<(), StartError> {
    let names = names(folder).map_err(|source| StartError::Folder {
        path: folder.to_owned(),
        what: "read the folder",
        source,
    })?;
    let is_one_of = |known: &[&str]| names.iter().any(|name| known.iter().any(|one| name == one));
    let is_strange = |name: &&OsString| !BEFORE_IDENTITY.iter().any(|known| *name == known);
    if is_one_of(&[IDENTITY]) || !names.iter().any(|name| is_strange(&name)) {
        return Ok(());
    }
    Err(if is_one_of(&BESIDE_IDENTITY) {
        StartError::Identity {
            path: folder.join(IDENTITY),
            why: "is missing",
        }
    } else {
        StartError::NotAFolder {
            path: folder.to_owned(),
        }
    })
}

fn names(folder: &Path) -> io::Result<Vec<OsString>> {
    let entries = std::fs::read_dir(folder)?;
    entries.map(|entry| Ok(entry?.file_name())).collect()
}

fn identity(folder: &Path) -> Result<[u8; 16], StartError> {
    let path = folder.join(IDENTITY);
    let fail = |what, source| StartError::Folder {
        path: path.clone(),
        what,
        source,
    };
    match std::fs::read(&path) {
        Ok(bytes) => read_identity(path, &bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_identity(folder).map_err(|error| fail("write", error))
        }
        Err(error) => Err(fail("read", error)),
    }
}

/// What the bytes of the identity in `path` say.
pub(crate) fn read_identity(path: PathBuf, bytes: &[u8]) -> Result<[u8; 16], StartError> {
    let wrong = |why| {
        Err(StartError::Identity {
            path: path.clone(),
            why,
        })
    };
    let Some((&format, rest)) = bytes.strip_prefix(MAGIC).and_then(<[u8]>::split_first) else {
        return wrong("is not what verteilt writes there");
    };
    if let (FORMAT_UNCHECKED, Ok(id)) = (format, rest.try_into()) {
        return Ok(id);
    }
    let Some((id, checksum)) = rest.split_last_chunk::<CHECKSUM_BYTES>() else {
        return wrong("is cut off");
    };
    let checked = &bytes[..bytes.len() - CHECKSUM_BYTES];
    if crc32c::crc32c(checked).to_le_bytes() != *checksum {
        return wrong("does not match its checksum");
    }
    match id.try_into() {
        Ok(id) if format == FORMAT => Ok(id),
        _ => Err(StartError::UnknownFormat { path, format }),
    }
}

fn make_identity(folder: &Path) -> io::Result<[u8; 16]> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| io::Error::other(error.to_string()))?;
    let mut bytes = [MAGIC, &[FORMAT][..], &id].concat();
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    let new = folder.join(IDENTITY_NEW);
    let mut file = File::create(&new)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, folder.join(IDENTITY))?;
    File::open(folder)?.sync_all()?;
    Ok(id)
}
