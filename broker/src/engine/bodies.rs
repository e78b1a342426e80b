//! Where each body lies. The core knows ids and lengths only; here is the map from an id to the
//! bytes: in memory (what was just written or read), in the journal, or in a block of the store.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use verteilt_core::{BodyRun, CodecError, JobId, Lsn};

use super::batch::{Span as FreshSpan, spans_of};
use super::records::Runs;
use crate::journal::{Batch, Place};
use crate::store::{BlockMeta, Body};

/// A body that is in memory: bytes of its header block, and header block and body.
pub(crate) type Found = (u32, Bytes);

/// What a loader thread has to read to get at a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// A piece of the journal.
    Journal {
        /// Id of its first body.
        first_id: JobId,
        /// Where it lies.
        place: Place,
        /// CRC32C of its bytes, from when they were written or last proved.
        checksum: u32,
    },
    /// A block of the store.
    Block {
        /// Its number.
        number: u64,
        /// In how many values it is kept.
        parts: u16,
    },
    /// A piece of the journal that holds records.
    Piece {
        /// Its number.
        number: u64,
        /// Where it lies.
        place: Place,
        /// CRC32C of its bytes, from when they were written or last proved.
        checksum: u32,
    },
    /// A record block of the store.
    Records {
        /// Its number.
        number: u64,
        /// Its bytes.
        bytes: u32,
    },
}

impl Source {
    /// Of a piece of the journal: where it lies, and its checksum.
    pub(super) fn piece(&self) -> Option<(Place, u32)> {
        match *self {
            Self::Journal {
                place, checksum, ..
            }
            | Self::Piece {
                place, checksum, ..
            } => Some((place, checksum)),
            Self::Block { .. } | Self::Records { .. } => None,
        }
    }
}

/// What a loader thread read.
#[derive(Debug)]
pub(crate) enum Loaded {
    /// A piece of the journal.
    Journal(Bytes, Vec<BodyRun>),
    /// A block of the store.
    Block(Vec<Body>),
    /// Records from either.
    Records(Runs),
}

/// A piece of the journal that holds bodies with rising ids.
#[derive(Debug)]
struct Span {
    first_id: JobId,
    last_id: JobId,
    /// Last event of the batch it is part of.
    batch_lsn: Lsn,
    /// None until the batch is durable.
    place: Option<Place>,
    checksum: u32,
    /// None once it was dropped from memory.
    memory: Option<(Bytes, Vec<BodyRun>)>,
}

#[derive(Clone, Copy, Debug)]
enum Cached {
    Span(JobId),
    Block(u64),
}

/// Pieces or blocks that are loaded ahead of those who work a queue off: 2 MiB.
const AHEAD: usize = 32;

impl Span {
    /// What has to be loaded; none while it is in memory.
    fn source(&self) -> Option<Source> {
        if self.memory.is_some() {
            return None;
        }
        let (first_id, checksum) = (self.first_id, self.checksum);
        self.place.map(|place| Source::Journal {
            first_id,
            place,
            checksum,
        })
    }
}

/// The map from ids to bodies.
#[derive(Debug)]
pub(crate) struct Bodies {
    /// In the order of ids.
    spans: VecDeque<Span>,
    /// In the order of ids; all lower than those of the spans.
    blocks: Arc<[BlockMeta]>,
    block_memory: FxHashMap<u64, (Vec<Body>, usize)>,
    /// What is in memory, oldest first.
    cached: VecDeque<Cached>,
    cached_bytes: usize,
    cached_bytes_max: usize,
    volatile: FxHashMap<JobId, Found>,
}

impl Bodies {
    /// Bodies of the store's blocks; `cache_bytes` bounds what is kept in memory of those that are
    /// durable elsewhere.
    #[must_use]
    pub(crate) fn new(blocks: Arc<[BlockMeta]>, cache_bytes: usize) -> Self {
        Self {
            spans: VecDeque::new(),
            blocks,
            block_memory: FxHashMap::default(),
            cached: VecDeque::new(),
            cached_bytes: 0,
            cached_bytes_max: cache_bytes,
            volatile: FxHashMap::default(),
        }
    }

    /// The body, or where to load it from.
    ///
    /// # Errors
    /// The source to load. `None` if the id lies nowhere: the job is gone, or data is missing.
    pub(crate) fn find(&self, id: JobId) -> Result<Found, Option<Source>> {
        self.find_near(id, &mut 0)
    }

    /// As [`Self::find`], for many ids that are neighbours: `near` remembers where the last one was,
    /// and is 0 before the first.
    ///
    /// # Errors
    /// As for [`Self::find`].
    pub(crate) fn find_near(&self, id: JobId, near: &mut usize) -> Result<Found, Option<Source>> {
        if id.is_volatile() {
            return self.volatile.get(&id).cloned().ok_or(None);
        }
        let is_there = |span: &Span| span.first_id <= id && id <= span.last_id;
        if !self.spans.get(*near).is_some_and(is_there) {
            *near = self.span_at(id).unwrap_or(self.spans.len());
        }
        if let Some(span) = self.spans.get(*near) {
            let Some((bytes, runs)) = &span.memory else {
                return Err(span.source());
            };
            return find_in_runs(bytes, runs, id).ok_or(None);
        }
        let block = self.block_of(id).ok_or(None)?;
        let Some((bodies, _)) = self.block_memory.get(&block.number) else {
            return Err(Some(Source::Block {
                number: block.number,
                parts: block.parts,
            }));
        };
        find_in_block(bodies, id).ok_or(None)
    }

    /// What has to be loaded for the bodies that follow on this one, as far as they are neither in
    /// memory nor asked for: queues are mostly worked off in the order of ids. Nothing while half of
    /// them are, so that neighbours are loaded together.
    pub(crate) fn ahead(&self, id: JobId, is_asked: impl Fn(&Source) -> bool) -> Vec<Source> {
        let mut absent: Vec<(usize, Source)> = if let Some(at) = self.span_at(id) {
            let next = self.spans.range(at..).take(AHEAD).enumerate();
            next.filter_map(|(at, span)| Some((at, span.source()?)))
                .collect()
        } else {
            let at = self.blocks.partition_point(|block| block.first_id <= id.0);
            let next = self.blocks[at..].iter().take(AHEAD).enumerate();
            let absent = next.filter(|(_, block)| !self.block_memory.contains_key(&block.number));
            let source = |block: &BlockMeta| Source::Block {
                number: block.number,
                parts: block.parts,
            };
            absent.map(|(at, block)| (at, source(block))).collect()
        };
        absent.retain(|(_, source)| !is_asked(source));
        match absent.first() {
            Some((at, _)) if *at < AHEAD / 2 => absent.into_iter().map(|(_, it)| it).collect(),
            _ => Vec::new(),
        }
    }

    /// A `memory` job came: its body is copied, so that it does not keep a whole read buffer.
    pub(crate) fn keep_volatile(&mut self, id: JobId, header_length: u32, bytes: &[u8]) {
        self.volatile
            .insert(id, (header_length, Bytes::copy_from_slice(bytes)));
    }

    /// A `memory` job is gone.
    pub(crate) fn drop_volatile(&mut self, id: JobId) {
        self.volatile.remove(&id);
    }

    /// A batch was handed to the journal.
    pub(super) fn add_batch(&mut self, batch: &Batch, spans: Vec<FreshSpan>) {
        for span in spans {
            let bytes = batch.payload.slice(span.start..span.end);
            let by = -isize::try_from(span.start).expect("a batch is smaller than memory");
            let runs = span.runs.into_iter().map(|run| run.shifted(by)).collect();
            self.remember(Cached::Span(span.first_id), bytes.len());
            self.spans.push_back(Span {
                first_id: span.first_id,
                last_id: span.last_id,
                batch_lsn: batch.last_lsn(),
                place: None,
                checksum: crc32c::crc32c(&bytes),
                memory: Some((bytes, runs)),
            });
        }
        self.evict();
    }

    /// The batch that ends with `lsn` lies here now.
    pub(crate) fn set_place(&mut self, lsn: Lsn, place: Place, payload: &Bytes) {
        let of_batch = |span: &&mut Span| span.batch_lsn == lsn;
        for span in self.spans.iter_mut().rev().take_while(of_batch) {
            if let Some((bytes, _)) = &span.memory {
                let offset = bytes.as_ptr() as usize - payload.as_ptr() as usize;
                span.place = place.part(offset as u32, bytes.len() as u32);
            }
        }
        self.evict();
    }

    /// A batch that was read during recovery; nothing of it is kept in memory.
    ///
    /// # Errors
    /// If it holds records of an unknown format.
    pub(crate) fn add_recovered(&mut self, batch: &Batch, place: Place) -> Result<(), CodecError> {
        for span in spans_of(&batch.payload)? {
            self.spans.push_back(Span {
                first_id: span.first_id,
                last_id: span.last_id,
                batch_lsn: batch.last_lsn(),
                place: place.part(span.start as u32, (span.end - span.start) as u32),
                checksum: crc32c::crc32c(&batch.payload[span.start..span.end]),
                memory: None,
            });
        }
        Ok(())
    }

    /// Something was read: it stays in memory for the neighbours that will be asked for next.
    pub(crate) fn add_loaded(&mut self, source: Source, loaded: Loaded) {
        match (source, loaded) {
            (
                Source::Journal {
                    first_id: id,
                    place,
                    ..
                },
                Loaded::Journal(bytes, runs),
            ) => {
                let Some(at) = self.span_at(id) else { return };
                if self.spans[at].place != Some(place) || self.spans[at].memory.is_some() {
                    return;
                }
                self.remember(Cached::Span(id), bytes.len());
                self.spans[at].memory = Some((bytes, runs));
            }
            (Source::Block { number, .. }, Loaded::Block(bodies)) => {
                let bytes = bodies.iter().map(|body| body.bytes.len()).sum();
                if self.block_memory.insert(number, (bodies, bytes)).is_none() {
                    self.remember(Cached::Block(number), bytes);
                }
            }
            _ => {}
        }
        self.evict();
    }

    /// A checkpoint is on disk: everything up to `lsn` is in these blocks now.
    pub(crate) fn install(&mut self, lsn: Lsn, blocks: Arc<[BlockMeta]>) {
        while self.spans.front().is_some_and(|span| span.batch_lsn <= lsn) {
            let span = self.spans.pop_front().expect("it was there above");
            if let Some((bytes, _)) = span.memory {
                self.cached_bytes -= bytes.len();
            }
        }
        self.blocks = blocks;
        let Self {
            block_memory,
            blocks,
            cached_bytes,
            ..
        } = self;
        let mut numbers: Vec<u64> = blocks.iter().map(|block| block.number).collect();
        numbers.sort_unstable();
        block_memory.retain(|number, (_, bytes)| {
            let named = numbers.binary_search(number).is_ok();
            *cached_bytes -= if named { 0 } else { *bytes };
            named
        });
        let (spans, memory) = (&self.spans, &self.block_memory);
        self.cached.retain(|cached| match cached {
            Cached::Span(id) => spans.front().is_some_and(|front| front.first_id <= *id),
            Cached::Block(number) => memory.contains_key(number),
        });
    }

    /// Bytes of bodies in memory that are durable elsewhere or about to be.
    #[must_use]
    pub(crate) fn cached_bytes(&self) -> usize {
        self.cached_bytes
    }

    fn span_at(&self, id: JobId) -> Option<usize> {
        let at = self
            .spans
            .partition_point(|span| span.first_id <= id)
            .checked_sub(1)?;
        (self.spans[at].last_id >= id).then_some(at)
    }

    fn block_of(&self, id: JobId) -> Option<&BlockMeta> {
        let at = self
            .blocks
            .partition_point(|block| block.first_id <= id.0)
            .checked_sub(1)?;
        let block = &self.blocks[at];
        (block.last_id >= id.0).then_some(block)
    }

    fn remember(&mut self, what: Cached, bytes: usize) {
        self.cached.push_back(what);
        self.cached_bytes += bytes;
    }

    // What is not durable yet stays; it is bounded by what one round may gather. The newest stays,
    // too, however small the cache is: whoever had it read is about to look for it.
    fn evict(&mut self) {
        let mut left = self.cached.len();
        while self.cached_bytes > self.cached_bytes_max && left > 1 {
            left -= 1;
            let Some(oldest) = self.cached.pop_front() else {
                break;
            };
            match oldest {
                Cached::Span(id) => {
                    let Some(at) = self.span_at(id) else { continue };
                    if self.spans[at].place.is_none() {
                        self.cached.push_back(oldest);
                    } else if let Some((bytes, _)) = self.spans[at].memory.take() {
                        self.cached_bytes -= bytes.len();
                    }
                }
                Cached::Block(number) => {
                    if let Some((_, bytes)) = self.block_memory.remove(&number) {
                        self.cached_bytes -= bytes;
                    }
                }
            }
        }
    }
}

impl Loaded {
    /// A body in what was read.
    #[must_use]
    pub(crate) fn find(&self, id: JobId) -> Option<Found> {
        match self {
            Self::Journal(bytes, runs) => find_in_runs(bytes, runs, id),
            Self::Block(bodies) => find_in_block(bodies, id),
            Self::Records(_) => None,
        }
    }
}

fn find_in_runs(bytes: &Bytes, runs: &[BodyRun], id: JobId) -> Option<Found> {
    let at = runs
        .partition_point(|run| run.first_id <= id)
        .checked_sub(1)?;
    runs[at].find(bytes, id)
}

fn find_in_block(bodies: &[Body], id: JobId) -> Option<Found> {
    let at = bodies.binary_search_by_key(&id.0, |body| body.id).ok()?;
    Some((bodies[at].header_length, bodies[at].bytes.clone()))
}
