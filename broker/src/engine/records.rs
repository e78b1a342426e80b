//! Where each record lies, as [`super::bodies`] for jobs: in memory, in the journal, or in a block
//! of the store. What is known of a record is the run it is part of; a reader stops where nothing is
//! durable yet.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use verteilt_core::{CodecError, Lsn, Millis, Offset, PartitionId, RecordRun};

use super::batch::{Piece as FreshPiece, pieces_of};
use super::bodies::{Loaded, Source};
use crate::journal::{Batch, Place};
use crate::store::RecordBlockMeta;

/// Bytes with the runs in them, by partition and offset.
#[derive(Debug)]
pub(crate) struct Runs {
    bytes: Bytes,
    runs: Vec<RecordRun>,
}

/// A piece of the journal that holds records.
#[derive(Debug)]
struct Piece {
    batch_lsn: Lsn,
    /// None until the batch is durable.
    place: Option<Place>,
    checksum: u32,
    /// None once it was dropped from memory.
    memory: Option<Runs>,
}

/// What the journal holds of a partition.
#[derive(Debug, Default)]
struct Tail {
    /// First offset of what a piece holds, and the number of the piece. In order.
    pieces: VecDeque<(Offset, u64)>,
    /// What lies before this is durable.
    next: Offset,
}

#[derive(Clone, Copy, Debug)]
enum Cached {
    Piece(u64),
    Block(u64),
}

/// What there is at an offset.
#[derive(Debug)]
pub(crate) enum Look<'a> {
    /// The run that begins with or holds it, and those behind it in the same bytes.
    Here(&'a Bytes, &'a [RecordRun]),
    /// It has to be read.
    There(Source),
    /// It is not there, or not durable yet.
    Nothing,
}

/// The map from partitions and offsets to records.
#[derive(Debug)]
pub(crate) struct Records {
    pieces: VecDeque<Piece>,
    /// The number of the first of them; they are numbered as they come.
    first_piece: u64,
    tails: FxHashMap<PartitionId, Tail>,
    /// In the order of places.
    blocks: Arc<[RecordBlockMeta]>,
    block_memory: FxHashMap<u64, Runs>,
    /// What is in memory, oldest first.
    cached: VecDeque<Cached>,
    cached_bytes: usize,
    cached_bytes_max: usize,
    /// Partitions that have new durable records.
    fresh: Vec<PartitionId>,
}

impl Runs {
    pub(super) fn new(bytes: Bytes, mut runs: Vec<RecordRun>) -> Self {
        runs.sort_unstable_by_key(|run| (run.partition, run.first_offset));
        Self { bytes, runs }
    }

    fn from(&self, partition: PartitionId, offset: Offset) -> Look<'_> {
        let is_before = |run: &RecordRun| (run.partition, run.next_offset()) <= (partition, offset);
        let from = self.runs.partition_point(is_before);
        let of_partition = self.runs[from..].partition_point(|run| run.partition == partition);
        if of_partition == 0 {
            return Look::Nothing;
        }
        Look::Here(&self.bytes, &self.runs[from..from + of_partition])
    }
}

impl Records {
    /// Records of the store's blocks; `cache_bytes` bounds what is kept in memory.
    #[must_use]
    pub(crate) fn new(blocks: Arc<[RecordBlockMeta]>, cache_bytes: usize) -> Self {
        Self {
            pieces: VecDeque::new(),
            first_piece: 0,
            tails: FxHashMap::default(),
            blocks,
            block_memory: FxHashMap::default(),
            cached: VecDeque::new(),
            cached_bytes: 0,
            cached_bytes_max: cache_bytes,
            fresh: Vec::new(),
        }
    }

    /// What there is of a partition from an offset on.
    pub(crate) fn look(&self, partition: PartitionId, offset: Offset) -> Look<'_> {
        if let Some(tail) = self.tails.get(&partition)
            && tail
                .pieces
                .front()
                .is_some_and(|(first, _)| *first <= offset)
        {
            if offset >= tail.next {
                return Look::Nothing;
            }
            let after = tail.pieces.partition_point(|(first, _)| *first <= offset);
            let number = tail.pieces[after - 1].1;
            return self.look_into_piece(number, partition, offset);
        }
        let Some(block) = self.block_of(partition, offset) else {
            return Look::Nothing;
        };
        match self.block_memory.get(&block.number) {
            Some(runs) => runs.from(partition, offset),
            None => Look::There(source_of(block)),
        }
    }

    /// The offset to look from for records of a time: nothing between `from` and it is as late.
    pub(crate) fn seek(&self, partition: PartitionId, from: Offset, time_ms: Millis) -> Offset {
        let place = (partition.topic.0, partition.number);
        let earlier = |block: &RecordBlockMeta| {
            ((block.topic, block.partition), block.time_ms) < (place, time_ms)
        };
        let after = self.blocks.partition_point(earlier);
        let block = after.checked_sub(1).map(|at| &self.blocks[at]);
        let block = block.filter(|block| (block.topic, block.partition) == place);
        block.map_or(from, |block| block.first_offset.max(from))
    }

    /// What has to be loaded for the records that follow on this block.
    pub(crate) fn ahead(&self, partition: PartitionId, offset: Offset) -> Option<Source> {
        let place = (partition.topic.0, partition.number, offset);
        let after = self.blocks.partition_point(|block| block.place() <= place);
        let next = self.blocks.get(after)?;
        let is_of = (next.topic, next.partition) == (place.0, place.1);
        (is_of && !self.block_memory.contains_key(&next.number)).then(|| source_of(next))
    }

    /// Partitions that got durable records since this was asked last.
    pub(crate) fn take_fresh(&mut self) -> Vec<PartitionId> {
        std::mem::take(&mut self.fresh)
    }

    /// Bytes of records in memory that are durable elsewhere or about to be.
    #[must_use]
    pub(crate) fn cached_bytes(&self) -> usize {
        self.cached_bytes
    }

    /// A batch was handed to the journal.
    pub(super) fn add_batch(&mut self, batch: &Batch, pieces: Vec<FreshPiece>) {
        for piece in pieces {
            let bytes = batch.payload.slice(piece.start..piece.end);
            let by = -isize::try_from(piece.start).expect("a batch is smaller than memory");
            let runs = piece.runs.into_iter().map(|run| run.shifted(by)).collect();
            let checksum = crc32c::crc32c(&bytes);
            self.cached_bytes += bytes.len();
            let number = self.add_piece(batch.last_lsn(), None, checksum, Runs::new(bytes, runs));
            self.cached.push_back(Cached::Piece(number));
        }
        self.evict();
    }

    /// The batch that ends with `lsn` lies here now.
    pub(super) fn set_place(&mut self, lsn: Lsn, place: Place, payload: &Bytes) {
        for piece in self
            .pieces
            .iter_mut()
            .rev()
            .take_while(|piece| piece.batch_lsn == lsn)
        {
            let memory = piece
                .memory
                .as_ref()
                .expect("what is not durable stays in memory");
            let offset = memory.bytes.as_ptr() as usize - payload.as_ptr() as usize;
            piece.place = place.part(offset as u32, memory.bytes.len() as u32);
            for run in &memory.runs {
                let tail = self.tails.entry(run.partition).or_default();
                tail.next = tail.next.max(run.next_offset());
                if self.fresh.last() != Some(&run.partition) {
                    self.fresh.push(run.partition);
                }
            }
        }
        self.evict();
    }

    /// A batch that was read during recovery; nothing of it is kept in memory.
    pub(super) fn add_recovered(&mut self, batch: &Batch, place: Place) -> Result<(), CodecError> {
        for piece in pieces_of(&batch.payload)? {
            let bytes = &batch.payload[piece.start..piece.end];
            let part = place.part(piece.start as u32, bytes.len() as u32);
            let ends: Vec<_> = piece
                .runs
                .iter()
                .map(|run| (run.partition, run.next_offset()))
                .collect();
            let runs = Runs::new(Bytes::new(), piece.runs);
            let number = self.add_piece(batch.last_lsn(), part, crc32c::crc32c(bytes), runs);
            self.pieces[(number - self.first_piece) as usize].memory = None;
            for (partition, next) in ends {
                let tail = self.tails.entry(partition).or_default();
                tail.next = tail.next.max(next);
            }
        }
        Ok(())
    }

    /// Something was read: it stays in memory for those who will ask for it next.
    pub(super) fn add_loaded(&mut self, source: Source, runs: Runs) {
        let bytes = runs.bytes.len();
        match source {
            Source::Piece { number, place, .. } => {
                let Some(piece) = self.piece_mut(number) else {
                    return;
                };
                if piece.place != Some(place) || piece.memory.is_some() {
                    return;
                }
                piece.memory = Some(runs);
                self.cached.push_back(Cached::Piece(number));
            }
            Source::Records { number, .. } => {
                if self.block_memory.insert(number, runs).is_some() {
                    return;
                }
                self.cached.push_back(Cached::Block(number));
            }
            Source::Journal { .. } | Source::Block { .. } => return,
        }
        self.cached_bytes += bytes;
        self.evict();
    }

    /// A checkpoint is on disk: everything up to `lsn` is in these blocks now, or is not kept.
    pub(super) fn install(&mut self, lsn: Lsn, blocks: Arc<[RecordBlockMeta]>) {
        while self
            .pieces
            .front()
            .is_some_and(|piece| piece.batch_lsn <= lsn)
        {
            let piece = self.pieces.pop_front().expect("it was there above");
            self.first_piece += 1;
            // The checkpoint may be quicker than the journal's answer, and that finds no piece then:
            // who waits for these records is to be woken all the same.
            let unanswered = piece.memory.as_ref().filter(|_| piece.place.is_none());
            let runs = unanswered.into_iter().flat_map(|memory| &memory.runs);
            self.fresh.extend(runs.map(|run| run.partition));
            self.cached_bytes -= piece.memory.map_or(0, |memory| memory.bytes.len());
        }
        let first = self.first_piece;
        self.tails.retain(|_, tail| {
            while tail
                .pieces
                .front()
                .is_some_and(|(_, number)| *number < first)
            {
                tail.pieces.pop_front();
            }
            !tail.pieces.is_empty()
        });
        self.blocks = blocks;
        let mut numbers: Vec<u64> = self.blocks.iter().map(|block| block.number).collect();
        numbers.sort_unstable();
        let cached_bytes = &mut self.cached_bytes;
        self.block_memory.retain(|number, runs| {
            let named = numbers.binary_search(number).is_ok();
            *cached_bytes -= if named { 0 } else { runs.bytes.len() };
            named
        });
        let memory = &self.block_memory;
        self.cached.retain(|cached| match cached {
            Cached::Piece(number) => *number >= first,
            Cached::Block(number) => memory.contains_key(number),
        });
    }

    fn add_piece(
        &mut self,
        batch_lsn: Lsn,
        place: Option<Place>,
        checksum: u32,
        runs: Runs,
    ) -> u64 {
        let number = self.first_piece + self.pieces.len() as u64;
        for run in &runs.runs {
            let tail = self.tails.entry(run.partition).or_insert_with(|| Tail {
                pieces: VecDeque::new(),
                next: run.first_offset,
            });
            // The runs of a partition follow one another.
            if tail.pieces.back().is_none_or(|(_, last)| *last != number) {
                tail.pieces.push_back((run.first_offset, number));
            }
        }
        self.pieces.push_back(Piece {
            batch_lsn,
            place,
            checksum,
            memory: Some(runs),
        });
        number
    }

    fn look_into_piece(&self, number: u64, partition: PartitionId, offset: Offset) -> Look<'_> {
        let piece = &self.pieces[(number - self.first_piece) as usize];
        match (&piece.memory, piece.place) {
            (Some(runs), Some(_)) => runs.from(partition, offset),
            (None, Some(place)) => Look::There(Source::Piece {
                number,
                place,
                checksum: piece.checksum,
            }),
            (_, None) => Look::Nothing,
        }
    }

    fn block_of(&self, partition: PartitionId, offset: Offset) -> Option<&RecordBlockMeta> {
        let place = (partition.topic.0, partition.number, offset);
        let after = self.blocks.partition_point(|block| block.place() <= place);
        let block = &self.blocks[after.checked_sub(1)?];
        let is_of = (block.topic, block.partition) == (place.0, place.1);
        (is_of && offset < block.next_offset).then_some(block)
    }

    fn piece_mut(&mut self, number: u64) -> Option<&mut Piece> {
        let at = number.checked_sub(self.first_piece)?;
        self.pieces.get_mut(at as usize)
    }

    // What is not durable yet stays, and so does the newest, as for bodies.
    fn evict(&mut self) {
        let mut left = self.cached.len();
        while self.cached_bytes > self.cached_bytes_max && left > 1 {
            left -= 1;
            let Some(oldest) = self.cached.pop_front() else {
                break;
            };
            let gone = match oldest {
                Cached::Block(number) => self.block_memory.remove(&number),
                Cached::Piece(number) => {
                    let Some(piece) = self.piece_mut(number) else {
                        continue;
                    };
                    if piece.place.is_none() {
                        self.cached.push_back(oldest);
                        continue;
                    }
                    piece.memory.take()
                }
            };
            self.cached_bytes -= gone.map_or(0, |runs| runs.bytes.len());
        }
    }
}

impl Loaded {
    /// Bytes that begin and end with a record of the journal.
    pub(super) fn records(bytes: Bytes) -> Result<Self, CodecError> {
        let runs = RecordRun::scan_records(&bytes)?;
        let runs = runs.into_iter().map(|(_, run)| run).collect();
        Ok(Self::Records(Runs::new(bytes, runs)))
    }
}

fn source_of(block: &RecordBlockMeta) -> Source {
    Source::Records {
        number: block.number,
        bytes: block.bytes,
    }
}
