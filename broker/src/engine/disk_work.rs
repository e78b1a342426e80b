//! Work that may block on the disk: appending to the journal and reading bodies.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use verteilt_core::BodyRun;

use super::bodies::{Loaded, Source};
use crate::journal::{Batch, Journal, JournalError, JournalLog, Place};
use crate::space::Measured;
use crate::store::{BlockReader, StoreError};

/// What these workers say to the loop.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Where it is, and how long that took.
    Appended(Place, Duration),
    Sealed,
    JournalFailed(JournalError),
    Loaded(Vec<(Source, Result<Loaded, LoadError>)>),
    Measured(std::io::Result<Measured>),
}

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// It has been moved since the source was looked up; look again.
    #[error("moved by a checkpoint")]
    Moved,
    #[error(transparent)]
    Journal(JournalError),
    #[error(transparent)]
    Store(StoreError),
    #[error("the bytes at {0:?} are not what was written there")]
    Damaged(Place),
    #[error("a journal piece cannot be decoded: {0}")]
    Codec(verteilt_core::CodecError),
}

#[derive(Debug)]
pub(super) enum JournalTask {
    Append(Batch),
    Seal,
}

/// Does the journal's tasks. After a failure it does nothing but say so.
pub(super) fn journal(
    journal: Arc<Mutex<Box<dyn Journal>>>,
) -> impl FnMut(JournalTask) -> Option<Outcome> {
    move |task| {
        let mut journal = journal.lock();
        Some(match task {
            JournalTask::Append(batch) => append(journal.as_mut(), &batch),
            JournalTask::Seal => match journal.seal() {
                Ok(()) => Outcome::Sealed,
                Err(error) => Outcome::JournalFailed(error),
            },
        })
    }
}

pub(super) fn append(journal: &mut dyn Journal, batch: &Batch) -> Outcome {
    let begun = Instant::now();
    match journal.append(batch) {
        Ok(place) => Outcome::Appended(place, begun.elapsed()),
        Err(error) => Outcome::JournalFailed(error),
    }
}

/// Reads bodies.
pub(super) fn load(
    log: Arc<dyn JournalLog>,
    blocks: BlockReader,
) -> impl FnMut(Vec<Source>) -> Option<Outcome> {
    move |sources| {
        let read = |source| (source, read(log.as_ref(), &blocks, source));
        Some(Outcome::Loaded(sources.into_iter().map(read).collect()))
    }
}

pub(crate) fn read(
    log: &dyn JournalLog,
    blocks: &BlockReader,
    source: Source,
) -> Result<Loaded, LoadError> {
    match source {
        Source::Journal {
            place, checksum, ..
        } => {
            let bytes = read_piece(log, place, checksum)?;
            let runs = BodyRun::scan(&bytes).map_err(LoadError::Codec)?;
            Ok(Loaded::Journal(bytes, runs))
        }
        Source::Piece {
            place, checksum, ..
        } => {
            let bytes = read_piece(log, place, checksum)?;
            Loaded::records(bytes).map_err(LoadError::Codec)
        }
        Source::Records { number, bytes } => match blocks.read_records(number, bytes) {
            Ok(bytes) => Loaded::records(bytes).map_err(LoadError::Codec),
            // Retention let go of it, or it was joined with others; as for bodies.
            Err(StoreError::Dropped { .. }) => Err(LoadError::Moved),
            Err(error) => Err(LoadError::Store(error)),
        },
        Source::Block { number, parts } => match blocks.read_block(number, parts) {
            Ok(bodies) => Ok(Loaded::Block(bodies)),
            // A block goes when its jobs are done or moved; whoever needs it looks it up again.
            Err(StoreError::Dropped { .. }) => Err(LoadError::Moved),
            Err(error) => Err(LoadError::Store(error)),
        },
    }
}

fn read_piece(log: &dyn JournalLog, place: Place, checksum: u32) -> Result<Bytes, LoadError> {
    let bytes = log.read(place).map_err(|error| match error {
        JournalError::Trimmed { .. } => LoadError::Moved,
        other => LoadError::Journal(other),
    })?;
    if crc32c::crc32c(&bytes) == checksum {
        Ok(bytes)
    } else {
        Err(LoadError::Damaged(place))
    }
}

#[cfg(test)]
mod tests {
    use verteilt_core::JobId;

    use super::*;
    use crate::journal::{MemoryDisk, MemoryJournal};
    use crate::store::{Catalog, MemoryStore};

    /// A sector that went bad since the start does not reach a worker.
    #[test]
    fn bytes_that_are_not_what_was_written_are_not_handed_out() {
        let (mut journal, _) = MemoryJournal::open(&MemoryDisk::new(1024 * 1024));
        let payload = Bytes::from_static(b"as it is on the disk now");
        let batch = Batch {
            shard: 0,
            first_lsn: 1,
            events: 1,
            time_ms: 1,
            payload,
        };
        let place = journal.append(&batch).unwrap();
        let source = Source::Journal {
            first_id: JobId(1),
            place,
            checksum: crc32c::crc32c(b"as it was when it was written"),
        };
        let (catalog, _) = Catalog::open(Arc::new(MemoryStore::new()), 0).unwrap();
        let read = read(journal.log().as_ref(), &catalog.reader(), source);
        assert!(matches!(read, Err(LoadError::Damaged(at)) if at == place));
    }
}
