//! What a history keeps of a body: enough to tell whether it came out as it went in.

use serde::{Deserialize, Serialize};

/// Hash and length of a job's header block and body.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct Body {
    /// Any 64-bit hash, the same one for pushes and deliveries; [`Self::of`] takes FNV-1a.
    pub hash: u64,
    /// Bytes of header block and body together.
    pub length: u64,
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

impl Body {
    /// Of a body without headers: 64-bit FNV-1a of its bytes.
    ///
    /// ```
    /// assert_eq!(verteilt_history::Body::of(b"a").hash, 0xaf63_dc4c_8601_ec8c);
    /// ```
    #[must_use]
    pub fn of(body: &[u8]) -> Self {
        Self::with_headers(&[], body)
    }

    /// Of a header block and a body, hashed one after the other.
    #[must_use]
    pub fn with_headers(headers: &[u8], body: &[u8]) -> Self {
        let bytes = headers.iter().chain(body);
        Self {
            hash: bytes.fold(FNV_OFFSET, |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME)
            }),
            length: (headers.len() + body.len()) as u64,
        }
    }
}
