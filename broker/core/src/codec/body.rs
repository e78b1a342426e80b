//! Where bodies lie in the bytes of a batch, so that one is found without decoding the others.

use std::ops::Range;

use bytes::{Buf, Bytes};

use super::wire::{Fields, whole_records};
use super::{CodecError, request, tag};
use crate::id::JobId;

/// Bodies with neighbouring ids in the bytes of one event. Positions count from the beginning of
/// the bytes that the run was found in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyRun {
    /// Id of the first.
    pub first_id: JobId,
    /// How many.
    pub count: u32,
    // 0: a single body without a table of ends.
    ends_at: usize,
    headers_at: usize,
    payload_at: usize,
    single_length: usize,
}

impl BodyRun {
    pub(super) const fn single(id: JobId, payload_at: usize, length: usize) -> Self {
        let (first_id, count, single_length) = (id, 1, length);
        Self {
            first_id,
            count,
            ends_at: 0,
            headers_at: 0,
            payload_at,
            single_length,
        }
    }

    pub(super) fn batch(
        first_id: JobId,
        count: u32,
        ends_at: usize,
        headers_at: Option<usize>,
        payload_at: usize,
    ) -> Self {
        let headers_at = headers_at.unwrap_or(0);
        Self {
            first_id,
            count,
            ends_at,
            headers_at,
            payload_at,
            single_length: 0,
        }
    }

    /// The runs in some bytes that begin and end with a record.
    ///
    /// # Errors
    /// If they do not, or hold a record of another format.
    pub fn scan(bytes: &Bytes) -> Result<Vec<Self>, CodecError> {
        Ok(Self::scan_records(bytes)?
            .into_iter()
            .map(|(_, run)| run)
            .collect())
    }

    /// As [`Self::scan`], each run with the place of its whole record, so that the bytes can be cut
    /// there.
    ///
    /// # Errors
    /// As for [`Self::scan`].
    pub fn scan_records(bytes: &Bytes) -> Result<Vec<(Range<usize>, Self)>, CodecError> {
        let mut runs = Vec::new();
        for record in whole_records(bytes) {
            let (tag, range) = record?;
            if tag == tag::PUSHED || tag == tag::PART_STORED || request::brings_body(tag) {
                let at = range.start + 5;
                let run = Self::of_record(tag, bytes.slice(at..range.end), at)?;
                runs.push((range, run));
            }
        }
        Ok(runs)
    }

    /// Bytes of the header block, and header block and body, of the job; none if it is not here.
    #[must_use]
    pub fn find(&self, bytes: &Bytes, id: JobId) -> Option<(u32, Bytes)> {
        let index =
            id.0.checked_sub(self.first_id.0)
                .filter(|at| *at < u64::from(self.count))?;
        let cut = |start: usize, length: usize| {
            let end = start.checked_add(length)?;
            (end <= bytes.len()).then(|| bytes.slice(start..end))
        };
        if self.ends_at == 0 {
            return Some((0, cut(self.payload_at, self.single_length)?));
        }
        let word = |table: usize, at: u64| {
            let start = table + 4 * at as usize;
            Some(bytes.get(start..start + 4)?.get_u32_le())
        };
        let start = match index.checked_sub(1) {
            None => 0,
            Some(before) => word(self.ends_at, before)?,
        };
        let length = word(self.ends_at, index)?.checked_sub(start)?;
        let headers = match self.headers_at {
            0 => 0,
            table => word(table, index)?,
        };
        let body = cut(self.payload_at + start as usize, length as usize)?;
        Some((headers, body))
    }

    /// The run, counted from `offset` bytes earlier or later.
    #[must_use]
    pub fn shifted(mut self, by: isize) -> Self {
        let shift = |at: usize| at.wrapping_add_signed(by);
        self.payload_at = shift(self.payload_at);
        if self.ends_at != 0 {
            self.ends_at = shift(self.ends_at);
        }
        if self.headers_at != 0 {
            self.headers_at = shift(self.headers_at);
        }
        self
    }

    fn of_record(tag: u8, fields: Bytes, at: usize) -> Result<Self, CodecError> {
        let end = at + fields.len();
        let mut fields = Fields(fields);
        if request::brings_body(tag) {
            return request::body_run(&mut fields, end);
        }
        if tag == tag::PART_STORED {
            fields.u128()?;
            fields.varint()?;
            let id = JobId(fields.varint()?);
            let length = fields.0.len();
            return Ok(Self::single(id, end - length, length));
        }
        let head = super::read::pushed_head(&mut fields)?;
        let count = head.count;
        let ends_at = end - fields.0.len();
        fields.need(4 * count)?;
        fields.0.advance(4 * count);
        let headers_at = head.has_headers.then_some(end - fields.0.len());
        if head.has_headers {
            fields.need(4 * count)?;
            fields.0.advance(4 * count);
        }
        let payload_at = end - fields.0.len();
        Ok(Self::batch(
            head.pushed.first_id,
            count as u32,
            ends_at,
            headers_at,
            payload_at,
        ))
    }
}
