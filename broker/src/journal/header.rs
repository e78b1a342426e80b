//! The header in front of every batch.
//!
//! ```text
//!  0 u32 magic        4 u16 format version   6 u16 shard         8 u64 journal identity
//! 16 u64 use number  24 u64 sequence        32 u64 first LSN    40 u64 time in ms
//! 48 u32 events      52 u32 payload bytes   56 u32 own offset   60 u32 reserved, 0
//! 64 u32 CRC32C of the payload              68 u32 CRC32C of bytes 0..68
//! ```
//! Little-endian. Both checksums start from the journal's random identity, and the header names
//! its use number and its own offset: a header that a payload carries, that an older use of the
//! file left behind, or that was copied from elsewhere is never taken for one that was written
//! here. The sequence counts the batches of all shards, so a lost batch leaves a gap that shows
//! in the next one, whichever shard it is of. Magic, version and the place of the last checksum
//! stay the same in every version, so that an unknown version is told from damage.

use super::{Batch, layout::DATA_OFFSET};

pub(super) const HEADER_BYTES: usize = 72;
pub(super) const BATCH_VERSION: u16 = 1;
const MAGIC: u32 = u32::from_le_bytes(*b"VJB\x1A");
const CRC_OFFSET: usize = HEADER_BYTES - 4;

/// The random number that every journal is given when it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity(pub(super) u64);

impl Identity {
    /// CRC32C that starts from this identity.
    pub(super) fn checksum(self, bytes: &[u8]) -> u32 {
        crc32c::crc32c_append(self.seed(), bytes)
    }

    /// Where a running checksum starts.
    pub(super) fn seed(self) -> u32 {
        (self.0 ^ (self.0 >> 32)) as u32
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BatchHeader {
    pub(super) shard: u16,
    pub(super) segment: u64,
    pub(super) sequence: u64,
    pub(super) first_lsn: u64,
    pub(super) time_ms: u64,
    pub(super) events: u32,
    pub(super) payload_bytes: u32,
    pub(super) offset: u32,
    pub(super) payload_checksum: u32,
}

/// Why bytes are not a header that was written at this place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotAHeader {
    /// Not a valid header of this journal, segment and offset.
    Invalid,
    /// A valid one of a version that is not known here.
    UnknownVersion(u16),
}

impl BatchHeader {
    pub(super) fn new(batch: &Batch, segment: u64, offset: u32, sequence: u64) -> Self {
        Self {
            shard: batch.shard,
            segment,
            sequence,
            first_lsn: batch.first_lsn,
            time_ms: batch.time_ms,
            events: batch.events,
            payload_bytes: u32::try_from(batch.payload.len()).expect("a batch is at most 16 MiB"),
            offset,
            payload_checksum: 0,
        }
    }

    pub(super) fn is_seal(&self) -> bool {
        self.events == 0
    }

    /// The last number of the batch; of a seal, that of the batch before it.
    pub(super) fn last_lsn(&self) -> u64 {
        (self.first_lsn + u64::from(self.events)).saturating_sub(1)
    }

    pub(super) fn encode(&self, identity: Identity) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        out[4..6].copy_from_slice(&BATCH_VERSION.to_le_bytes());
        out[6..8].copy_from_slice(&self.shard.to_le_bytes());
        out[8..16].copy_from_slice(&identity.0.to_le_bytes());
        out[16..24].copy_from_slice(&self.segment.to_le_bytes());
        out[24..32].copy_from_slice(&self.sequence.to_le_bytes());
        out[32..40].copy_from_slice(&self.first_lsn.to_le_bytes());
        out[40..48].copy_from_slice(&self.time_ms.to_le_bytes());
        out[48..52].copy_from_slice(&self.events.to_le_bytes());
        out[52..56].copy_from_slice(&self.payload_bytes.to_le_bytes());
        out[56..60].copy_from_slice(&self.offset.to_le_bytes());
        out[64..68].copy_from_slice(&self.payload_checksum.to_le_bytes());
        let checksum = identity.checksum(&out[..CRC_OFFSET]);
        out[CRC_OFFSET..].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    /// Reads a header that must have been written for this segment at this offset.
    pub(super) fn decode(
        bytes: &[u8],
        identity: Identity,
        segment: u64,
        offset: u32,
    ) -> Result<Self, NotAHeader> {
        let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(NotAHeader::Invalid);
        };
        // The magic first: a search over megabytes asks this of every sector.
        if read_u32(bytes, 0) != MAGIC
            || read_u64(bytes, 8) != identity.0
            || read_u32(bytes, CRC_OFFSET) != identity.checksum(&bytes[..CRC_OFFSET])
        {
            return Err(NotAHeader::Invalid);
        }
        let version = read_u16(bytes, 4);
        if version != BATCH_VERSION {
            return Err(NotAHeader::UnknownVersion(version));
        }
        let header = Self {
            shard: read_u16(bytes, 6),
            segment: read_u64(bytes, 16),
            sequence: read_u64(bytes, 24),
            first_lsn: read_u64(bytes, 32),
            time_ms: read_u64(bytes, 40),
            events: read_u32(bytes, 48),
            payload_bytes: read_u32(bytes, 52),
            offset: read_u32(bytes, 56),
            payload_checksum: read_u32(bytes, 64),
        };
        let written_here = header.segment == segment && header.offset == offset;
        if !written_here || offset < DATA_OFFSET {
            return Err(NotAHeader::Invalid);
        }
        Ok(header)
    }
}

pub(super) fn read_u16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

pub(super) fn read_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub(super) fn read_u64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> BatchHeader {
        BatchHeader {
            shard: 3,
            segment: 9,
            sequence: 77,
            first_lsn: 1_000,
            time_ms: 1_700_000_000_000,
            events: 12,
            payload_bytes: 345,
            offset: 8192,
            payload_checksum: 0xDEAD_BEEF,
        }
    }

    #[test]
    fn reads_back_only_where_it_was_written() {
        let identity = Identity(42);
        let bytes = sample().encode(identity);
        let decode =
            |identity, segment, offset| BatchHeader::decode(&bytes, identity, segment, offset);
        assert_eq!(decode(identity, 9, 8192), Ok(sample()));
        assert_eq!(decode(identity, 8, 8192), Err(NotAHeader::Invalid));
        assert_eq!(decode(identity, 9, 8704), Err(NotAHeader::Invalid));
        assert_eq!(decode(Identity(43), 9, 8192), Err(NotAHeader::Invalid));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let identity = Identity(42);
        let bytes = sample().encode(identity);
        for bit in 0..HEADER_BYTES * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                BatchHeader::decode(&bad, identity, 9, 8192),
                Err(NotAHeader::Invalid),
                "bit {bit}"
            );
        }
    }

    #[test]
    fn an_unknown_version_is_named() {
        let identity = Identity(42);
        let mut bytes = sample().encode(identity);
        bytes[4] = 2;
        let checksum = identity.checksum(&bytes[..CRC_OFFSET]);
        bytes[CRC_OFFSET..].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(
            BatchHeader::decode(&bytes, identity, 9, 8192),
            Err(NotAHeader::UnknownVersion(2))
        );
    }
}
