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

/// Between two pieces of the journal lies the rest of a batch and the header of the next one; more
/// than this is not read for nothing.
const TOGETHER_GAP_BYTES: u64 = 16 * 1024;
/// Larger pieces are read by themselves.
const TOGETHER_BYTES: u32 = 128 * 1024;

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

/// Reads bodies. Pieces of the journal that lie one behind the other are read together.
pub(super) fn load(
    log: Arc<dyn JournalLog>,
    blocks: BlockReader,
) -> impl FnMut(Vec<Source>) -> Option<Outcome> {
    move |sources| {
        let mut loaded = Vec::with_capacity(sources.len());
        for together in sources.chunk_by(follows) {
            let bytes = read_together(log.as_ref(), together);
            for source in together {
                let read = match (&bytes, source.piece()) {
                    (Some((bytes, start)), Some((place, checksum))) => {
                        let start = (place.offset - start) as usize;
                        let bytes = bytes.slice(start..start + place.length as usize);
                        proved(bytes, place, checksum).and_then(|bytes| decoded(*source, bytes))
                    }
                    _ => read(log.as_ref(), &blocks, *source),
                };
                loaded.push((*source, read));
            }
        }
        Some(Outcome::Loaded(loaded))
    }
}

/// Whether the second is worth being read along with the first.
fn follows(one: &Source, other: &Source) -> bool {
    let (Some((one, _)), Some((other, _))) = (one.piece(), other.piece()) else {
        return false;
    };
    let end = u64::from(one.offset) + u64::from(one.length);
    let gap = u64::from(other.offset).checked_sub(end);
    one.segment == other.segment
        && gap.is_some_and(|gap| gap <= TOGETHER_GAP_BYTES)
        && one.length.max(other.length) <= TOGETHER_BYTES
}

/// The bytes from the first to the last, and where they begin. None if there is one only, or they
/// cannot be read: each by itself then tells why.
fn read_together(log: &dyn JournalLog, sources: &[Source]) -> Option<(Bytes, u32)> {
    let [first, .., last] = sources else {
        return None;
    };
    let ((first, _), (last, _)) = (first.piece()?, last.piece()?);
    let whole = Place {
        length: last.offset + last.length - first.offset,
        ..first
    };
    Some((log.read(whole).ok()?, first.offset))
}

pub(crate) fn read(
    log: &dyn JournalLog,
    blocks: &BlockReader,
    source: Source,
) -> Result<Loaded, LoadError> {
    match source {
        Source::Journal {
            place, checksum, ..
        }
        | Source::Piece {
            place, checksum, ..
        } => decoded(source, read_piece(log, place, checksum)?),
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
    proved(bytes, place, checksum)
}

fn proved(bytes: Bytes, place: Place, checksum: u32) -> Result<Bytes, LoadError> {
    if crc32c::crc32c(&bytes) == checksum {
        Ok(bytes)
    } else {
        Err(LoadError::Damaged(place))
    }
}

/// What is in a piece of the journal.
fn decoded(source: Source, bytes: Bytes) -> Result<Loaded, LoadError> {
    if let Source::Piece { .. } = source {
        return Loaded::records(bytes).map_err(LoadError::Codec);
    }
    let runs = BodyRun::scan(&bytes).map_err(LoadError::Codec)?;
    Ok(Loaded::Journal(bytes, runs))
}

#[cfg(test)]
mod tests {
    use verteilt_core::JobId;

    use super::*;
    use crate::journal::{FileJournal, JournalOptions, MemoryDisk, MemoryJournal};
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

    /// Neighbours are read in one go; one that is damaged, or nowhere, does no harm to the others.
    #[test]
    fn pieces_that_are_read_together_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let options = JournalOptions::default();
        let (mut journal, _) = FileJournal::open(folder.path(), options).unwrap();
        let mut push = |number: u64| {
            let mut payload = bytes::BytesMut::new();
            let pushed = verteilt_core::Event::PartStored {
                session: verteilt_core::SessionId(1),
                upload: 1,
                id: JobId(number),
                payload: Bytes::from(format!("part {number}")),
            };
            verteilt_core::encode_event(&mut payload, &pushed);
            let payload = payload.freeze();
            let checksum = crc32c::crc32c(&payload);
            let batch = Batch {
                shard: 0,
                first_lsn: number,
                events: 1,
                time_ms: 1,
                payload,
            };
            Source::Journal {
                first_id: JobId(number),
                place: journal.append(&batch).unwrap(),
                checksum,
            }
        };
        let mut sources: Vec<Source> = (1..=5).map(&mut push).collect();
        assert!(sources.windows(2).all(|two| follows(&two[0], &two[1])));
        assert!(!follows(&sources[1], &sources[0]), "only forwards");
        if let Source::Journal { checksum, .. } = &mut sources[1] {
            *checksum ^= 1;
        }
        let log = journal.log();
        assert!(read_together(log.as_ref(), &sources).is_some());
        // The last one is not there at all, so that the whole cannot be read.
        let mut beyond = sources[4];
        if let Source::Journal { place, .. } = &mut beyond {
            place.offset += place.length;
        }
        let (catalog, _) = Catalog::open(Arc::new(MemoryStore::new()), 0).unwrap();
        let mut load = load(log, catalog.reader());
        for asked in [sources.clone(), [&sources[..], &[beyond]].concat()] {
            let Some(Outcome::Loaded(loaded)) = load(asked.clone()) else {
                panic!("a loader answers with what it loaded");
            };
            let told: Vec<Source> = loaded.iter().map(|(source, _)| *source).collect();
            assert_eq!(told, asked);
            for (at, (_, read)) in loaded.iter().enumerate() {
                match (at, read) {
                    (1, Err(LoadError::Damaged(_))) | (5, Err(_)) => {}
                    (at, Ok(loaded)) => {
                        let number = at as u64 + 1;
                        let (_, body) = loaded.find(JobId(number)).unwrap();
                        assert_eq!(body, format!("part {number}"));
                    }
                    (at, Err(error)) => panic!("{at}: {error}"),
                }
            }
        }
    }
}
