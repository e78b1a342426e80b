//! The root of a checkpoint.

use super::varint;

/// The root of a checkpoint. Its key is its generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) lsn: u64,
    pub(super) time_ms: u64,
    /// No block, page, directory or ledger of this or any older checkpoint has this number or a
    /// higher one. What is found there was left behind by a checkpoint that never came to its end.
    pub(super) number_next: u64,
    pub(super) directory: Named,
    pub(super) ledger: Named,
}

/// A value over several parts, as the manifest names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) number: u64,
    pub(super) bytes: u64,
}

impl Manifest {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        varint::put(&mut out, &[self.lsn, self.time_ms, self.number_next]);
        for named in [self.directory, self.ledger] {
            varint::put(&mut out, &[named.number, named.bytes]);
        }
        out
    }

    pub(super) fn decode(mut from: &[u8]) -> Result<Self, &'static str> {
        let mut next = || varint::take(&mut from);
        let manifest = Self {
            lsn: next()?,
            time_ms: next()?,
            number_next: next()?,
            directory: Named {
                number: next()?,
                bytes: next()?,
            },
            ledger: Named {
                number: next()?,
                bytes: next()?,
            },
        };
        if from.is_empty() {
            Ok(manifest)
        } else {
            Err("it is longer than its fields")
        }
    }
}
