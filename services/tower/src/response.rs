//! An application's HTTP response as one of the queue.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use bytes::{Buf, Bytes};
use futures_util::{Stream, StreamExt as _, stream};
use http_body::{Body as HttpBody, Frame};
use verteilt_client::{Body, Header, Response};

/// A body that is there as a whole goes with the head; any other piece by piece as it comes.
pub(crate) async fn from_http<B>(response: http::Response<B>) -> Response
where
    B: HttpBody + Send + 'static,
    B::Data: Buf + Send,
    B::Error: std::fmt::Display,
{
    let (parts, body) = response.into_parts();
    let mut answer = Response::with_status(parts.status.as_u16().into(), start(body).await);
    let headers = parts
        .headers
        .iter()
        .map(|(name, value)| Header::new(name.as_str(), Bytes::copy_from_slice(value.as_bytes())));
    answer.headers = headers.collect();
    answer
}

async fn start<B>(body: B) -> Body
where
    B: HttpBody + Send + 'static,
    B::Data: Buf + Send,
    B::Error: std::fmt::Display,
{
    let mut body = Box::pin(body);
    if body.is_end_stream() {
        return Body::empty();
    }
    // Only what is there already: the head must not wait for the rest.
    let first = poll_fn(|context| Poll::Ready(body.as_mut().poll_frame(context))).await;
    match first {
        Poll::Ready(None) => Body::empty(),
        Poll::Ready(Some(Ok(frame))) if body.is_end_stream() => bytes(frame).into(),
        Poll::Ready(Some(first)) => {
            let first = first.map(bytes).map_err(|error| error.to_string());
            let first = stream::iter([first]);
            Body::from_stream(first.chain(pieces(body)))
        }
        Poll::Pending => Body::from_stream(pieces(body)),
    }
}

fn pieces<B>(body: Pin<Box<B>>) -> impl Stream<Item = Result<Bytes, String>> + Send
where
    B: HttpBody + Send + 'static,
    B::Data: Buf + Send,
    B::Error: std::fmt::Display,
{
    stream::unfold(body, |mut body| async move {
        let frame = poll_fn(|context| body.as_mut().poll_frame(context)).await?;
        Some((frame.map(bytes).map_err(|error| error.to_string()), body))
    })
}

/// Trailers have no place in a reply.
fn bytes<D: Buf>(frame: Frame<D>) -> Bytes {
    frame.into_data().map_or(Bytes::new(), |mut data| {
        data.copy_to_bytes(data.remaining())
    })
}
