//! Reads a segment from front to back in large pieces, for recovery.

use super::{
    JournalError,
    header::{BatchHeader, HEADER_BYTES, Identity, NotAHeader},
    layout::{SECTOR_BYTES, batch_extent},
    segment::Segment,
};

/// Large enough that the system calls do not count, small enough to stay in a CPU cache.
const CHUNK_BYTES: usize = 512 * 1024;

/// What stands at an offset.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A whole batch.
    Batch(BatchHeader),
    /// A batch whose header is whole and whose payload is not.
    Torn(BatchHeader),
    /// Nothing was ever written here in this use: a sector of zeros, or the end of the file.
    Nothing,
    /// Something, but no header.
    Unreadable,
}

/// A window that moves over segments; the buffer is made once.
#[derive(Debug)]
pub(super) struct Scanner {
    identity: Identity,
    buffer: Vec<u8>,
    segment: u64,
    start: u64,
    filled: usize,
    /// Bytes read from the disk so far.
    pub(super) scanned_bytes: u64,
}

impl Scanner {
    pub(super) fn new(identity: Identity) -> Self {
        Self {
            identity,
            buffer: vec![0; CHUNK_BYTES],
            segment: 0,
            start: 0,
            filled: 0,
            scanned_bytes: 0,
        }
    }

    /// Forgets what is buffered, because the disk was written.
    pub(super) fn forget(&mut self) {
        self.filled = 0;
    }

    /// Reads what stands at `offset`, a multiple of a sector, and proves both checksums.
    pub(super) fn at(&mut self, segment: &Segment, offset: u32) -> Result<Found, JournalError> {
        if offset >= segment.bytes {
            return Ok(Found::Nothing);
        }
        let identity = self.identity;
        let sector = self.bytes(segment, u64::from(offset), SECTOR_BYTES as usize)?;
        let header = match BatchHeader::decode(sector, identity, segment.number, offset) {
            Ok(header) => header,
            Err(NotAHeader::UnknownVersion(version)) => {
                return Err(unknown_format(segment, version));
            }
            Err(NotAHeader::Invalid) if sector.iter().all(|&byte| byte == 0) => {
                return Ok(Found::Nothing);
            }
            Err(NotAHeader::Invalid) => return Ok(Found::Unreadable),
        };
        let payload = u64::from(offset) + HEADER_BYTES as u64;
        if payload + u64::from(header.payload_bytes) > u64::from(segment.bytes) {
            return Ok(Found::Unreadable);
        }
        let mut checksum = self.identity.seed();
        let mut at = payload;
        let end = payload + u64::from(header.payload_bytes);
        while at < end {
            let length =
                usize::try_from(end - at).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
            let bytes = self.some_bytes(segment, at, length)?;
            checksum = crc32c::crc32c_append(checksum, bytes);
            at += bytes.len() as u64;
        }
        if checksum == header.payload_checksum {
            Ok(Found::Batch(header))
        } else {
            Ok(Found::Torn(header))
        }
    }

    /// Looks for a header of this use anywhere from `offset` on that was written at or after
    /// `sequence`. Only a batch that was whole can have one after it.
    pub(super) fn search(
        &mut self,
        segment: &Segment,
        offset: u32,
        sequence: u64,
    ) -> Result<Option<BatchHeader>, JournalError> {
        let identity = self.identity;
        let mut at = offset;
        while at < segment.bytes {
            let length = (segment.bytes - at).min(CHUNK_BYTES as u32);
            let bytes = self.bytes(segment, u64::from(at), length as usize)?;
            for start in (0..bytes.len()).step_by(SECTOR_BYTES as usize) {
                let here = at + u32::try_from(start).expect("within one chunk");
                match BatchHeader::decode(&bytes[start..], identity, segment.number, here) {
                    Ok(header) if header.sequence >= sequence => return Ok(Some(header)),
                    Err(NotAHeader::UnknownVersion(version)) => {
                        return Err(unknown_format(segment, version));
                    }
                    Ok(_) | Err(NotAHeader::Invalid) => {}
                }
            }
            at += length;
        }
        Ok(None)
    }

    /// The end of the last batch that starts at `offset`.
    pub(super) fn end_of(header: &BatchHeader) -> u32 {
        header.offset + batch_extent(header.payload_bytes)
    }

    /// Exactly `length` bytes, at most one chunk.
    fn bytes(&mut self, segment: &Segment, at: u64, length: usize) -> Result<&[u8], JournalError> {
        if !self.holds(segment, at, length) {
            self.fill(segment, at)?;
        }
        let from = usize::try_from(at - self.start).expect("within the window");
        let end = (from + length).min(self.filled);
        Ok(&self.buffer[from..end])
    }

    /// Between 1 and `length` bytes: what is buffered, else a new chunk.
    fn some_bytes(
        &mut self,
        segment: &Segment,
        at: u64,
        length: usize,
    ) -> Result<&[u8], JournalError> {
        if !self.holds(segment, at, 1) {
            self.fill(segment, at)?;
        }
        let from = usize::try_from(at - self.start).expect("within the window");
        let end = (from + length).min(self.filled);
        Ok(&self.buffer[from..end])
    }

    fn holds(&self, segment: &Segment, at: u64, length: usize) -> bool {
        self.segment == segment.number
            && at >= self.start
            && at + length as u64 <= self.start + self.filled as u64
    }

    fn fill(&mut self, segment: &Segment, at: u64) -> Result<(), JournalError> {
        self.filled = 0;
        let left = u64::from(segment.bytes) - at;
        let length = usize::try_from(left).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
        segment.file.read_at(&mut self.buffer[..length], at)?;
        self.segment = segment.number;
        self.start = at;
        self.filled = length;
        self.scanned_bytes += length as u64;
        Ok(())
    }
}

fn unknown_format(segment: &Segment, version: u16) -> JournalError {
    JournalError::UnknownFormat {
        file: segment.file.path().to_owned(),
        version,
    }
}
