//! A backup as a store that can be read. Opening it proves every byte of it and remembers where
//! each pair lies, about 60 bytes a pair.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::ops::Bound;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::format::{
    END_BYTES, HEAD_BYTES, HEADER_BYTES, Head, Header, NotAHeader, end_checksum, pair_checksum,
    u64_at,
};
use crate::store::{KEY_BYTES_MAX, KeyVisitor, PairVisitor, Store, StoreError, VALUE_BYTES_MAX};

/// Why a file is not a whole backup.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackupError {
    #[error("it is not a backup of verteilt")]
    Foreign,
    #[error("its format version is {0}, which this version does not know")]
    UnknownVersion(u16),
    #[error("it ends too early: the backup was not finished, or the file was cut")]
    Incomplete { offset: u64 },
    #[error("{why}")]
    Damaged { offset: u64, why: &'static str },
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// Where each value lies, and how long it is, by key.
type Places = BTreeMap<Box<[u8]>, (u64, u32)>;

/// An opened backup.
#[derive(Debug)]
pub(crate) struct BackupFile {
    file: File,
    path: PathBuf,
    lsn: u64,
    bytes: u64,
    pairs: Places,
}

impl BackupFile {
    /// Reads all of it.
    pub(crate) fn open(path: &Path) -> Result<Self, BackupError> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let mut reader = Reader {
            inner: BufReader::with_capacity(1024 * 1024, file.try_clone()?),
            offset: 0,
        };
        let mut header = [0; HEADER_BYTES];
        reader.fill(&mut header)?;
        let header = Header::read(&header).map_err(|bad| match bad {
            NotAHeader::Foreign => BackupError::Foreign,
            NotAHeader::UnknownVersion(version) => BackupError::UnknownVersion(version),
            NotAHeader::Damaged => reader.damaged(0, "its header is damaged"),
        })?;
        let pairs = reader.pairs(header.pairs)?;
        if reader.offset != bytes {
            return Err(reader.damaged(reader.offset, "something follows behind its end"));
        }
        Ok(Self {
            file,
            path: path.to_owned(),
            lsn: header.lsn,
            bytes,
            pairs,
        })
    }

    /// The log sequence number that it is exact at.
    pub(crate) fn lsn(&self) -> u64 {
        self.lsn
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The keys in order.
    pub(crate) fn all_keys(&self) -> impl Iterator<Item = &[u8]> {
        self.pairs.keys().map(AsRef::as_ref)
    }

    fn value(&self, (offset, length): (u64, u32)) -> Result<Bytes, StoreError> {
        let mut value = vec![0; length as usize];
        let read = self.file.read_exact_at(&mut value, offset);
        read.map_err(|error| StoreError::Failed {
            reason: format!("cannot read {}: {error}", self.path.display()).into(),
        })?;
        Ok(value.into())
    }
}

struct Reader {
    inner: BufReader<File>,
    offset: u64,
}

impl Reader {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), BackupError> {
        match self.inner.read_exact(bytes) {
            Ok(()) => {
                self.offset += bytes.len() as u64;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                let offset = self.offset;
                Err(BackupError::Incomplete { offset })
            }
            Err(error) => Err(error.into()),
        }
    }

    fn damaged(&self, offset: u64, why: &'static str) -> BackupError {
        BackupError::Damaged { offset, why }
    }

    fn pairs(&mut self, expected: u64) -> Result<Places, BackupError> {
        let mut pairs = BTreeMap::new();
        let mut number = 0;
        let mut pair = Vec::new();
        loop {
            let at = self.offset;
            let mut head = [0; HEAD_BYTES];
            self.fill(&mut head)?;
            match Head::read(&head) {
                Head::End { checksum } => {
                    let mut before = [0; END_BYTES - HEAD_BYTES];
                    self.fill(&mut before)?;
                    let is_end = u64_at(&before, 0) == at
                        && number == expected
                        && checksum == end_checksum(number, at);
                    return if is_end {
                        Ok(pairs)
                    } else {
                        Err(self.damaged(at, "its end is damaged, or pairs are missing"))
                    };
                }
                Head::Pair {
                    key_bytes,
                    value_bytes,
                    checksum,
                } => {
                    if key_bytes > KEY_BYTES_MAX || value_bytes > VALUE_BYTES_MAX {
                        return Err(self.damaged(at, "the pair there has an impossible length"));
                    }
                    pair.resize(key_bytes + value_bytes, 0);
                    self.fill(&mut pair)?;
                    let (key, value) = pair.split_at(key_bytes);
                    if checksum != pair_checksum(number, key, value) {
                        return Err(self.damaged(at, "the checksum of the pair there is wrong"));
                    }
                    let place = (at + (HEAD_BYTES + key_bytes) as u64, value_bytes as u32);
                    if pairs.insert(key.into(), place).is_some() {
                        return Err(self.damaged(at, "the key there was there before"));
                    }
                    number += 1;
                }
            }
        }
    }
}

fn read_only() -> StoreError {
    StoreError::Failed {
        reason: "a backup is not written to".into(),
    }
}

/// Reading only: every change is refused.
impl Store for BackupFile {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let place = self.pairs.get(key).copied();
        place.map(|place| self.value(place)).transpose()
    }

    fn put(&self, _: &[u8], _: &[u8]) -> Result<(), StoreError> {
        Err(read_only())
    }

    fn delete(&self, _: &[u8]) -> Result<(), StoreError> {
        Err(read_only())
    }

    fn scan(&self, prefix: &[u8], visit: &mut PairVisitor<'_>) -> Result<(), StoreError> {
        let range = (Bound::Included(prefix), Bound::Unbounded);
        for (key, place) in self.pairs.range::<[u8], _>(range) {
            if !key.starts_with(prefix) || visit(key, &self.value(*place)?).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn keys(
        &self,
        prefix: &[u8],
        from: &[u8],
        visit: &mut KeyVisitor<'_>,
    ) -> Result<(), StoreError> {
        let range = (Bound::Included(prefix.max(from)), Bound::Unbounded);
        for (key, _) in self.pairs.range::<[u8], _>(range) {
            if !key.starts_with(prefix) || visit(key).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), StoreError> {
        Err(read_only())
    }

    fn disk_bytes(&self) -> u64 {
        self.bytes
    }
}
