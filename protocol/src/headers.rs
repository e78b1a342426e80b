//! The header block of a job: an encoded `Headers` message. No entries: no bytes.

use bytes::{Bytes, BytesMut};
use prost::Message;

use crate::frame::FrameError;
use crate::limits::HEADER_BYTES_MAX;
use crate::wire::Headers;

/// Appends a header block and says how long it is, for `header_lengths`.
///
/// # Errors
/// [`FrameError::HeadersTooLarge`]; nothing has been appended then.
pub fn encode_headers(out: &mut BytesMut, headers: &Headers) -> Result<u32, FrameError> {
    let bytes = headers.encoded_len();
    if bytes > HEADER_BYTES_MAX {
        return Err(FrameError::HeadersTooLarge {
            bytes: bytes as u64,
        });
    }
    out.reserve(bytes);
    headers.encode(out).expect("a BytesMut grows as needed");
    Ok(bytes as u32)
}

/// Reads a header block; values share its memory. No bytes: no entries.
///
/// # Errors
/// Over the limit, or no `Headers` message.
pub fn decode_headers(block: &Bytes) -> Result<Headers, FrameError> {
    if block.len() > HEADER_BYTES_MAX {
        return Err(FrameError::HeadersTooLarge {
            bytes: block.len() as u64,
        });
    }
    Ok(Headers::decode(block.clone())?)
}
