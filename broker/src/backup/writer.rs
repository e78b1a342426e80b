//! A pinned checkpoint to the bytes of a backup.

use bytes::{Bytes, BytesMut};

use super::format::{Header, put_end, put_pair};
use crate::store::{PinnedCheckpoint, StoreError};

/// Pieces are about this large.
const PIECE_BYTES: usize = 256 * 1024;

/// The bytes of a backup, piece by piece; after an error nothing follows.
#[derive(Debug)]
pub(crate) struct BackupWriter {
    pinned: PinnedCheckpoint,
    open: BytesMut,
    /// Bytes of all pieces before this one.
    before: u64,
    pairs: u64,
    is_done: bool,
}

impl BackupWriter {
    pub(crate) fn new(pinned: PinnedCheckpoint) -> Self {
        let mut open = BytesMut::new();
        let header = Header {
            lsn: pinned.lsn(),
            pairs: pinned.len() as u64,
        };
        header.put(&mut open);
        Self {
            pinned,
            open,
            before: 0,
            pairs: 0,
            is_done: false,
        }
    }
}

impl Iterator for BackupWriter {
    type Item = Result<Bytes, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.open.len() < PIECE_BYTES && !self.is_done {
            match self.pinned.next() {
                Some(Ok((key, value))) => {
                    put_pair(&mut self.open, self.pairs, &key, &value);
                    self.pairs += 1;
                }
                Some(Err(error)) => {
                    self.is_done = true;
                    self.open.clear();
                    return Some(Err(error));
                }
                None => {
                    self.is_done = true;
                    let before = self.before + self.open.len() as u64;
                    put_end(&mut self.open, self.pairs, before);
                }
            }
        }
        let piece = self.open.split().freeze();
        self.before += piece.len() as u64;
        (!piece.is_empty()).then_some(Ok(piece))
    }
}
