//! `journal.meta`: the random identity that every checksum of the journal starts from.
//!
//! ```text
//! 0 u32 magic   4 u16 format version   6 u16 reserved   8 u64 identity   16 u32 CRC32C of 0..16
//! ```
//! Written once, when the journal is made.

use std::path::Path;

use super::{
    JournalError,
    disk::Disk,
    header::{Identity, read_u16, read_u32, read_u64},
    names,
};

const MAGIC: u32 = u32::from_le_bytes(*b"VJM\x1A");
const VERSION: u16 = 1;
const BYTES: usize = 20;

/// Makes the file with a new random identity.
pub(super) fn create(disk: &Disk, folder: &Path) -> Result<Identity, JournalError> {
    let path = folder.join(names::IDENTITY_NAME);
    let random = getrandom::u64().map_err(|error| JournalError::Io {
        path: path.clone(),
        op: "draw a random identity for",
        source: std::io::Error::other(error.to_string()),
    })?;
    let identity = Identity(random);
    let mut bytes = [0; BYTES];
    bytes[0..4].copy_from_slice(&MAGIC.to_le_bytes());
    bytes[4..6].copy_from_slice(&VERSION.to_le_bytes());
    bytes[8..16].copy_from_slice(&identity.0.to_le_bytes());
    let checksum = crc32c::crc32c(&bytes[..16]);
    bytes[16..].copy_from_slice(&checksum.to_le_bytes());

    let unfinished = names::unfinished(folder, names::IDENTITY_NAME);
    let file = disk.create(&unfinished)?;
    file.write_at(&bytes, 0)?;
    file.sync()?;
    disk.rename(&unfinished, &path)?;
    disk.sync_folder(folder)?;
    Ok(identity)
}

/// Reads the identity of an existing journal.
pub(super) fn read(disk: &Disk, folder: &Path) -> Result<Identity, JournalError> {
    let path = folder.join(names::IDENTITY_NAME);
    let file = disk.open(&path)?;
    let damaged = |why| JournalError::Damaged {
        file: path.clone(),
        lsn: 0,
        offset: 0,
        why,
    };
    if file.length()? < BYTES as u64 {
        return Err(damaged("the file is too short"));
    }
    let mut bytes = [0; BYTES];
    file.read_at(&mut bytes, 0)?;
    if read_u32(&bytes, 16) != crc32c::crc32c(&bytes[..16]) {
        return Err(damaged("the checksum does not match"));
    }
    if read_u32(&bytes, 0) != MAGIC {
        return Err(damaged("it is no file of a journal"));
    }
    let version = read_u16(&bytes, 4);
    if version != VERSION {
        return Err(JournalError::UnknownFormat {
            file: path,
            version,
        });
    }
    Ok(Identity(read_u64(&bytes, 8)))
}
