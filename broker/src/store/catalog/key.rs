//! Keys: kind, shard, number and part, in an order that scans can use.

use std::fmt;

/// Bytes of every key: kind, shard, number, part.
pub(super) const KEY_BYTES: usize = 1 + 2 + 8 + 4;

/// What a value is. The letter is the first byte of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(super) enum Kind {
    Block = b'B',
    Directory = b'D',
    Ledger = b'L',
    Manifest = b'M',
    Page = b'P',
    Records = b'R',
}

impl Kind {
    /// The version of the format of this kind. A new one gets a new number, never a new meaning.
    pub(super) fn version(self) -> u8 {
        match self {
            Self::Block | Self::Directory | Self::Manifest | Self::Page | Self::Records => 1,
            // 2: with requests of durability `disk` at its end.
            Self::Ledger => 2,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Directory => "directory",
            Self::Ledger => "ledger",
            Self::Manifest => "manifest",
            Self::Page => "page",
            Self::Records => "record block",
        }
    }
}

/// The key of one value. Numbers stand big-endian, so that the order of the bytes is theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) kind: Kind,
    pub(super) shard: u16,
    /// The generation of a manifest; of all else a number of the shard that is never used twice.
    pub(super) number: u64,
    /// Which of the values it is spread over, from 0.
    pub(super) part: u32,
}

impl Key {
    pub(super) fn new(kind: Kind, shard: u16, number: u64) -> Self {
        Self {
            kind,
            shard,
            number,
            part: 0,
        }
    }

    pub(super) fn part(self, part: u32) -> Self {
        Self { part, ..self }
    }

    pub(super) fn encode(self) -> [u8; KEY_BYTES] {
        let mut out = [0; KEY_BYTES];
        out[..3].copy_from_slice(&prefix(self.kind, self.shard));
        out[3..11].copy_from_slice(&self.number.to_be_bytes());
        out[11..].copy_from_slice(&self.part.to_be_bytes());
        out
    }

    /// The key of these bytes, which the store listed under `prefix(kind, shard)`.
    pub(super) fn decode(kind: Kind, shard: u16, bytes: &[u8]) -> Option<Self> {
        let (head, tail) = bytes.split_at_checked(3)?;
        let (number, part) = tail.split_at_checked(8)?;
        (head == prefix(kind, shard)).then_some(())?;
        Some(Self {
            kind,
            shard,
            number: u64::from_be_bytes(number.try_into().ok()?),
            part: u32::from_be_bytes(part.try_into().ok()?),
        })
    }
}

/// What every key of this kind and shard starts with.
pub(super) fn prefix(kind: Kind, shard: u16) -> [u8; 3] {
    let [high, low] = shard.to_be_bytes();
    [kind as u8, high, low]
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} of shard {}",
            self.kind.name(),
            self.number,
            self.shard
        )?;
        if self.part > 0 {
            write!(f, ", part {}", self.part)
        } else {
            Ok(())
        }
    }
}
