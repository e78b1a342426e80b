//! The records of a batch inside one payload (key, header block, value of each, back to back), and
//! the rule by which a key finds its partition.

use bytes::Bytes;

use crate::frame::FrameError;
use crate::limits::HEADER_BYTES_MAX;

/// The hash of a key: CRC-32 as zlib, gzip and PNG have it, because every language's standard
/// library brings it. Of `123456789` it is `0xCBF4_3926`.
#[must_use]
pub fn key_hash(key: &[u8]) -> u32 {
    crc32fast::hash(key)
}

/// The partition of a key: its hash modulo the number of partitions.
///
/// # Panics
/// If there are none.
#[must_use]
pub fn partition_of(key: &[u8], partitions: u32) -> u32 {
    key_hash(key) % partitions
}

/// The bytes of one record, sharing the memory of the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordSlices {
    /// Empty if the record has none.
    pub key: Bytes,
    /// The header block; empty if the record has none. See [`crate::decode_headers`].
    pub headers: Bytes,
    /// The value.
    pub value: Bytes,
}

/// The lists that PUBLISH and RECORDS carry, as far as they concern one record each. `keys` and
/// `headers` are empty or as long as `values`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordLists<'l> {
    /// Bytes of each key.
    pub keys: &'l [u32],
    /// Bytes of each header block.
    pub headers: &'l [u32],
    /// Bytes of each value.
    pub values: &'l [u32],
}

impl<'l> RecordLists<'l> {
    /// Holds the lists against each other and against the payload.
    ///
    /// # Errors
    /// They do not match, or a header block is over its limit.
    pub fn check(&self, payload_bytes: usize) -> Result<(), FrameError> {
        for list in [self.keys, self.headers] {
            if !list.is_empty() && list.len() != self.values.len() {
                return Err(FrameError::ListLength {
                    headers: list.len(),
                    bodies: self.values.len(),
                });
            }
        }
        let is_long = |bytes: &&u32| **bytes as usize > HEADER_BYTES_MAX;
        if let Some(bytes) = self.headers.iter().find(is_long) {
            let bytes = u64::from(*bytes);
            return Err(FrameError::HeadersTooLarge { bytes });
        }
        // The lists came in a frame, so this cannot overflow.
        let lists = [self.keys, self.headers, self.values].into_iter().flatten();
        let named: u64 = lists.map(|bytes| u64::from(*bytes)).sum();
        if named != payload_bytes as u64 {
            let payload = payload_bytes as u64;
            return Err(FrameError::PayloadLength { named, payload });
        }
        Ok(())
    }

    /// Bytes of key, header block and value of each record.
    pub fn lengths(self) -> impl Iterator<Item = (u32, u32, u32)> + Clone + use<'l> {
        let of = |list: &'l [u32]| list.iter().copied().chain(std::iter::repeat(0));
        let parts = of(self.keys).zip(of(self.headers));
        let all = parts.zip(self.values.iter().copied());
        all.map(|((key, headers), value)| (key, headers, value))
    }
}

/// Splits a payload by the lists of its frame.
///
/// # Errors
/// As of [`RecordLists::check`].
pub fn split_records<'l>(
    payload: &Bytes,
    lists: RecordLists<'l>,
) -> Result<impl Iterator<Item = RecordSlices> + use<'l>, FrameError> {
    lists.check(payload.len())?;
    let mut rest = payload.clone();
    Ok(lists
        .lengths()
        .map(move |(key, headers, value)| RecordSlices {
            key: rest.split_to(key as usize),
            headers: rest.split_to(headers as usize),
            value: rest.split_to(value as usize),
        }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_finds_the_partition_that_the_document_says() {
        assert_eq!(key_hash(b"123456789"), 0xCBF4_3926);
        assert_eq!(key_hash(b""), 0);
        assert_eq!(partition_of(b"customer-17", 8), 7);
    }

    #[test]
    fn records_are_cut_out_of_their_payload() {
        let payload = Bytes::from_static(b"k1h1vk2");
        let lists = RecordLists {
            keys: &[2, 2],
            headers: &[2, 0],
            values: &[1, 0],
        };
        let records: Vec<_> = split_records(&payload, lists).unwrap().collect();
        assert_eq!(&records[0].key[..], b"k1");
        assert_eq!(&records[0].headers[..], b"h1");
        assert_eq!(&records[0].value[..], b"v");
        assert_eq!(&records[1].key[..], b"k2");
        assert!(records[1].headers.is_empty() && records[1].value.is_empty());
        let short = RecordLists {
            keys: &[2],
            ..lists
        };
        assert!(matches!(
            short.check(7),
            Err(FrameError::ListLength {
                headers: 1,
                bodies: 2
            })
        ));
        assert!(matches!(
            lists.check(8),
            Err(FrameError::PayloadLength {
                named: 7,
                payload: 8
            })
        ));
    }
}
