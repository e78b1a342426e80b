//! Where records lie in the bytes of a batch, so that they travel on as they are: a reader gets the
//! payload as one piece, and only the lengths are looked at.

use std::ops::Range;

use bytes::{Buf, Bytes};

use super::topic::{HAS_KEYS, published_head};
use super::wire::{Fields, whole_records};
use super::write::HAS_HEADERS;
use super::{CodecError, tag};
use crate::id::{Millis, Offset, PartitionId};

/// The records of one publish in the bytes of its event. Positions count from the beginning of the
/// bytes that the run was found in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordRun {
    /// Of all of them.
    pub partition: PartitionId,
    /// Of the first.
    pub first_offset: Offset,
    /// How many.
    pub count: u32,
    /// Of all of them.
    pub time_ms: Millis,
    pub(super) ends_at: usize,
    // 0: no record has one.
    pub(super) keys_at: usize,
    pub(super) headers_at: usize,
    pub(super) payload_at: usize,
}

/// Records that are sent together: what the tables of their frame say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordTables {
    /// Bytes of each value.
    pub values: Vec<u32>,
    /// Bytes of each key; empty when no record has one.
    pub keys: Vec<u32>,
    /// Bytes of each header block; empty when no record has one.
    pub headers: Vec<u32>,
    /// Time, and for how many records in a row.
    pub times: Vec<(Millis, u32)>,
    /// Bytes of all of them.
    pub bytes: usize,
}

impl RecordTables {
    /// Number of records.
    #[must_use]
    pub fn count(&self) -> usize {
        self.values.len()
    }
}

impl RecordRun {
    /// The offset behind the last.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.first_offset + u64::from(self.count)
    }

    /// The runs in some bytes that begin and end with a record of the journal, each with the place
    /// of its whole record, so that the bytes can be cut there.
    ///
    /// # Errors
    /// If they do not, or hold a record of another format.
    pub fn scan_records(bytes: &Bytes) -> Result<Vec<(Range<usize>, Self)>, CodecError> {
        let mut runs = Vec::new();
        for record in whole_records(bytes) {
            let (tag, range) = record?;
            if tag == tag::RECORDS_PUBLISHED {
                let fields = bytes.slice(range.start + 5..range.end);
                runs.push((range.clone(), Self::of_record(fields, range.end)?));
            }
        }
        Ok(runs)
    }

    /// The run, counted from `offset` bytes earlier or later.
    #[must_use]
    pub fn shifted(mut self, by: isize) -> Self {
        for at in [
            &mut self.ends_at,
            &mut self.keys_at,
            &mut self.headers_at,
            &mut self.payload_at,
        ] {
            if *at != 0 {
                *at = at.wrapping_add_signed(by);
            }
        }
        self
    }

    /// Takes records from `from` on, as many as there is room for, `force` one at least. Notes them
    /// in the tables and returns their bytes: key, header block and value of each.
    ///
    /// None if `from` is not in the run, nothing fits, or the run is not one of these bytes.
    pub fn take(
        &self,
        bytes: &Bytes,
        from: Offset,
        (records_max, bytes_max): (u32, u64),
        force: bool,
        tables: &mut RecordTables,
    ) -> Option<Bytes> {
        let skipped = from.checked_sub(self.first_offset)?;
        let skipped = u32::try_from(skipped).ok().filter(|at| *at < self.count)? as usize;
        let all = self.count as usize;
        let ends = Table::new(bytes, self.ends_at, all)?;
        let start = skipped.checked_sub(1).map_or(0, |before| ends.at(before));
        let room = u64::from(start).saturating_add(bytes_max);
        let most = all.min(skipped + records_max as usize);
        let mut upto = if most > skipped && u64::from(ends.at(most - 1)) <= room {
            most
        } else {
            ends.partition_point(skipped, most, |end| u64::from(end) <= room)
        };
        if upto == skipped {
            if !force {
                return None;
            }
            upto = skipped + 1;
        }
        let end = ends.at(upto - 1);
        let payload = self.payload_at.checked_add(start as usize)?;
        let payload_end = self.payload_at.checked_add(end as usize)?;
        if start > end || payload_end > bytes.len() {
            return None;
        }
        self.note(bytes, (skipped, upto), ends, tables)?;
        tables.bytes += (end - start) as usize;
        Some(bytes.slice(payload..payload_end))
    }

    fn note(
        &self,
        bytes: &Bytes,
        (from, upto): (usize, usize),
        ends: Table<'_>,
        tables: &mut RecordTables,
    ) -> Option<()> {
        let before = tables.values.len();
        let mut start = from.checked_sub(1).map_or(0, |before| ends.at(before));
        tables.values.extend((from..upto).map(|at| {
            let end = ends.at(at);
            let length = end.wrapping_sub(start);
            start = end;
            length
        }));
        for (at, list) in [
            (self.keys_at, &mut tables.keys),
            (self.headers_at, &mut tables.headers),
        ] {
            if at == 0 {
                if !list.is_empty() {
                    list.resize(before + upto - from, 0);
                }
                continue;
            }
            list.resize(before, 0);
            let parts = Table::new(bytes, at, self.count as usize)?;
            list.extend((from..upto).map(|at| parts.at(at)));
            let values = tables.values[before..].iter_mut().zip(&list[before..]);
            values.for_each(|(value, part)| *value = value.wrapping_sub(*part));
        }
        let count = (upto - from) as u32;
        match tables.times.last_mut() {
            Some((time_ms, records)) if *time_ms == self.time_ms => *records += count,
            _ => tables.times.push((self.time_ms, count)),
        }
        Some(())
    }

    fn of_record(fields: Bytes, end: usize) -> Result<Self, CodecError> {
        let mut fields = Fields(fields);
        let head = published_head(&mut fields)?;
        let mut table = |is_there: bool| {
            if !is_there {
                return Ok(0);
            }
            let at = end - fields.0.len();
            fields.need(4 * head.count)?;
            fields.0.advance(4 * head.count);
            Ok(at)
        };
        let (ends_at, keys_at, headers_at) = (
            table(true)?,
            table(head.flags & HAS_KEYS != 0)?,
            table(head.flags & HAS_HEADERS != 0)?,
        );
        Ok(Self {
            partition: head.partition,
            first_offset: head.first_offset,
            count: u32::try_from(head.count).map_err(|_| CodecError::Impossible)?,
            time_ms: head.time_ms,
            ends_at,
            keys_at,
            headers_at,
            payload_at: end - fields.0.len(),
        })
    }
}

/// Words in a row.
#[derive(Clone, Copy)]
struct Table<'a>(&'a [u8]);

impl<'a> Table<'a> {
    fn new(bytes: &'a Bytes, at: usize, count: usize) -> Option<Self> {
        bytes.get(at..at.checked_add(4 * count)?).map(Self)
    }

    fn at(self, index: usize) -> u32 {
        (&self.0[4 * index..]).get_u32_le()
    }

    fn partition_point(self, mut from: usize, mut upto: usize, is: impl Fn(u32) -> bool) -> usize {
        while from < upto {
            let middle = usize::midpoint(from, upto);
            if is(self.at(middle)) {
                from = middle + 1;
            } else {
                upto = middle;
            }
        }
        from
    }
}
