//! Where the parts of a body arrive. Bounded by the credit that is granted from here: as much as is
//! read away.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use parking_lot::Mutex;

use super::wish::{Side, Wish};
use crate::error::ClientError;
use crate::shared::Shared;

/// Bytes that may be on their way or wait here while somebody reads.
const WINDOW_BYTES: u64 = 256 * 1024;

/// See the module.
pub(crate) struct Inlet {
    side: Side,
    content: Mutex<Content>,
}

#[derive(Default)]
struct Content {
    parts: VecDeque<Bytes>,
    /// Bytes of them.
    waiting: u64,
    /// Granted, and not here yet.
    granted: u64,
    ended: bool,
    error: Option<ClientError>,
    waker: Option<Waker>,
}

impl Inlet {
    /// Its sender begins with this credit.
    pub(crate) fn new(side: Side, credit: u64) -> Self {
        let content = Content {
            granted: credit,
            ..Content::default()
        };
        Self {
            side,
            content: Mutex::new(content),
        }
    }

    /// The next bytes have come.
    pub(crate) fn put(&self, bytes: Bytes, more: bool) {
        let mut content = self.content.lock();
        let length = bytes.len() as u64;
        content.granted = content.granted.saturating_sub(length);
        content.waiting += length;
        if length > 0 {
            content.parts.push_back(bytes);
        }
        content.ended |= !more;
        if let Some(waker) = content.waker.take() {
            waker.wake();
        }
    }

    /// Nothing more comes, and what came is not the whole.
    pub(crate) fn fail(&self, error: ClientError) {
        let mut content = self.content.lock();
        if !content.ended {
            content.ended = true;
            content.error = Some(error);
        }
        if let Some(waker) = content.waker.take() {
            waker.wake();
        }
    }

    /// Whether nothing more is to come from the other side.
    fn is_ended(&self) -> bool {
        self.content.lock().ended
    }
}

/// The end of an inlet that reads. Dropped before the end of a reply's body, it gives the request up.
pub(crate) struct InletReader {
    shared: Arc<Shared>,
    inlet: Arc<Inlet>,
    /// Bytes were asked for: they can no longer go anywhere else.
    asked: bool,
}

impl InletReader {
    pub(crate) fn new(shared: Arc<Shared>, inlet: Arc<Inlet>) -> Self {
        Self {
            shared,
            inlet,
            asked: false,
        }
    }

    /// Whether this is the untouched rest of the body of a request that is being served.
    pub(crate) fn is_untouched(&self, token: u64) -> bool {
        self.inlet.side == Side::Worker(token) && !self.asked
    }

    pub(crate) fn poll_chunk(
        &mut self,
        context: &Context<'_>,
    ) -> Poll<Option<Result<Bytes, ClientError>>> {
        let mut content = self.inlet.content.lock();
        let next = match content.parts.pop_front() {
            Some(part) => {
                content.waiting -= part.len() as u64;
                Poll::Ready(Some(Ok(part)))
            }
            None if content.ended => return Poll::Ready(content.error.take().map(Err)),
            None => {
                match &mut content.waker {
                    Some(known) => known.clone_from(context.waker()),
                    none @ None => *none = Some(context.waker().clone()),
                }
                Poll::Pending
            }
        };
        let under_way = content.granted + content.waiting;
        let grant = if !content.ended && under_way <= WINDOW_BYTES / 2 {
            WINDOW_BYTES - under_way
        } else {
            0
        };
        content.granted += grant;
        drop(content);
        if grant > 0 {
            self.asked = true;
            let side = self.inlet.side;
            // A closed client has failed the inlet, or is about to.
            let _ = self.shared.wish(Wish::Credit { side, bytes: grant });
        }
        next
    }
}

impl Drop for InletReader {
    fn drop(&mut self) {
        if let (Side::Caller(request), false) = (self.inlet.side, self.inlet.is_ended()) {
            // A closed client has given up everything.
            let _ = self.shared.wish(Wish::Cancel(request));
        }
    }
}

impl fmt::Debug for Inlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inlet")
            .field("side", &self.side)
            .finish_non_exhaustive()
    }
}
