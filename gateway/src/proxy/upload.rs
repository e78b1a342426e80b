//! The body of a request on its way to a service: whole where it is short, else piece by piece as the
//! worker reads it.

use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use hyper::body::{Body as _, Incoming};
use tokio::time::{Instant, Sleep};

use crate::problem::Problem;

/// A body that can be sent: a whole one more than once.
#[derive(Debug)]
pub(crate) enum Upload {
    Whole(Bytes),
    /// Taken when it is sent.
    Pieces(Option<Box<Pieces>>),
}

/// What became of a body, seen from outside.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    taken: AtomicU64,
    fault: AtomicU8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Fault {
    TooLarge = 1,
    TooSlow = 2,
    Broken = 3,
}

/// Passes a body on under a limit of bytes and of time between two pieces.
#[derive(Debug)]
pub(crate) struct Pieces {
    incoming: Incoming,
    left: u64,
    patience: Duration,
    timer: Pin<Box<Sleep>>,
    /// Whether the timer runs: somebody waits for a piece.
    waiting: bool,
    progress: Arc<Progress>,
}

/// Limits of one body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UploadLimits {
    pub(crate) bytes_max: u64,
    pub(crate) whole_bytes_max: usize,
    pub(crate) deadline: Duration,
}

impl Upload {
    /// Reads it if it says that it is short. Else it is read when somebody asks for it.
    pub(crate) async fn begin(
        headers: &HeaderMap,
        incoming: Incoming,
        limits: UploadLimits,
        progress: &Arc<Progress>,
    ) -> Result<Self, Problem> {
        if incoming.is_end_stream() {
            return Ok(Self::Whole(Bytes::new()));
        }
        let length = length_of(headers);
        if length.is_some_and(|length| length > limits.bytes_max) {
            return Err(Fault::TooLarge.problem(limits));
        }
        let pieces = Pieces {
            incoming,
            left: limits.bytes_max,
            patience: limits.deadline,
            timer: Box::pin(tokio::time::sleep(limits.deadline)),
            waiting: true,
            progress: Arc::clone(progress),
        };
        match length {
            Some(length) if length <= limits.whole_bytes_max as u64 => {
                pieces.whole(length as usize, limits).await.map(Self::Whole)
            }
            _ => Ok(Self::Pieces(Some(Box::new(pieces)))),
        }
    }

    /// Whether it can be sent another time.
    pub(crate) const fn is_whole(&self) -> bool {
        matches!(self, Self::Whole(_))
    }

    /// Reads what is still to come: for those that are sent as a whole, whatever they say.
    pub(crate) async fn into_whole(self, limits: UploadLimits) -> Result<Bytes, Problem> {
        match self {
            Self::Whole(bytes) => Ok(bytes),
            Self::Pieces(Some(pieces)) => pieces.whole(0, limits).await,
            Self::Pieces(None) => Ok(Bytes::new()),
        }
    }

    pub(crate) fn body(&mut self) -> verteilt_client::Body {
        match self {
            Self::Whole(bytes) => bytes.clone().into(),
            Self::Pieces(pieces) => pieces
                .take()
                .map_or_else(verteilt_client::Body::empty, |pieces| {
                    verteilt_client::Body::from_stream(*pieces)
                }),
        }
    }
}

/// As `Content-Length` says; hyper has checked it.
pub(crate) fn length_of(headers: &HeaderMap) -> Option<u64> {
    let length = headers.get(header::CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

impl Pieces {
    async fn whole(mut self, length: usize, limits: UploadLimits) -> Result<Bytes, Problem> {
        let mut next = async || poll_fn(|context| self.poll(context)).await;
        let fault = |fault: Fault| fault.problem(limits);
        let first = next().await.transpose().map_err(fault)?.unwrap_or_default();
        if first.len() == length {
            return Ok(first);
        }
        let mut whole = BytesMut::with_capacity(length);
        whole.extend_from_slice(&first);
        while let Some(piece) = next().await.transpose().map_err(fault)? {
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Fault>>> {
        loop {
            let frame = match Pin::new(&mut self.incoming).poll_frame(context) {
                Poll::Ready(frame) => frame,
                Poll::Pending => {
                    if !std::mem::replace(&mut self.waiting, true) {
                        self.timer.as_mut().reset(Instant::now() + self.patience);
                    }
                    ready!(self.timer.as_mut().poll(context));
                    return Poll::Ready(Some(Err(self.fails(Fault::TooSlow))));
                }
            };
            self.waiting = false;
            let Some(frame) = frame else {
                return Poll::Ready(None);
            };
            let Ok(frame) = frame else {
                return Poll::Ready(Some(Err(self.fails(Fault::Broken))));
            };
            // Trailers end here.
            let Ok(piece) = frame.into_data() else {
                continue;
            };
            let bytes = piece.len() as u64;
            let Some(left) = self.left.checked_sub(bytes) else {
                return Poll::Ready(Some(Err(self.fails(Fault::TooLarge))));
            };
            self.left = left;
            self.progress.taken.fetch_add(bytes, Ordering::Relaxed);
            return Poll::Ready(Some(Ok(piece)));
        }
    }

    fn fails(&self, fault: Fault) -> Fault {
        self.progress.fault.store(fault as u8, Ordering::Release);
        fault
    }
}

impl Stream for Pieces {
    type Item = Result<Bytes, &'static str>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(self.get_mut().poll(context));
        Poll::Ready(next.map(|piece| piece.map_err(Fault::text)))
    }
}

impl Progress {
    /// Bytes that came.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Why it broke off, if it did.
    pub(crate) fn problem(&self, limits: UploadLimits) -> Option<Problem> {
        let fault = match self.fault.load(Ordering::Acquire) {
            1 => Fault::TooLarge,
            2 => Fault::TooSlow,
            3 => Fault::Broken,
            _ => return None,
        };
        Some(fault.problem(limits))
    }
}

impl Fault {
    const fn text(self) -> &'static str {
        match self {
            Self::TooLarge => "the body is larger than its route allows",
            Self::TooSlow => "the body did not come in time",
            Self::Broken => "the body broke off",
        }
    }

    fn problem(self, limits: UploadLimits) -> Problem {
        match self {
            Self::TooLarge => {
                let limit = limits.bytes_max;
                let detail = format!("a body has at most {limit} bytes here; send less");
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE", detail)
            }
            Self::TooSlow => {
                let detail = "the body did not come in time; send it faster";
                Problem::new(StatusCode::REQUEST_TIMEOUT, "BODY_TIMEOUT", detail)
            }
            Self::Broken => {
                let detail = "the body broke off or is not written as HTTP asks for; send it again";
                Problem::new(StatusCode::BAD_REQUEST, "BODY_BROKEN", detail)
            }
        }
    }
}
