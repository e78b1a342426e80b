//! Bytes to frames and back.
//!
//! ```text
//! 0         4      5       6          8             16            20
//! | length  | type | flags | reserved | correlation | meta_length | meta ... | payload ...
//!   u32       u8     u8      u16 = 0    u64           u32
//! ```
//! All numbers are little-endian. `length` counts what follows it: 16 + meta + payload. The meta is a
//! message of `verteilt.proto`; the payload is raw and is neither copied nor looked at here.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;

use crate::error_code::ErrorCode;
use crate::frame_type::FrameType;
use crate::limits::FRAME_BYTES_MAX;

/// Bytes of a frame before its meta, the length field among them.
pub const HEADER_BYTES: usize = 20;
/// Flag of OK: it answers every ACK, NACK, RELEASE and TOUCH of this connection with a correlation
/// up to and including its own that has had no answer yet.
pub const FLAG_CUMULATIVE: u8 = 1;

const LENGTH_BYTES: usize = 4;
/// What `length` counts besides meta and payload.
const COUNTED_BYTES: usize = HEADER_BYTES - LENGTH_BYTES;

/// The header of a frame, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Raw, since a newer peer may send types unknown here.
    pub frame_type: u8,
    /// Bits; unknown ones are ignored.
    pub flags: u8,
    /// Chosen by the client; 0 in frames that answer nothing.
    pub correlation: u64,
    /// Bytes of the message.
    pub meta_length: u32,
    /// Bytes after the length field: 16 + meta + payload.
    pub length: u32,
}

/// A frame whose meta and payload share the memory of the buffer it was read into: even one byte
/// keeps the whole buffer alive, so copy what is kept for long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Raw, since a newer peer may send types unknown here; see [`Frame::kind`].
    pub frame_type: u8,
    /// Bits; unknown ones are ignored.
    pub flags: u8,
    /// Chosen by the client; 0 in frames that answer nothing.
    pub correlation: u64,
    /// The encoded message.
    pub meta: Bytes,
    /// The raw rest.
    pub payload: Bytes,
}

/// Why bytes are no frame, or a frame not what its message says. See [`FrameError::code`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length does not even cover the header.
    #[error("frame length {length} is below {COUNTED_BYTES}")]
    TooShort {
        /// As announced.
        length: u32,
    },
    /// The length is over the limit.
    #[error("frame length {length} is over the limit of {FRAME_BYTES_MAX}")]
    TooLarge {
        /// As announced.
        length: u32,
    },
    /// The message would reach beyond the frame.
    #[error("meta length {meta_length} does not fit into frame length {length}")]
    MetaTooLong {
        /// As announced.
        meta_length: u32,
        /// Of the frame.
        length: u32,
    },
    /// Bytes 6 and 7 are not 0.
    #[error("reserved header bytes are {found:#06x}, not 0")]
    ReservedNotZero {
        /// What they are.
        found: u16,
    },
    /// The message cannot be decoded.
    #[error("message cannot be decoded: {0}")]
    Message(#[from] prost::DecodeError),
    /// The lengths of the message are not those of the payload.
    #[error("the lengths add up to {named} bytes, the payload has {payload}")]
    PayloadLength {
        /// Sum of the lengths.
        named: u64,
        /// Bytes of the payload.
        payload: u64,
    },
    /// Lists that belong together differ in length.
    #[error("{headers} header lengths for {bodies} body lengths")]
    ListLength {
        /// Header lengths.
        headers: usize,
        /// Body lengths.
        bodies: usize,
    },
    /// A header block is over the limit.
    #[error("a header block of {bytes} bytes is over the limit")]
    HeadersTooLarge {
        /// Its length.
        bytes: u64,
    },
}

impl FrameError {
    /// What a broker answers with.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::TooLarge { .. } => ErrorCode::FrameTooLarge,
            Self::TooShort { .. } | Self::MetaTooLong { .. } | Self::ReservedNotZero { .. } => {
                ErrorCode::MalformedFrame
            }
            Self::Message(_) | Self::PayloadLength { .. } | Self::ListLength { .. } => {
                ErrorCode::MalformedMessage
            }
            Self::HeadersTooLarge { .. } => ErrorCode::HeadersTooLarge,
        }
    }
}

impl FrameHeader {
    /// Reads the header at the start of `bytes` without taking it; `None`: more bytes are needed.
    ///
    /// # Errors
    /// As soon as the bytes there cannot begin a frame, however few they are.
    pub fn peek(mut bytes: &[u8]) -> Result<Option<Self>, FrameError> {
        if bytes.len() < LENGTH_BYTES {
            return Ok(None);
        }
        let length = bytes.get_u32_le();
        if (length as usize) < COUNTED_BYTES {
            return Err(FrameError::TooShort { length });
        }
        if length as usize > FRAME_BYTES_MAX {
            return Err(FrameError::TooLarge { length });
        }
        if bytes.len() < COUNTED_BYTES {
            return Ok(None);
        }
        let frame_type = bytes.get_u8();
        let flags = bytes.get_u8();
        let reserved = bytes.get_u16_le();
        let correlation = bytes.get_u64_le();
        let meta_length = bytes.get_u32_le();
        if reserved != 0 {
            return Err(FrameError::ReservedNotZero { found: reserved });
        }
        if meta_length as usize > length as usize - COUNTED_BYTES {
            return Err(FrameError::MetaTooLong {
                meta_length,
                length,
            });
        }
        Ok(Some(Self {
            frame_type,
            flags,
            correlation,
            meta_length,
            length,
        }))
    }
}

impl Frame {
    /// The type, if this version knows it.
    #[must_use]
    pub const fn kind(&self) -> Option<FrameType> {
        FrameType::from_number(self.frame_type)
    }

    /// Whether [`FLAG_CUMULATIVE`] is set.
    #[must_use]
    pub const fn is_cumulative(&self) -> bool {
        self.flags & FLAG_CUMULATIVE != 0
    }

    /// Decodes the message; fields that are unknown are ignored.
    ///
    /// # Errors
    /// [`FrameError::Message`] if the bytes are no such message.
    pub fn message<M: Message + Default>(&self) -> Result<M, FrameError> {
        Ok(M::decode(self.meta.clone())?)
    }
}

/// Takes the first frame off the buffer; `None`: read more, room for the rest of the frame has been
/// reserved (never more than the frame limit). Copies nothing.
///
/// # Errors
/// The header contradicts itself or is over the limit. Nothing after it can be trusted: close.
pub fn decode(buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
    let Some(header) = FrameHeader::peek(buffer)? else {
        // Too little even for a header; the length, when it is there, has been checked.
        buffer.reserve(HEADER_BYTES - buffer.len());
        return Ok(None);
    };
    let frame_bytes = LENGTH_BYTES + header.length as usize;
    if buffer.len() < frame_bytes {
        buffer.reserve(frame_bytes - buffer.len());
        return Ok(None);
    }
    let mut payload = buffer.split_to(frame_bytes).freeze();
    payload.advance(HEADER_BYTES);
    let meta = payload.split_to(header.meta_length as usize);
    Ok(Some(Frame {
        frame_type: header.frame_type,
        flags: header.flags,
        correlation: header.correlation,
        meta,
        payload,
    }))
}

/// Whether a frame of this message and so many bytes of payload keeps the frame limit.
#[must_use]
pub fn fits<M: Message>(message: &M, payload_length: usize) -> bool {
    COUNTED_BYTES + message.encoded_len() + payload_length <= FRAME_BYTES_MAX
}

/// Appends a frame.
///
/// # Panics
/// If the frame would be over the limit: the sender splits beforehand, see [`fits`].
pub fn encode<M: Message>(
    out: &mut BytesMut,
    kind: FrameType,
    flags: u8,
    correlation: u64,
    message: &M,
    payload: &[u8],
) {
    encode_with(
        out,
        kind,
        flags,
        correlation,
        message,
        payload.len(),
        |out| {
            out.extend_from_slice(payload);
        },
    );
}

/// Appends a frame whose payload `append` writes, so that a batch is gathered without a buffer of its
/// own. Memory is reserved once, for the whole frame.
///
/// # Panics
/// If the frame would be over the limit, or `append` does not write exactly `payload_length` bytes.
pub fn encode_with<M: Message>(
    out: &mut BytesMut,
    kind: FrameType,
    flags: u8,
    correlation: u64,
    message: &M,
    payload_length: usize,
    append: impl FnOnce(&mut BytesMut),
) {
    let meta_length = message.encoded_len();
    let length = COUNTED_BYTES + meta_length + payload_length;
    assert!(
        length <= FRAME_BYTES_MAX,
        "{kind} of {length} bytes is over the frame limit"
    );
    let end = out.len() + LENGTH_BYTES + length;
    // Room for a frame without message as well: one that follows must not move all of this.
    out.reserve(LENGTH_BYTES + length + HEADER_BYTES);
    put_header(out, kind, flags, correlation, meta_length, length);
    message.encode(out).expect("a BytesMut grows as needed");
    append(out);
    assert_eq!(
        out.len(),
        end,
        "{kind}: the payload is not as long as announced"
    );
}

/// Appends a frame without message and payload.
pub fn encode_empty(out: &mut BytesMut, kind: FrameType, flags: u8, correlation: u64) {
    out.reserve(HEADER_BYTES);
    put_header(out, kind, flags, correlation, 0, COUNTED_BYTES);
}

/// Both lengths have been held against the frame limit, so they fit into a u32.
fn put_header(
    out: &mut BytesMut,
    kind: FrameType,
    flags: u8,
    correlation: u64,
    meta_length: usize,
    length: usize,
) {
    let mut header = [0_u8; HEADER_BYTES];
    let mut cursor = &mut header[..];
    cursor.put_u32_le(length as u32);
    cursor.put_u8(kind.number());
    cursor.put_u8(flags);
    cursor.put_u16_le(0);
    cursor.put_u64_le(correlation);
    cursor.put_u32_le(meta_length as u32);
    out.extend_from_slice(&header);
}
