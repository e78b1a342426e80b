//! Bodies that say of themselves which they are and whether they are whole.

use bytes::Bytes;

use crate::dice::Dice;

/// The number and its check.
const HEAD_BYTES: usize = 12;

/// Bytes after its number that a body has, besides those its plan asks for.
pub(crate) fn of(number: u64, size: u32) -> Bytes {
    let mut body = Vec::with_capacity(HEAD_BYTES + size as usize);
    body.extend_from_slice(&number.to_le_bytes());
    body.extend_from_slice(&size.to_le_bytes());
    let mut dice = Dice::of(number, 0x626f_6479);
    while body.len() < HEAD_BYTES + size as usize {
        body.extend_from_slice(&dice.next().to_le_bytes());
    }
    body.truncate(HEAD_BYTES + size as usize);
    body.into()
}

/// Which one it is; `None` if it is none that was ever made.
pub(crate) fn number(body: &[u8]) -> Option<u64> {
    let head = body.first_chunk::<HEAD_BYTES>()?;
    let (number, size) = head.split_at(8);
    let number = u64::from_le_bytes(number.try_into().ok()?);
    let size = u32::from_le_bytes(size.try_into().ok()?);
    (of(number, size) == body).then_some(number)
}
