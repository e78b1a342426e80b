//! What an existing folder holds: reads every segment in the order of use, proves every checksum,
//! and tells three things apart.
//!
//! - **Torn**: the last batch is broken and nothing was written after it. One write is in flight
//!   at a time, so nobody was ever told of it: it is cut.
//! - **Damaged**: a batch is broken or gone, and a later one is whole (in the same segment or in a
//!   later one), or the watermark says that it was durable. Never skipped, never cut: refused.
//! - **Cut short**: nothing is broken, but the journal ends before its watermark: refused.

use std::{collections::VecDeque, sync::Arc};

use super::{
    BATCH_BYTES_MAX, JournalError, Recovered,
    header::BatchHeader,
    index::{Index, Range},
    layout::{DATA_OFFSET, write_extent},
    ready::{Live, ShardEnds},
    scan::{Found, Scanner},
    segment::{Segment, SegmentMaker},
    watermark::Position,
};

const ZERO_CHUNK_BYTES: u32 = 1024 * 1024;

/// What was found, ready to go on with.
#[derive(Debug)]
pub(super) struct Recovery {
    pub(super) live: VecDeque<Live>,
    pub(super) ready: VecDeque<Arc<Segment>>,
    pub(super) shards: Vec<ShardEnds>,
    pub(super) position: Position,
    /// The sequence of the next batch.
    pub(super) sequence: u64,
    /// True when the last batch is a seal.
    pub(super) is_sealed: bool,
    pub(super) summary: Recovered,
}

/// Recovers the segments with these use numbers, sorted.
pub(super) fn recover(
    maker: &SegmentMaker,
    numbers: &[u64],
    watermark: Position,
) -> Result<Recovery, JournalError> {
    let mut walk = Walk::new(maker);
    let mut expected = numbers.first().copied();
    for &number in numbers {
        if expected != Some(number) {
            let missing = expected.unwrap_or(number);
            return Err(walk.missing(maker, missing));
        }
        expected = number.checked_add(1);
        walk.segment(maker.open(number)?)?;
    }
    walk.hold_against(maker, watermark)?;
    walk.cut_and_secure()?;
    Ok(walk.finish())
}

/// What [`survey`] found.
#[derive(Debug)]
pub(super) struct Survey {
    /// Each file in the order of use, missing ones too: what it holds, or what is wrong with it.
    pub(super) segments: Vec<(u64, Result<Option<Range>, JournalError>)>,
    /// The journal as a whole; `None` when any segment is damaged.
    pub(super) whole: Option<Result<Recovery, JournalError>>,
}

/// As [`recover`], but changes nothing, and goes on behind a damaged segment: what follows is then
/// checked without what came before it.
pub(super) fn survey(maker: &SegmentMaker, numbers: &[u64], watermark: Position) -> Survey {
    let mut walk = Walk::new(maker);
    let mut segments = Vec::with_capacity(numbers.len());
    let mut is_whole = true;
    let mut expected = numbers.first().copied();
    for &number in numbers {
        if let Some(missing) = expected.filter(|expected| *expected != number) {
            segments.push((missing, Err(walk.missing(maker, missing))));
            is_whole = false;
            walk = Walk::new(maker);
        }
        expected = number.checked_add(1);
        let held = match maker.open(number).and_then(|file| walk.segment(file)) {
            Ok(()) => Ok(walk.newest_range()),
            Err(error) => {
                is_whole = false;
                walk = Walk::new(maker);
                Err(error)
            }
        };
        segments.push((number, held));
    }
    let whole = is_whole.then(|| {
        walk.hold_against(maker, watermark)?;
        walk.summary.cut_bytes = walk.torn().map(|torn| torn.bytes).sum();
        Ok(walk.finish())
    });
    Survey { segments, whole }
}

/// What was being written when the broker ended, and nobody was told of.
#[derive(Debug)]
struct Torn {
    segment: Arc<Segment>,
    offset: u32,
    /// As far as its own header tells it, else one sector.
    bytes: u64,
    /// The most that it can have carried.
    payload_bytes: u32,
}

/// Where the batches of a segment end, and what stands there.
#[derive(Debug)]
struct Stop {
    offset: u32,
    found: Found,
}

#[derive(Debug)]
struct Walk {
    scanner: Scanner,
    segments: Vec<(Live, Stop)>,
    shards: Vec<ShardEnds>,
    first_number: Option<u64>,
    /// The last whole batch, and which of `segments` holds it.
    last: Option<(usize, BatchHeader)>,
    summary: Recovered,
}

impl Walk {
    fn new(maker: &SegmentMaker) -> Self {
        Self {
            scanner: Scanner::new(maker.identity),
            segments: Vec::new(),
            shards: Vec::new(),
            first_number: None,
            last: None,
            summary: Recovered::default(),
        }
    }

    /// The sequence that comes next; `None` while it cannot be known.
    fn expected_sequence(&self) -> Option<u64> {
        match &self.last {
            Some((_, header)) => Some(header.sequence + 1),
            // The first segment of all starts with the first batch of all.
            None => (self.first_number == Some(1)).then_some(1),
        }
    }

    fn expected_lsn(&self) -> u64 {
        self.last
            .as_ref()
            .map_or(0, |(_, header)| header.last_lsn() + 1)
    }

    /// Walks through one segment.
    fn segment(&mut self, segment: Segment) -> Result<(), JournalError> {
        let mut index = Index::new(segment.bytes);
        self.first_number.get_or_insert(segment.number);
        let found = loop {
            match self.scanner.at(&segment, index.end)? {
                Found::Batch(header) => {
                    self.accept(&segment, &header)?;
                    index.add(&header, Scanner::end_of(&header));
                }
                other => break other,
            }
        };
        let stop = Stop {
            offset: index.end,
            found,
        };
        self.prove_the_end(&segment, &stop)?;
        self.segments.push((
            Live {
                segment: Arc::new(segment),
                index,
            },
            stop,
        ));
        Ok(())
    }

    /// Takes a whole batch in, if it is the one that comes next.
    fn accept(&mut self, segment: &Segment, header: &BatchHeader) -> Result<(), JournalError> {
        self.refuse_earlier_trouble(header)?;
        if self
            .expected_sequence()
            .is_some_and(|sequence| sequence != header.sequence)
        {
            return Err(self.damaged(segment, header.offset, "batches before it are missing"));
        }
        let ends = match self
            .shards
            .iter_mut()
            .find(|ends| ends.shard == header.shard)
        {
            Some(ends) if ends.durable_lsn + 1 != header.first_lsn => {
                let why = "its numbers do not follow those before it";
                return Err(self.damaged(segment, header.offset, why));
            }
            Some(ends) => ends,
            None => {
                self.shards.push(ShardEnds {
                    shard: header.shard,
                    ..ShardEnds::default()
                });
                self.shards.last_mut().expect("just pushed")
            }
        };
        ends.durable_lsn = header.last_lsn();
        self.summary.last_time_ms = self.summary.last_time_ms.max(header.time_ms);
        self.last = Some((self.segments.len(), *header));
        Ok(())
    }

    /// A whole header proves that everything before it was durable once.
    fn refuse_earlier_trouble(&self, header: &BatchHeader) -> Result<(), JournalError> {
        let holder = self.last.as_ref().map_or(0, |(holder, _)| *holder);
        for (index, (live, stop)) in self.segments.iter().enumerate().skip(holder) {
            let why = match stop.found {
                Found::Nothing if index == holder && self.last.is_some() => continue,
                Found::Nothing => "it holds no batch, though later segments do",
                _ => "the batch there is broken, though a later segment holds a whole one",
            };
            let lsn = self.lsn_at(stop, Some(header));
            let file = live.segment.file.path().to_owned();
            return Err(JournalError::Damaged {
                file,
                lsn,
                offset: stop.offset.into(),
                why,
            });
        }
        // Between the last batch and this one, whole segments may have been found empty.
        let gap = self
            .expected_sequence()
            .is_some_and(|sequence| header.sequence > sequence);
        if let (true, Some((live, stop))) = (gap, self.segments.last())
            && header.offset == DATA_OFFSET
        {
            let file = live.segment.file.path().to_owned();
            let lsn = self.lsn_at(stop, Some(header));
            let why = "its last batches are missing, the next segment starts with a later one";
            return Err(JournalError::Damaged {
                file,
                lsn,
                offset: stop.offset.into(),
                why,
            });
        }
        Ok(())
    }

    /// Looks behind the end of a segment for anything that must not be there.
    fn prove_the_end(&mut self, segment: &Segment, stop: &Stop) -> Result<(), JournalError> {
        let sequence = self.expected_sequence();
        if let Found::Torn(header) = &stop.found {
            self.refuse_earlier_trouble(header)?;
            if sequence.is_some_and(|sequence| sequence != header.sequence) {
                return Err(self.damaged(segment, stop.offset, "batches before it are missing"));
            }
        }
        let behind = stop.offset.saturating_add(super::layout::SECTOR_BYTES);
        let later = self
            .scanner
            .search(segment, behind, sequence.unwrap_or(0))?;
        let Some(later) = later else {
            return Ok(());
        };
        self.refuse_earlier_trouble(&later)?;
        let file = segment.file.path().to_owned();
        let lsn = self.lsn_at(stop, Some(&later));
        let why = "the batch there is broken, though a later one is whole";
        Err(JournalError::Damaged {
            file,
            lsn,
            offset: stop.offset.into(),
            why,
        })
    }

    /// The number that should stand at a stop, as well as it can be known.
    fn lsn_at(&self, stop: &Stop, later: Option<&BatchHeader>) -> u64 {
        match (&stop.found, self.last.is_some(), later) {
            (Found::Torn(header), _, _) => header.first_lsn,
            (_, true, _) => self.expected_lsn(),
            (_, false, Some(later)) => later.first_lsn.saturating_sub(1).max(1),
            (_, false, None) => 0,
        }
    }

    fn damaged(&self, segment: &Segment, offset: u32, why: &'static str) -> JournalError {
        let file = segment.file.path().to_owned();
        JournalError::Damaged {
            file,
            lsn: self.expected_lsn(),
            offset: offset.into(),
            why,
        }
    }

    fn missing(&self, maker: &SegmentMaker, number: u64) -> JournalError {
        JournalError::Damaged {
            file: super::names::segment(&maker.folder, number),
            lsn: self.expected_lsn(),
            offset: 0,
            why: "the file is missing, though later segments are there",
        }
    }

    fn position(&self) -> Position {
        self.last
            .as_ref()
            .map_or_else(Position::default, |(_, header)| Position {
                segment: header.segment,
                offset: Scanner::end_of(header),
                shard: header.shard,
                lsn: header.last_lsn(),
            })
    }

    /// Refuses when the watermark says that more was durable than is whole now.
    fn hold_against(&self, maker: &SegmentMaker, watermark: Position) -> Result<(), JournalError> {
        let position = self.position();
        let was_used = self.first_number.is_some_and(|number| number > 1);
        let is_gone = was_used && self.last.is_none();
        if !is_gone && !position.is_before(&watermark) {
            return Ok(());
        }
        let holder = self.last.as_ref().map_or(0, |(holder, _)| *holder);
        let broken = self
            .segments
            .iter()
            .skip(holder)
            .find(|(_, stop)| matches!(stop.found, Found::Torn(_) | Found::Unreadable));
        if let Some((live, stop)) = broken {
            let known = self.lsn_at(stop, None);
            return Err(JournalError::Damaged {
                file: live.segment.file.path().to_owned(),
                lsn: if known == 0 { watermark.lsn } else { known },
                offset: stop.offset.into(),
                why: "the batch there is broken, though the watermark says that it was durable",
            });
        }
        Err(JournalError::CutShort {
            // A journal whose watermark never moved has lost its first segment.
            file: super::names::segment(&maker.folder, watermark.segment.max(1)),
            recovered: position.lsn,
            watermark: watermark.lsn,
        })
    }

    /// What stands behind the last whole batch.
    fn torn(&self) -> impl Iterator<Item = Torn> {
        let holder = self.last.as_ref().map_or(0, |(holder, _)| *holder);
        self.segments
            .iter()
            .skip(holder)
            .filter_map(|(live, stop)| {
                let (bytes, payload_bytes) = match &stop.found {
                    Found::Nothing => return None,
                    Found::Torn(header) => {
                        let header_bytes = super::header::HEADER_BYTES as u64;
                        let payload_bytes = header.payload_bytes;
                        (header_bytes + u64::from(payload_bytes), payload_bytes)
                    }
                    Found::Batch(_) | Found::Unreadable => {
                        (super::layout::SECTOR_BYTES.into(), BATCH_BYTES_MAX as u32)
                    }
                };
                Some(Torn {
                    segment: Arc::clone(&live.segment),
                    offset: stop.offset,
                    bytes,
                    payload_bytes,
                })
            })
    }

    /// The numbers of the lowest shard in the segment that was walked through last.
    fn newest_range(&self) -> Option<Range> {
        let (live, _) = self.segments.last()?;
        let ranges = live.index.ranges().iter();
        ranges.min_by_key(|range| range.shard).copied()
    }

    /// Cuts what is torn, and writes the last batch once more. That batch may have come from the
    /// page cache only: when its fdatasync failed, the kernel keeps the pages but calls them
    /// clean, and only a new write brings them to the disk.
    fn cut_and_secure(&mut self) -> Result<(), JournalError> {
        self.scanner.forget();
        let torn: Vec<Torn> = self.torn().collect();
        for torn in torn {
            self.summary.cut_bytes += torn.bytes;
            zero(&torn.segment, torn.offset, torn.payload_bytes)?;
            torn.segment.file.sync()?;
        }
        if let Some((holder, header)) = &self.last {
            let segment = &self.segments[*holder].0.segment;
            let extent = write_extent(header.offset, header.payload_bytes, segment.bytes);
            let mut bytes = vec![0; extent as usize];
            segment.file.read_at(&mut bytes, header.offset.into())?;
            segment.file.write_at(&bytes, header.offset.into())?;
            segment.file.sync()?;
        }
        Ok(())
    }

    fn finish(mut self) -> Recovery {
        let position = self.position();
        let sequence = self.expected_sequence().unwrap_or(1);
        let holder = self.last.as_ref().map_or(0, |(holder, _)| *holder);
        let mut live: VecDeque<Live> = self.segments.into_iter().map(|(live, _)| live).collect();
        let kept = live.len().min(holder + 1);
        let ready = live
            .split_off(kept)
            .into_iter()
            .map(|live| live.segment)
            .collect();
        self.shards.sort_unstable_by_key(|ends| ends.shard);
        if let Some(ends) = self.shards.first() {
            let range = live.iter().find_map(|live| live.index.range(ends.shard));
            self.summary.first_lsn = range.map(|range| range.first_lsn);
            self.summary.last_lsn = Some(ends.durable_lsn);
        }
        self.summary.scanned_bytes = self.scanner.scanned_bytes;
        Recovery {
            live,
            ready,
            shards: self.shards,
            position,
            sequence,
            is_sealed: self
                .last
                .as_ref()
                .is_none_or(|(_, header)| header.is_seal()),
            summary: self.summary,
        }
    }
}

/// Overwrites with zeros what a batch of this size can have touched.
fn zero(segment: &Segment, from: u32, payload_bytes: u32) -> Result<(), JournalError> {
    let left = segment.bytes - from;
    let zeros = vec![0; ZERO_CHUNK_BYTES.min(left) as usize];
    let extent = write_extent(from, payload_bytes, segment.bytes);
    let mut at = from;
    while at < from + extent {
        let length = (from + extent - at).min(ZERO_CHUNK_BYTES);
        segment
            .file
            .write_at(&zeros[..length as usize], at.into())?;
        at += length;
    }
    Ok(())
}
