//! The answer to a request.

use bytes::{Bytes, BytesMut};
use verteilt_protocol::limits::HEADER_BYTES_MAX;
use verteilt_protocol::{FrameError, encode_headers, wire};

use super::body::Body;
use crate::error::ClientError;
use crate::options::Header;

/// What a service answers: a status, headers and a body.
#[derive(Debug)]
pub struct Response {
    /// As in HTTP; 200 by default.
    pub status: u32,
    /// In order; names may repeat. At most 64 KiB, encoded.
    pub headers: Vec<Header>,
    /// Bytes or a stream.
    pub body: Body,
    /// Somebody else answers.
    forwarded: bool,
}

impl Response {
    /// Status 200.
    pub fn new(body: impl Into<Body>) -> Self {
        Self::with_status(200, body)
    }

    /// Another status.
    pub fn with_status(status: u32, body: impl Into<Body>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            forwarded: false,
        }
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.headers.push(Header::new(name, value));
        self
    }

    /// The value of the first header of this name, whatever its case.
    #[must_use]
    pub fn header_value(&self, name: &str) -> Option<&Bytes> {
        find(&self.headers, name)
    }

    pub(crate) fn forwarded() -> Self {
        Self {
            forwarded: true,
            ..Self::with_status(0, Body::empty())
        }
    }

    /// Whether a handler returns this because the request was passed on, and somebody else answers.
    #[must_use]
    pub const fn is_forwarded(&self) -> bool {
        self.forwarded
    }
}

pub(super) fn find<'a>(headers: &'a [Header], name: &str) -> Option<&'a Bytes> {
    let mut headers = headers.iter();
    let found = headers.find(|header| header.name.eq_ignore_ascii_case(name));
    found.map(|header| &header.value)
}

/// A header block, and the bytes of the body that go in the same frame behind it.
pub(super) fn frame_of(headers: Vec<Header>, body: &mut Body) -> Result<(u32, Bytes), ClientError> {
    let most = verteilt_protocol::limits::PART_BYTES;
    if headers.is_empty() {
        return Ok((0, body.split_first(most)));
    }
    let entries = headers.into_iter().map(|header| wire::Header {
        name: header.name,
        value: header.value,
    });
    let headers = wire::Headers {
        entries: entries.collect(),
    };
    let mut out = BytesMut::new();
    let length = encode_headers(&mut out, &headers).map_err(|error| match error {
        FrameError::HeadersTooLarge { bytes } => ClientError::HeadersTooLarge {
            bytes,
            limit: HEADER_BYTES_MAX as u64,
        },
        other => other.into(),
    })?;
    out.extend_from_slice(&body.split_first(most - length as usize));
    Ok((length, out.freeze()))
}
