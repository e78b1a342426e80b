//! Bodies packed into a block.
//!
//! ```text
//! parts (u16, little-endian)  entries  first id
//! per entry: id delta  header length  length     all but the first as varints
//! the bytes of all entries, one after the other
//! ```
//! The table stands in front of the bytes, so that decoding slices one buffer and copies nothing.

use bytes::Bytes;
use prost::encoding::encoded_len_varint;

use super::envelope::PAYLOAD_BYTES_MAX;
use super::snapshot::Body;
use super::{BLOCK_BYTES_MAX, chunk, varint};
use crate::store::StoreError;

/// The most that stands before the table.
const HEAD_BYTES_MAX: usize = PARTS_BYTES + 5 + 10;

const PARTS_BYTES: usize = 2;

/// Counts how many bodies still fit one block of [`BLOCK_BYTES_MAX`]. A body that is larger than
/// that fits an empty block, and then fills it.
#[derive(Debug, Clone, Copy, Default)]
pub struct BlockRoom {
    bytes: usize,
}

impl BlockRoom {
    /// An empty block.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a body of `length` bytes, headers included, if it fits; says whether it did.
    pub fn take(&mut self, length: usize) -> bool {
        // Ten for the id, the delta of which is not known here.
        let entry = 10 + 2 * encoded_len_varint(length as u64) + length;
        let fits = self.bytes == 0 || HEAD_BYTES_MAX + self.bytes + entry <= BLOCK_BYTES_MAX;
        if fits {
            self.bytes += entry;
        }
        fits
    }
}

/// A block as it goes to the store: `head`, then `tail`.
pub(super) struct Encoded {
    pub(super) head: Vec<u8>,
    /// The one body of a large block, shared instead of copied.
    pub(super) tail: Bytes,
    pub(super) parts: u16,
    pub(super) bytes: u32,
}

/// Encodes bodies in ascending order of id. Several have to fit [`BLOCK_BYTES_MAX`].
pub(super) fn encode(bodies: &[Body]) -> Result<Encoded, StoreError> {
    let Some(first) = bodies.first() else {
        return Err(StoreError::Refused {
            reason: "a block needs a body",
        });
    };
    if !bodies.is_sorted_by(|a, b| a.id < b.id) {
        return Err(StoreError::Refused {
            reason: "the bodies of a block are not in order of id",
        });
    }
    let mut head = table(first.id, bodies)?;
    let length = head.len() + bodies.iter().map(|body| body.bytes.len()).sum::<usize>();
    if bodies.len() > 1 && length > BLOCK_BYTES_MAX {
        return Err(StoreError::TooLarge {
            what: "block",
            bytes: length,
            bytes_max: BLOCK_BYTES_MAX,
        });
    }
    let too_large = StoreError::TooLarge {
        what: "body",
        bytes: length,
        bytes_max: usize::from(u16::MAX) * PAYLOAD_BYTES_MAX,
    };
    let parts = u16::try_from(chunk::parts(length)).map_err(|_| too_large.clone())?;
    let bytes = u32::try_from(chunk::stored_bytes(length)).map_err(|_| too_large)?;
    head[..PARTS_BYTES].copy_from_slice(&parts.to_le_bytes());
    if length > BLOCK_BYTES_MAX {
        return Ok(Encoded {
            head,
            tail: first.bytes.clone(),
            parts,
            bytes,
        });
    }
    for body in bodies {
        head.extend_from_slice(&body.bytes);
    }
    Ok(Encoded {
        head,
        tail: Bytes::new(),
        parts,
        bytes,
    })
}

/// The bodies in the payload of a block that was read as `parts` parts: slices of it.
pub(super) fn decode(payload: &Bytes, parts: u16) -> Result<Vec<Body>, &'static str> {
    let Some((own, mut rest)) = payload.split_at_checked(PARTS_BYTES) else {
        return Err("it is too short");
    };
    if own != parts.to_le_bytes() {
        return Err("it is spread over another number of parts");
    }
    let entries: usize = varint::take_as(&mut rest)?;
    if entries > rest.len() {
        return Err("it has more entries than bytes");
    }
    let mut id = varint::take(&mut rest)?;
    let mut lengths = Vec::with_capacity(entries);
    for _ in 0..entries {
        let delta = varint::take(&mut rest)?;
        id = id.checked_add(delta).ok_or("an id in it is out of range")?;
        let header_length: u32 = varint::take_as(&mut rest)?;
        let length: usize = varint::take_as(&mut rest)?;
        if header_length as usize > length {
            return Err("headers in it are longer than their entry");
        }
        lengths.push((id, header_length, length));
    }
    let mut start = payload.len() - rest.len();
    let mut bodies = Vec::with_capacity(entries);
    for (id, header_length, length) in lengths {
        let end = start
            .checked_add(length)
            .filter(|end| *end <= payload.len());
        let end = end.ok_or("its entries are longer than the block")?;
        bodies.push(Body {
            id,
            header_length,
            bytes: payload.slice(start..end),
        });
        start = end;
    }
    if start == payload.len() {
        Ok(bodies)
    } else {
        Err("its entries are shorter than the block")
    }
}

/// All that stands before the bytes; the number of parts is left to be filled in.
fn table(first_id: u64, bodies: &[Body]) -> Result<Vec<u8>, StoreError> {
    let mut table = vec![0; PARTS_BYTES];
    varint::put(&mut table, &[bodies.len() as u64, first_id]);
    let mut previous = first_id;
    for body in bodies {
        let length = body.bytes.len() as u64;
        if u64::from(body.header_length) > length {
            return Err(StoreError::Refused {
                reason: "a body is shorter than its headers",
            });
        }
        varint::put(
            &mut table,
            &[body.id - previous, body.header_length.into(), length],
        );
        previous = body.id;
    }
    Ok(table)
}
