//! Reading blocks and pages by number.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;

use super::directory::Directory;
use super::envelope::damaged;
use super::key::{Key, Kind};
use super::snapshot::Body;
use super::{block, chunk};
use crate::store::{Store, StoreError};

/// Reads blocks and pages by number, from any thread and while checkpoints are written. Numbers
/// come from the directory; a block that was just added may be read before the commit, too.
#[derive(Clone)]
pub struct BlockReader {
    store: Arc<dyn Store>,
    shard: u16,
    directory: Arc<RwLock<Directory>>,
}

impl BlockReader {
    pub(super) fn new(
        store: Arc<dyn Store>,
        shard: u16,
        directory: Arc<RwLock<Directory>>,
    ) -> Self {
        Self {
            store,
            shard,
            directory,
        }
    }

    /// All bodies of a block in ascending order of id, as slices of one buffer: whoever keeps one
    /// keeps the block in memory. One look-up and one checksum a part, and one copy.
    ///
    /// [`StoreError::Dropped`] when a checkpoint has dropped it since the caller learned its number:
    /// look the place up again. [`StoreError::Damaged`] when it should be there and is not, or is
    /// not what was written.
    pub fn read_block(&self, number: u64, parts: u16) -> Result<Vec<Body>, StoreError> {
        let key = Key::new(Kind::Block, self.shard, number);
        let payload = self.read(key, parts)?;
        block::decode(&payload, parts).map_err(|reason| damaged(key, reason))
    }

    /// The bytes of a page as they were added, once it is committed. Errors as of [`BlockReader::read_block`].
    pub fn read_page(&self, number: u64) -> Result<Bytes, StoreError> {
        let key = Key::new(Kind::Page, self.shard, number);
        let page = self.directory.read().pages.get(&number).copied();
        let page = page.ok_or_else(|| StoreError::Dropped {
            key: key.to_string(),
        })?;
        self.read(key, page.parts)
    }

    /// The bytes of a record block as they were added. Errors as of [`BlockReader::read_block`].
    pub fn read_records(&self, number: u64, bytes: u32) -> Result<Bytes, StoreError> {
        let key = Key::new(Kind::Records, self.shard, number);
        let parts = u16::try_from(chunk::parts(bytes as usize)).unwrap_or(u16::MAX);
        let payload = self.read(key, parts)?;
        if payload.len() == bytes as usize {
            Ok(payload)
        } else {
            Err(damaged(key, "its size is not the one in the directory"))
        }
    }

    fn read(&self, key: Key, parts: u16) -> Result<Bytes, StoreError> {
        chunk::get(&*self.store, key, parts.into())?.map_err(|missing| {
            // A commit takes a number out of the directory before it deletes the value, so what is
            // still in it after the look-up has to be there.
            let directory = self.directory.read();
            let named = match key.kind {
                Kind::Page => directory.pages.contains_key(&key.number),
                Kind::Records => directory.records.contains_key(&key.number),
                _ => directory.blocks.contains_key(&key.number),
            };
            if named {
                damaged(missing, "it is missing")
            } else {
                StoreError::Dropped {
                    key: key.to_string(),
                }
            }
        })
    }
}

impl fmt::Debug for BlockReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockReader")
            .field("shard", &self.shard)
            .finish_non_exhaustive()
    }
}
