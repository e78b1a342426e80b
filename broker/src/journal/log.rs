//! The shared half of the file journal: readers and trimming.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    Batch, JournalError, JournalLog, Place,
    header::{BatchHeader, HEADER_BYTES, Identity, NotAHeader},
    layout::{DATA_OFFSET, batch_extent},
    ready::{Cursor, Shared, State},
    segment::Segment,
};

#[derive(Debug)]
pub(super) struct FileLog {
    shared: Arc<Shared>,
    identity: Identity,
}

/// A durable stretch of a pinned segment.
struct Stretch {
    segment: Arc<Segment>,
    offset: u32,
    end: u32,
}

impl FileLog {
    pub(super) fn new(shared: Arc<Shared>, identity: Identity) -> Self {
        Self { shared, identity }
    }

    /// Where to look for the batch after `after_lsn`.
    fn locate(&self, shard: u16, after_lsn: u64) -> Result<Option<Stretch>, JournalError> {
        let state = self.shared.state.lock();
        if state.durable_lsn(shard) <= after_lsn {
            return Ok(None);
        }
        let oldest = state.live.front().map_or(0, |live| live.segment.number);
        let is_held = state
            .first_lsn(shard)
            .is_some_and(|first| first <= after_lsn + 1);
        if after_lsn > 0 && !is_held {
            return Err(JournalError::Trimmed { segment: oldest });
        }
        let cursor = state.cursors.iter().find(|cursor| cursor.shard == shard);
        if let Some(cursor) = cursor.filter(|cursor| cursor.lsn == after_lsn)
            && let Some(live) = state.live(cursor.segment)
        {
            let segment = Arc::clone(&live.segment);
            return Ok(Some(Stretch {
                segment,
                offset: cursor.offset,
                end: live.index.end,
            }));
        }
        let held = state.live.iter().find(|live| {
            live.index
                .range(shard)
                .is_some_and(|range| range.last_lsn > after_lsn)
        });
        Ok(held.map(|live| Stretch {
            segment: Arc::clone(&live.segment),
            offset: live.index.offset_before(shard, after_lsn + 1),
            end: live.index.end,
        }))
    }

    /// The stretch after this segment.
    fn following(&self, number: u64) -> Result<Option<Stretch>, JournalError> {
        let state = self.shared.state.lock();
        let oldest = state.live.front().map_or(0, |live| live.segment.number);
        if number + 1 < oldest {
            return Err(JournalError::Trimmed { segment: oldest });
        }
        Ok(state.live(number + 1).map(|live| Stretch {
            segment: Arc::clone(&live.segment),
            offset: DATA_OFFSET,
            end: live.index.end,
        }))
    }

    fn header(&self, segment: &Segment, offset: u32) -> Result<BatchHeader, JournalError> {
        let mut bytes = [0; HEADER_BYTES];
        segment.file.read_at(&mut bytes, offset.into())?;
        BatchHeader::decode(&bytes, self.identity, segment.number, offset).map_err(
            |bad| match bad {
                NotAHeader::UnknownVersion(version) => JournalError::UnknownFormat {
                    file: segment.file.path().to_owned(),
                    version,
                },
                NotAHeader::Invalid => JournalError::Damaged {
                    file: segment.file.path().to_owned(),
                    lsn: 0,
                    offset: offset.into(),
                    why: "the header of a durable batch changed on the disk",
                },
            },
        )
    }

    fn batch(
        &self,
        segment: &Segment,
        header: &BatchHeader,
    ) -> Result<(Batch, Place), JournalError> {
        let place = Place {
            segment: segment.number,
            offset: header.offset + HEADER_BYTES as u32,
            length: header.payload_bytes,
        };
        let payload = read_place(segment, place)?;
        if self.identity.checksum(&payload) != header.payload_checksum {
            return Err(JournalError::Damaged {
                file: segment.file.path().to_owned(),
                lsn: header.first_lsn,
                offset: header.offset.into(),
                why: "the payload of a durable batch changed on the disk",
            });
        }
        let batch = Batch {
            shard: header.shard,
            first_lsn: header.first_lsn,
            events: header.events,
            time_ms: header.time_ms,
            payload,
        };
        Ok((batch, place))
    }

    fn remember(&self, header: &BatchHeader) {
        let cursor = Cursor {
            shard: header.shard,
            lsn: header.last_lsn(),
            segment: header.segment,
            offset: header.offset + batch_extent(header.payload_bytes),
        };
        let mut state = self.shared.state.lock();
        match state
            .cursors
            .iter_mut()
            .find(|cursor| cursor.shard == header.shard)
        {
            Some(known) => *known = cursor,
            None => state.cursors.push(cursor),
        }
    }
}

impl JournalLog for FileLog {
    fn read(&self, place: Place) -> Result<Bytes, JournalError> {
        self.shared.check()?;
        let segment = {
            let state = self.shared.state.lock();
            let Some(live) = state.live(place.segment) else {
                let oldest = state.live.front().map_or(0, |live| live.segment.number);
                return Err(if place.segment < oldest {
                    JournalError::Trimmed {
                        segment: place.segment,
                    }
                } else {
                    not_durable(place)
                });
            };
            let end = u64::from(place.offset) + u64::from(place.length);
            if end > u64::from(live.index.end) {
                return Err(not_durable(place));
            }
            Arc::clone(&live.segment)
        };
        read_place(&segment, place)
    }

    fn next(&self, shard: u16, after_lsn: u64) -> Result<Option<(Batch, Place)>, JournalError> {
        self.shared.check()?;
        let mut stretch = self.locate(shard, after_lsn)?;
        while let Some(Stretch {
            segment,
            mut offset,
            end,
        }) = stretch
        {
            while offset < end {
                let header = self.header(&segment, offset)?;
                let is_wanted = header.shard == shard && !header.is_seal();
                if is_wanted && header.last_lsn() > after_lsn {
                    let found = self.batch(&segment, &header)?;
                    self.remember(&header);
                    return Ok(Some(found));
                }
                offset += batch_extent(header.payload_bytes);
            }
            stretch = self.following(segment.number)?;
        }
        Ok(None)
    }

    fn trim(&self, shard: u16, lsn: u64) -> Result<(), JournalError> {
        self.shared.check()?;
        let mut state = self.shared.state.lock();
        if state.closing {
            return Err(JournalError::Closed);
        }
        let ends = state.shard_mut(shard);
        ends.trimmed_lsn = ends.trimmed_lsn.max(lsn);
        retire_trimmed(&mut state);
        if !state.retired.is_empty() {
            self.shared.work.notify_all();
        }
        Ok(())
    }

    fn durable_lsn(&self, shard: u16) -> u64 {
        self.shared.state.lock().durable_lsn(shard)
    }

    fn first_lsn(&self, shard: u16) -> Option<u64> {
        self.shared.state.lock().first_lsn(shard)
    }

    fn used_bytes(&self) -> u64 {
        let state = self.shared.state.lock();
        let older = state
            .live
            .iter()
            .rev()
            .skip(1)
            .map(|live| u64::from(live.segment.bytes));
        let written = state
            .live
            .back()
            .map_or(0, |live| live.index.end - DATA_OFFSET);
        older.sum::<u64>() + u64::from(written)
    }

    fn ready_bytes(&self) -> u64 {
        let state = self.shared.state.lock();
        let left = state
            .live
            .back()
            .map_or(0, |live| live.segment.bytes - live.index.end);
        let ready = state
            .ready
            .iter()
            .map(|segment| u64::from(segment.bytes - DATA_OFFSET));
        u64::from(left) + ready.sum::<u64>()
    }

    fn keep_spares(&self, keep: bool) {
        self.shared.state.lock().lets_spares_go = !keep;
        self.shared.work.notify_all();
    }
}

/// Takes the oldest segments out as long as nothing in them is needed. The newest one that holds
/// events stays, so that the journal always knows how far it came.
fn retire_trimmed(state: &mut State) {
    let newest = state
        .live
        .iter()
        .rposition(|live| !live.index.ranges().is_empty());
    for _ in 0..newest.unwrap_or(0) {
        let Some(oldest) = state.live.front() else {
            return;
        };
        let is_needed = oldest.index.ranges().iter().any(|range| {
            let ends = state.shards.iter().find(|ends| ends.shard == range.shard);
            ends.is_none_or(|ends| ends.trimmed_lsn < range.last_lsn)
        });
        if is_needed {
            return;
        }
        let retired = state.live.pop_front().map(|live| live.segment);
        state.retired.extend(retired);
    }
}

fn read_place(segment: &Segment, place: Place) -> Result<Bytes, JournalError> {
    let (offset, length) = (place.offset.into(), place.length as usize);
    segment.file.read(offset, length)
}

fn not_durable(place: Place) -> JournalError {
    JournalError::NotDurable {
        segment: place.segment,
        offset: place.offset,
        length: place.length,
    }
}
