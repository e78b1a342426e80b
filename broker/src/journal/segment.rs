//! One segment file: a page of its own header, then batches.
//!
//! ```text
//! 0 u32 magic   4 u16 format version   6 u16 reserved   8 u64 journal identity
//! 16 u64 use number   24 u64 size of the file   32 u32 CRC32C of 0..32
//! ```
//! A file gets its number as its name only when it is whole, has its header, and both are on the
//! disk. So a numbered file that is short or has no header is damage, never the trace of a crash.

use std::path::Path;

use super::{
    JournalError,
    aligned::Aligned,
    disk::{Disk, DiskFile, is_unsupported},
    header::{Identity, read_u16, read_u32, read_u64},
    layout::{DATA_OFFSET, PAGE_BYTES},
    names,
};

const MAGIC: u32 = u32::from_le_bytes(*b"VJS\x1A");
const VERSION: u16 = 1;
const HEADER_BYTES: usize = 36;
const ZERO_CHUNK_BYTES: usize = 1024 * 1024;
/// Zeros are synced in steps of this, so that the disk's queue stays short for the appends.
const ZERO_SYNC_BYTES: u32 = 8 * 1024 * 1024;

/// An open segment. Readers pin it by holding its `Arc`.
#[derive(Debug)]
pub(super) struct Segment {
    /// Use number: grows by one with every use of a file, and is never given twice.
    pub(super) number: u64,
    /// Size of the file.
    pub(super) bytes: u32,
    pub(super) file: DiskFile,
}

/// What is needed to make or open a segment.
#[derive(Debug, Clone)]
pub(super) struct SegmentMaker {
    pub(super) disk: Disk,
    pub(super) folder: std::path::PathBuf,
    pub(super) identity: Identity,
    /// Size of new files.
    pub(super) segment_bytes: u32,
}

impl SegmentMaker {
    /// Makes a new file full of zeros, so that no append ever has to allocate.
    pub(super) fn create(&self, number: u64) -> Result<Segment, JournalError> {
        let path = names::segment(&self.folder, number);
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .expect("the name is digits");
        let unfinished = names::unfinished(&self.folder, name);
        let made = self
            .fill(&unfinished)
            .and_then(|file| self.finish(file, number));
        if made.is_err() {
            // The error at hand is the one that matters; an open deletes what is left over.
            let _ = self.disk.remove(&unfinished);
        }
        made
    }

    fn fill(&self, path: &Path) -> Result<DiskFile, JournalError> {
        let file = self.disk.create(path)?;
        // Past the page cache where the file system allows it: the zeros are not read again, and
        // the memory that they would take is needed for what is (docs/benchmarks/).
        let mut direct = file.direct();
        let zeros = Aligned::zeros(ZERO_CHUNK_BYTES.min(self.segment_bytes as usize));
        let mut offset = 0;
        while offset < self.segment_bytes {
            let length = zeros.len().min((self.segment_bytes - offset) as usize);
            let (chunk, at) = (&zeros.bytes()[..length], u64::from(offset));
            let written = direct.as_ref().map(|file| file.write_at(chunk, at));
            match written {
                Some(Ok(())) => {}
                Some(Err(error)) if is_unsupported(&error) => {
                    direct = None;
                    continue;
                }
                Some(Err(error)) => return Err(error),
                None => file.write_at(chunk, at)?,
            }
            offset += u32::try_from(length).expect("at most one chunk");
            if offset % ZERO_SYNC_BYTES == 0 {
                file.sync()?;
            }
        }
        Ok(file)
    }

    /// Gives a spare file its next use. What it held stays in it, but carries an older use number.
    pub(super) fn recycle(&self, spare: &Path, number: u64) -> Result<Segment, JournalError> {
        let file = self.disk.open(spare)?;
        self.finish(file, number)
    }

    fn finish(&self, file: DiskFile, number: u64) -> Result<Segment, JournalError> {
        // The header's page and one page of zeros: a clean end always shows zeros.
        let mut pages = vec![0; (DATA_OFFSET + PAGE_BYTES) as usize];
        self.encode_header(&mut pages, number);
        file.write_at(&pages, 0)?;
        file.sync()?;
        let path = names::segment(&self.folder, number);
        self.disk.rename(file.path(), &path)?;
        self.disk.sync_folder(&self.folder)?;
        Ok(Segment {
            number,
            bytes: self.segment_bytes,
            file: file.renamed(path),
        })
    }

    fn encode_header(&self, out: &mut [u8], number: u64) {
        out[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        out[4..6].copy_from_slice(&VERSION.to_le_bytes());
        out[8..16].copy_from_slice(&self.identity.0.to_le_bytes());
        out[16..24].copy_from_slice(&number.to_le_bytes());
        out[24..32].copy_from_slice(&u64::from(self.segment_bytes).to_le_bytes());
        let checksum = self.identity.checksum(&out[..32]);
        out[32..36].copy_from_slice(&checksum.to_le_bytes());
    }

    /// Opens the numbered file of an existing journal and proves its header.
    pub(super) fn open(&self, number: u64) -> Result<Segment, JournalError> {
        let file = self.disk.open(&names::segment(&self.folder, number))?;
        let path = file.path().to_owned();
        let damaged = |why| JournalError::Damaged {
            file: path.clone(),
            lsn: 0,
            offset: 0,
            why,
        };
        let length = file.length()?;
        if length < HEADER_BYTES as u64 {
            return Err(damaged("the file was cut off within its own header"));
        }
        let mut bytes = [0; HEADER_BYTES];
        file.read_at(&mut bytes, 0)?;
        if read_u32(&bytes, 0) != MAGIC
            || read_u32(&bytes, 32) != self.identity.checksum(&bytes[..32])
        {
            return Err(damaged(
                "the header of the segment is broken, or of another journal",
            ));
        }
        let version = read_u16(&bytes, 4);
        if version != VERSION {
            return Err(JournalError::UnknownFormat {
                file: path,
                version,
            });
        }
        if read_u64(&bytes, 16) != number {
            return Err(damaged(
                "the header of the segment names another use number",
            ));
        }
        let made_bytes = read_u64(&bytes, 24);
        if length < made_bytes {
            return Err(damaged("the file is shorter than it was made"));
        }
        let bytes = u32::try_from(made_bytes)
            .map_err(|_| damaged("the header of the segment names an impossible size"))?;
        Ok(Segment {
            number,
            bytes,
            file,
        })
    }
}
