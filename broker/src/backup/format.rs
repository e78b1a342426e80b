//! The bytes of a backup, little-endian:
//!
//! ```text
//! header   0 8 magic "VERTEILB"   8 u16 format version   10 u16 reserved, 0
//!         12 u64 LSN             20 u64 pairs           28 u32 CRC32C of 0..28
//! pair     0 u32 bytes of the value   4 u8 bytes of the key   5 u32 CRC32C   9 key, then value
//! end      0 u32 0xFFFF_FFFF          4 u8 0                  5 u32 CRC32C   9 u64 bytes before it
//! ```
//! The checksum of a pair covers its number (u64, from 0), key and value; that of the end the
//! number of pairs and the bytes before it. So a pair that is lost, doubled or out of its place
//! shows, and a file without its end is incomplete.

use bytes::{BufMut, BytesMut};

pub(super) const MAGIC: &[u8; 8] = b"VERTEILB";
pub(super) const VERSION: u16 = 1;
pub(super) const HEADER_BYTES: usize = 32;
/// In front of every pair, and of the end.
pub(super) const HEAD_BYTES: usize = 9;
pub(super) const END_BYTES: usize = HEAD_BYTES + 8;
const END_MARK: u32 = u32::MAX;

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) lsn: u64,
    pub(super) pairs: u64,
}

/// Why bytes are no header.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotAHeader {
    Foreign,
    Damaged,
    UnknownVersion(u16),
}

impl Header {
    pub(super) fn put(self, out: &mut BytesMut) {
        let start = out.len();
        out.put_slice(MAGIC);
        out.put_u16_le(VERSION);
        out.put_u16_le(0);
        out.put_u64_le(self.lsn);
        out.put_u64_le(self.pairs);
        let checksum = crc32c::crc32c(&out[start..]);
        out.put_u32_le(checksum);
    }

    pub(super) fn read(bytes: &[u8; HEADER_BYTES]) -> Result<Self, NotAHeader> {
        if &bytes[..8] != MAGIC {
            return Err(NotAHeader::Foreign);
        }
        if u32_at(bytes, 28) != crc32c::crc32c(&bytes[..28]) {
            return Err(NotAHeader::Damaged);
        }
        let version = u16::from_le_bytes([bytes[8], bytes[9]]);
        if version != VERSION {
            return Err(NotAHeader::UnknownVersion(version));
        }
        Ok(Self {
            lsn: u64_at(bytes, 12),
            pairs: u64_at(bytes, 20),
        })
    }
}

/// What stands in front of a pair or of the end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Head {
    Pair {
        key_bytes: usize,
        value_bytes: usize,
        checksum: u32,
    },
    End {
        checksum: u32,
    },
}

impl Head {
    pub(super) fn read(bytes: &[u8; HEAD_BYTES]) -> Self {
        let (length, checksum) = (u32_at(bytes, 0), u32_at(bytes, 5));
        if length == END_MARK {
            return Self::End { checksum };
        }
        Self::Pair {
            key_bytes: bytes[4].into(),
            value_bytes: length as usize,
            checksum,
        }
    }
}

pub(super) fn put_pair(out: &mut BytesMut, number: u64, key: &[u8], value: &[u8]) {
    let value_bytes = u32::try_from(value.len()).expect("a value has its limit");
    out.put_u32_le(value_bytes);
    out.put_u8(u8::try_from(key.len()).expect("a key has its limit"));
    out.put_u32_le(pair_checksum(number, key, value));
    out.put_slice(key);
    out.put_slice(value);
}

pub(super) fn put_end(out: &mut BytesMut, pairs: u64, bytes_before: u64) {
    out.put_u32_le(END_MARK);
    out.put_u8(0);
    out.put_u32_le(end_checksum(pairs, bytes_before));
    out.put_u64_le(bytes_before);
}

pub(super) fn pair_checksum(number: u64, key: &[u8], value: &[u8]) -> u32 {
    let checksum = crc32c::crc32c(&number.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c_append(checksum, key), value)
}

pub(super) fn end_checksum(pairs: u64, bytes_before: u64) -> u32 {
    pair_checksum(pairs, &bytes_before.to_le_bytes(), &[])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
