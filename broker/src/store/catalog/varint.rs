//! Numbers inside payloads: the varints of protobuf, so that a small number is a small thing.

use prost::encoding::{decode_varint, encode_varint};

pub(super) fn put(out: &mut Vec<u8>, numbers: &[u64]) {
    for number in numbers {
        encode_varint(*number, out);
    }
}

pub(super) fn take(from: &mut &[u8]) -> Result<u64, &'static str> {
    decode_varint(from).map_err(|_| "a number in it is cut off or too long")
}

/// Takes a number that fits a narrower type.
pub(super) fn take_as<T: TryFrom<u64>>(from: &mut &[u8]) -> Result<T, &'static str> {
    T::try_from(take(from)?).map_err(|_| "a number in it is out of range")
}
