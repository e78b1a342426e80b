//! Integers, ids and lists of them.

use std::ops::Range;

use bytes::{Buf, BufMut, Bytes};

use super::CodecError;
use crate::id::{JobId, Millis};

pub(super) fn put_varint(out: &mut impl BufMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

pub(super) fn put_zigzag(out: &mut impl BufMut, value: i32) {
    put_varint(out, u64::from(((value << 1) ^ (value >> 31)) as u32));
}

pub(super) fn put_text(out: &mut impl BufMut, text: &str) {
    put_varint(out, text.len() as u64);
    out.put_slice(text.as_bytes());
}

/// Ids that rise take little more than a byte each; any order is kept.
pub(super) fn put_ids(out: &mut impl BufMut, ids: &[JobId]) {
    put_varint(out, ids.len() as u64);
    let mut before = 0u64;
    for id in ids {
        put_varint(out, zigzag(id.0.wrapping_sub(before)));
        before = id.0;
    }
}

pub(super) fn put_timed(out: &mut impl BufMut, jobs: &[(JobId, Millis)]) {
    put_varint(out, jobs.len() as u64);
    let mut before = (0u64, 0u64);
    for (id, at_ms) in jobs {
        put_varint(out, zigzag(id.0.wrapping_sub(before.0)));
        put_varint(out, zigzag(at_ms.wrapping_sub(before.1)));
        before = (id.0, *at_ms);
    }
}

const fn zigzag(difference: u64) -> u64 {
    (difference << 1) ^ ((difference as i64 >> 63) as u64)
}

const fn unzigzag(value: u64) -> u64 {
    (value >> 1) ^ (value & 1).wrapping_neg()
}

/// The records that some bytes are made of: tag, and where the whole record lies.
pub(super) fn whole_records(
    bytes: &Bytes,
) -> impl Iterator<Item = Result<(u8, Range<usize>), CodecError>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= bytes.len() {
            return None;
        }
        let start = at;
        let record = (|| {
            let mut head = Fields(bytes.slice(start..));
            let length = head.u32()? as usize;
            head.need(length)?;
            if length == 0 {
                return Err(CodecError::Short);
            }
            Ok((head.u8()?, start..start + 4 + length))
        })();
        at = record.as_ref().map_or(bytes.len(), |(_, range)| range.end);
        Some(record)
    })
}

/// Reads fields from the front of some bytes.
pub(super) struct Fields(pub(super) Bytes);

impl Fields {
    pub(super) fn varint(&mut self) -> Result<u64, CodecError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                // The tenth byte has room for one bit only.
                let fits = shift < 63 || byte <= 1;
                return if fits {
                    Ok(value)
                } else {
                    Err(CodecError::Impossible)
                };
            }
        }
        Err(CodecError::Impossible)
    }

    pub(super) fn narrow<T: TryFrom<u64>>(&mut self) -> Result<T, CodecError> {
        T::try_from(self.varint()?).map_err(|_| CodecError::Impossible)
    }

    pub(super) fn zigzag(&mut self) -> Result<i32, CodecError> {
        let value: u32 = self.narrow()?;
        Ok((value >> 1) as i32 ^ -((value & 1) as i32))
    }

    pub(super) fn u8(&mut self) -> Result<u8, CodecError> {
        self.need(1)?;
        Ok(self.0.get_u8())
    }

    pub(super) fn u32(&mut self) -> Result<u32, CodecError> {
        self.need(4)?;
        Ok(self.0.get_u32_le())
    }

    pub(super) fn u128(&mut self) -> Result<u128, CodecError> {
        self.need(16)?;
        Ok(self.0.get_u128_le())
    }

    pub(super) fn text(&mut self) -> Result<String, CodecError> {
        let length = self.narrow()?;
        self.need(length)?;
        let bytes = self.0.split_to(length).to_vec();
        String::from_utf8(bytes).map_err(|_| CodecError::Impossible)
    }

    pub(super) fn ids(&mut self) -> Result<Vec<JobId>, CodecError> {
        let count = self.count()?;
        let mut ids = Vec::with_capacity(count);
        let mut before = 0u64;
        for _ in 0..count {
            before = before.wrapping_add(unzigzag(self.varint()?));
            ids.push(JobId(before));
        }
        Ok(ids)
    }

    pub(super) fn timed(&mut self) -> Result<Vec<(JobId, Millis)>, CodecError> {
        let count = self.count()?;
        let mut jobs = Vec::with_capacity(count);
        let mut before = (0u64, 0u64);
        for _ in 0..count {
            before.0 = before.0.wrapping_add(unzigzag(self.varint()?));
            before.1 = before.1.wrapping_add(unzigzag(self.varint()?));
            jobs.push((JobId(before.0), before.1));
        }
        Ok(jobs)
    }

    /// A number of things that take a byte each at least, so that a wrong one cannot ask for
    /// more memory than there are bytes.
    pub(super) fn count(&mut self) -> Result<usize, CodecError> {
        let count: usize = self.narrow()?;
        if count > self.0.len() {
            Err(CodecError::Short)
        } else {
            Ok(count)
        }
    }

    pub(super) fn need(&self, bytes: usize) -> Result<(), CodecError> {
        if self.0.len() < bytes {
            Err(CodecError::Short)
        } else {
            Ok(())
        }
    }
}
