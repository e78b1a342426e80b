//! `watermark`: up to where the journal was once durable, so that a journal that was cut short is
//! told from one that was never longer.
//!
//! Two slots a page apart, written in turn, so that a torn write leaves the other one whole:
//! ```text
//!  0 u32 magic         4 u16 format version  6 u16 shard   8 u64 count of writes
//! 16 u64 use number   24 u64 end offset     32 u64 LSN    40 u32 CRC32C of 0..40
//! ```

use std::path::Path;

use super::{
    JournalError,
    disk::{Disk, DiskFile},
    header::{Identity, read_u16, read_u32, read_u64},
    names,
};

const MAGIC: u32 = u32::from_le_bytes(*b"VJW\x1A");
const VERSION: u16 = 1;
const SLOT_BYTES: usize = 44;
const SLOT_STRIDE: u64 = 4096;

/// A place in the journal up to which all is durable, and the last number before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Position {
    /// Use number of the segment; 0 before the first batch.
    pub(super) segment: u64,
    /// Where the next batch of that segment will stand.
    pub(super) offset: u32,
    /// The shard of the last batch.
    pub(super) shard: u16,
    /// The last log sequence number of that shard.
    pub(super) lsn: u64,
}

impl Position {
    /// True when this lies before `other`.
    pub(super) fn is_before(&self, other: &Self) -> bool {
        (self.segment, self.offset) < (other.segment, other.offset)
    }
}

/// The open watermark file. One owner at a time.
#[derive(Debug)]
pub(super) struct Watermark {
    file: DiskFile,
    identity: Identity,
    writes: u64,
    position: Position,
}

impl Watermark {
    /// Makes the file, both slots at the beginning of an empty journal.
    pub(super) fn create(
        disk: &Disk,
        folder: &Path,
        identity: Identity,
    ) -> Result<Self, JournalError> {
        let path = folder.join(names::WATERMARK_NAME);
        let unfinished = names::unfinished(folder, names::WATERMARK_NAME);
        let position = Position::default();
        let file = disk.create(&unfinished)?;
        for writes in 0..2 {
            let slot = encode(identity, writes, &position);
            file.write_at(&slot, slot_offset(writes))?;
        }
        file.sync()?;
        disk.rename(&unfinished, &path)?;
        disk.sync_folder(folder)?;
        Ok(Self {
            file: file.renamed(path),
            identity,
            writes: 1,
            position,
        })
    }

    /// Opens the file of an existing journal.
    pub(super) fn open(
        disk: &Disk,
        folder: &Path,
        identity: Identity,
    ) -> Result<Self, JournalError> {
        let file = disk.open(&folder.join(names::WATERMARK_NAME))?;
        let length = file.length()?;
        let mut newest: Option<(u64, Position)> = None;
        for slot in 0..2 {
            let mut bytes = [0; SLOT_BYTES];
            if length < slot_offset(slot) + SLOT_BYTES as u64 {
                continue;
            }
            file.read_at(&mut bytes, slot_offset(slot))?;
            let Some((writes, position)) = decode(file.path(), identity, &bytes)? else {
                continue;
            };
            if newest.is_none_or(|(most, _)| writes > most) {
                newest = Some((writes, position));
            }
        }
        match newest {
            Some((writes, position)) => Ok(Self {
                file,
                identity,
                writes,
                position,
            }),
            None => Err(JournalError::Damaged {
                file: file.path().to_owned(),
                lsn: 0,
                offset: 0,
                why: "neither of its two slots is whole",
            }),
        }
    }

    /// The last position that was written.
    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// Moves the watermark; nothing is written when it is there already.
    pub(super) fn advance(&mut self, position: Position) -> Result<(), JournalError> {
        if !self.position.is_before(&position) {
            return Ok(());
        }
        let writes = self.writes + 1;
        let slot = encode(self.identity, writes, &position);
        self.file.write_at(&slot, slot_offset(writes))?;
        self.file.sync()?;
        self.writes = writes;
        self.position = position;
        Ok(())
    }
}

fn slot_offset(writes: u64) -> u64 {
    (writes % 2) * SLOT_STRIDE
}

fn encode(identity: Identity, writes: u64, position: &Position) -> [u8; SLOT_BYTES] {
    let mut out = [0; SLOT_BYTES];
    out[0..4].copy_from_slice(&MAGIC.to_le_bytes());
    out[4..6].copy_from_slice(&VERSION.to_le_bytes());
    out[6..8].copy_from_slice(&position.shard.to_le_bytes());
    out[8..16].copy_from_slice(&writes.to_le_bytes());
    out[16..24].copy_from_slice(&position.segment.to_le_bytes());
    out[24..32].copy_from_slice(&u64::from(position.offset).to_le_bytes());
    out[32..40].copy_from_slice(&position.lsn.to_le_bytes());
    let checksum = identity.checksum(&out[..40]);
    out[40..].copy_from_slice(&checksum.to_le_bytes());
    out
}

fn decode(
    path: &Path,
    identity: Identity,
    bytes: &[u8; SLOT_BYTES],
) -> Result<Option<(u64, Position)>, JournalError> {
    if read_u32(bytes, 0) != MAGIC || read_u32(bytes, 40) != identity.checksum(&bytes[..40]) {
        return Ok(None);
    }
    let version = read_u16(bytes, 4);
    if version != VERSION {
        return Err(JournalError::UnknownFormat {
            file: path.to_owned(),
            version,
        });
    }
    let position = Position {
        segment: read_u64(bytes, 16),
        offset: u32::try_from(read_u64(bytes, 24)).unwrap_or(u32::MAX),
        shard: read_u16(bytes, 6),
        lsn: read_u64(bytes, 32),
    };
    Ok(Some((read_u64(bytes, 8), position)))
}
