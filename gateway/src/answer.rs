//! What goes back over the connection: bytes, or a stream from a service, and what is to be done when
//! it is over.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::HttpBody;
use bytes::Bytes;
use futures_util::Stream as _;
use hyper::body::{Frame, SizeHint};

use crate::proxy::Journey;

/// The body of an answer. A stream is read only as fast as the client takes it; dropped before its end,
/// the worker is told.
#[derive(Debug)]
pub(crate) struct Answer {
    content: Content,
    /// Ends when the answer does.
    journey: Option<Box<Journey>>,
}

#[derive(Debug)]
enum Content {
    Whole(Bytes),
    Stream {
        body: Box<verteilt_client::Body>,
        /// As the service said; what of it is still to come.
        left: Option<u64>,
    },
    Own(axum::body::Body),
    Over,
}

/// A body did not come to its end: the connection is cut, so that the client sees it.
#[derive(Debug, thiserror::Error)]
#[error("the body of a response broke off: {0}")]
pub(crate) struct BrokenOff(String);

impl Answer {
    /// The gateway's own.
    pub(crate) fn own(body: axum::body::Body) -> Self {
        Self {
            content: Content::Own(body),
            journey: None,
        }
    }

    /// What of it is here is sent with a length, the rest as it comes.
    pub(crate) fn of_service(
        mut body: verteilt_client::Body,
        length: Option<u64>,
        journey: Box<Journey>,
    ) -> Self {
        let content = if body.is_whole() {
            Content::Whole(whole(&mut body))
        } else {
            let body = Box::new(body);
            Content::Stream { body, left: length }
        };
        Self::begin(content, journey)
    }

    pub(crate) fn refusal(body: axum::body::Body, journey: Box<Journey>) -> Self {
        Self::begin(Content::Own(body), journey)
    }

    pub(crate) fn none(journey: Box<Journey>) -> Self {
        Self::begin(Content::Over, journey)
    }

    fn begin(content: Content, journey: Box<Journey>) -> Self {
        let mut this = Self {
            content,
            journey: Some(journey),
        };
        if this.is_end_stream() {
            this.complete();
        }
        this
    }

    fn given(&mut self, bytes: usize) {
        if let Some(journey) = &mut self.journey {
            journey.given(bytes as u64);
        }
        // Whoever knows its length may not ask for the end.
        let is_over = match &mut self.content {
            Content::Stream { left, .. } => {
                *left = left.map(|left| left.saturating_sub(bytes as u64));
                *left == Some(0)
            }
            Content::Own(body) => body.is_end_stream(),
            Content::Whole(_) | Content::Over => false,
        };
        if is_over && let Some(journey) = &mut self.journey {
            journey.complete();
        }
    }

    fn complete(&mut self) {
        self.content = Content::Over;
        if let Some(journey) = &mut self.journey {
            journey.complete();
        }
    }
}

/// The bytes of a body that is here.
fn whole(body: &mut verteilt_client::Body) -> Bytes {
    let mut nobody = Context::from_waker(std::task::Waker::noop());
    match Pin::new(body).poll_next(&mut nobody) {
        Poll::Ready(Some(Ok(bytes))) => bytes,
        _ => Bytes::new(),
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let this = self.get_mut();
        let next = match &mut this.content {
            Content::Over => return Poll::Ready(None),
            Content::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                this.given(bytes.len());
                this.complete();
                return Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))));
            }
            Content::Stream { body, .. } => {
                let next = ready!(Pin::new(body.as_mut()).poll_next(context));
                next.map(|chunk| match chunk {
                    Ok(chunk) => Ok(Frame::data(chunk)),
                    Err(error) => Err(BrokenOff(error.to_string())),
                })
            }
            Content::Own(body) => {
                let next = ready!(Pin::new(body).poll_frame(context));
                next.map(|frame| frame.map_err(|error| BrokenOff(error.to_string())))
            }
        };
        match &next {
            None => this.complete(),
            Some(Ok(frame)) => this.given(frame.data_ref().map_or(0, Bytes::len)),
            Some(Err(error)) => {
                tracing::debug!(%error, "a response is cut off");
                this.content = Content::Over;
            }
        }
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Over => true,
            Content::Whole(bytes) => bytes.is_empty(),
            Content::Stream { .. } => false,
            Content::Own(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Over => SizeHint::with_exact(0),
            Content::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Stream { left, .. } => left.map(SizeHint::with_exact).unwrap_or_default(),
            Content::Own(body) => body.size_hint(),
        }
    }
}
