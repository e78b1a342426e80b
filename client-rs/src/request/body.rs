//! A body: bytes that are there, or a stream.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use verteilt_protocol::limits::BODY_BYTES_MAX;

use super::inlet::InletReader;
use crate::error::ClientError;

type BoxStream = Pin<Box<dyn Stream<Item = Result<Bytes, ClientError>> + Send>>;

/// The body of a request or a response: bytes, or a stream of them. One that was received may be
/// sent on as it is. Also a [`Stream`] of its chunks.
///
/// A body that comes from elsewhere is taken over as it is read: what nobody reads is not sent,
/// beyond a first part of up to 960 KiB and, in responses, 64 KiB behind it.
pub struct Body {
    first: Bytes,
    rest: Rest,
}

enum Rest {
    Nothing,
    Inlet(InletReader),
    Stream(BoxStream),
}

impl Body {
    /// No bytes.
    #[must_use]
    pub const fn empty() -> Self {
        Self {
            first: Bytes::new(),
            rest: Rest::Nothing,
        }
    }

    /// What a stream gives, chunk by chunk; each is sent at once. An error breaks the body off: its
    /// receiver gets an error, too, though not this one.
    pub fn from_stream<S, B, E>(stream: S) -> Self
    where
        S: Stream<Item = Result<B, E>> + Send + 'static,
        B: Into<Bytes>,
        E: fmt::Display,
    {
        let stream = futures_util::StreamExt::map(stream, |chunk| {
            chunk
                .map(Into::into)
                .map_err(|error| ClientError::protocol(error.to_string()))
        });
        Self {
            first: Bytes::new(),
            rest: Rest::Stream(Box::pin(stream)),
        }
    }

    pub(crate) fn received(first: Bytes, rest: Option<InletReader>) -> Self {
        Self {
            first,
            rest: rest.map_or(Rest::Nothing, Rest::Inlet),
        }
    }

    /// Its length, if all of it is here.
    #[must_use]
    pub fn len(&self) -> Option<u64> {
        self.is_whole().then_some(self.first.len() as u64)
    }

    /// Whether all of it is here, and that is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// Whether all of it is here: [`Body::bytes`] does not wait then.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        matches!(self.rest, Rest::Nothing)
    }

    /// The next bytes, never none; `None`: the end.
    ///
    /// # Errors
    /// The body broke off: [`crate::ErrorCode::BodyBroken`], or why the request ended.
    ///
    /// # Cancel safety
    /// Safe: bytes are taken only when they are returned.
    pub async fn chunk(&mut self) -> Option<Result<Bytes, ClientError>> {
        poll_fn(|context| self.poll_chunk(context)).await
    }

    /// All of it, up to 64 MiB.
    ///
    /// # Errors
    /// [`ClientError::BodyTooLarge`]; as [`Body::chunk`].
    ///
    /// # Cancel safety
    /// Dropped, what was read is lost.
    pub async fn bytes(self) -> Result<Bytes, ClientError> {
        self.bytes_up_to(BODY_BYTES_MAX).await
    }

    /// All of it, if that is not more than `limit` bytes.
    ///
    /// # Errors
    /// As [`Body::bytes`].
    ///
    /// # Cancel safety
    /// As [`Body::bytes`].
    pub async fn bytes_up_to(mut self, limit: u64) -> Result<Bytes, ClientError> {
        let too_large = |bytes: usize| ClientError::BodyTooLarge {
            bytes: bytes as u64,
            limit,
        };
        let mut whole = BytesMut::new();
        while let Some(chunk) = self.chunk().await {
            let chunk = chunk?;
            let bytes = whole.len() + chunk.len();
            if bytes as u64 > limit {
                return Err(too_large(bytes));
            }
            if whole.is_empty() && self.is_whole() {
                return Ok(chunk);
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    }

    /// Whether it is known to give no more.
    pub(crate) fn is_at_end(&self) -> bool {
        self.is_empty()
    }

    /// Takes up to `most` bytes that are here.
    pub(crate) fn split_first(&mut self, most: usize) -> Bytes {
        let most = most.min(self.first.len());
        self.first.split_to(most)
    }

    /// Whether what is left is what the caller of the request with this lease still has.
    pub(crate) fn is_rest_of(&self, token: u64) -> bool {
        let untouched = matches!(&self.rest, Rest::Inlet(reader) if reader.is_untouched(token));
        untouched && self.first.is_empty()
    }

    /// As it was before [`Self::split_first`] took these.
    pub(crate) fn behind(mut self, first: Bytes) -> Self {
        if self.first.is_empty() {
            self.first = first;
        } else {
            self.first = [first, self.first].concat().into();
        }
        self
    }

    pub(crate) fn poll_chunk(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, ClientError>>> {
        if !self.first.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.first))));
        }
        loop {
            let next = match &mut self.rest {
                Rest::Nothing => return Poll::Ready(None),
                Rest::Inlet(reader) => ready!(reader.poll_chunk(context)),
                Rest::Stream(stream) => ready!(stream.as_mut().poll_next(context)),
            };
            match next {
                Some(Ok(chunk)) if chunk.is_empty() => {}
                Some(Ok(chunk)) => return Poll::Ready(Some(Ok(chunk))),
                end => {
                    self.rest = Rest::Nothing;
                    return Poll::Ready(end);
                }
            }
        }
    }
}

impl<B: Into<Bytes>> From<B> for Body {
    fn from(bytes: B) -> Self {
        Self {
            first: bytes.into(),
            rest: Rest::Nothing,
        }
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl Stream for Body {
    type Item = Result<Bytes, ClientError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_chunk(context)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("bytes", &self.first.len())
            .field("is_whole", &self.is_whole())
            .finish()
    }
}
