//! The body of a request as applications read it.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream as _;
use http_body::{Frame, SizeHint};
use verteilt_client::{Body, ClientError};

/// Comes as it is read: what nobody reads is not sent.
#[derive(Debug)]
pub struct RequestBody {
    body: Body,
    /// What is still to come, if that is known.
    left: Option<u64>,
}

impl RequestBody {
    pub(crate) fn new(body: Body, length: Option<u64>) -> Self {
        Self {
            left: body.len().or(length),
            body,
        }
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = ClientError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ClientError>>> {
        let this = self.get_mut();
        let next = Pin::new(&mut this.body).poll_next(context);
        if let Poll::Ready(Some(Ok(chunk))) = &next {
            this.left = this
                .left
                .and_then(|left| left.checked_sub(chunk.len() as u64));
        }
        next.map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map(SizeHint::with_exact).unwrap_or_default()
    }
}
