//! Where the parts of a body leave, as far as the receiver has asked for them.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_util::future::{Either, select};
use parking_lot::Mutex;
use verteilt_protocol::limits::STREAM_PART_BYTES;

use super::body::Body;
use super::wish::{Side, Wish};
use crate::error::ClientError;
use crate::shared::Shared;

/// See the module.
#[derive(Default)]
pub(crate) struct Outlet {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    credit: u64,
    /// Nobody wants more.
    closed: bool,
    waker: Option<Waker>,
}

impl Outlet {
    pub(crate) fn new(credit: u64) -> Self {
        let state = State {
            credit,
            ..State::default()
        };
        Self {
            state: Mutex::new(state),
        }
    }

    /// The receiver takes more.
    pub(crate) fn grant(&self, bytes: u64) {
        let mut state = self.state.lock();
        state.credit = state.credit.saturating_add(bytes);
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    /// Nobody wants more.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    /// Waits until at least a byte may be sent, and takes up to `most`. None: closed.
    async fn take(&self, most: usize) -> Option<usize> {
        poll_fn(|context| {
            let mut state = self.state.lock();
            if state.closed {
                return Poll::Ready(None);
            }
            if state.credit > 0 {
                let bytes = state.credit.min(most as u64);
                state.credit -= bytes;
                return Poll::Ready(Some(bytes as usize));
            }
            state.wait(context);
            Poll::Pending
        })
        .await
    }

    async fn closed(&self) {
        poll_fn(|context| {
            let mut state = self.state.lock();
            if state.closed {
                return Poll::Ready(());
            }
            state.wait(context);
            Poll::Pending
        })
        .await;
    }

    /// Sends the rest of a body until its end, or until nobody wants more. Err: the client has ended.
    pub(crate) async fn pump(
        self: &Arc<Self>,
        shared: &Shared,
        side: Side,
        mut body: Body,
    ) -> Result<(), ClientError> {
        loop {
            let next = {
                let chunk = std::pin::pin!(body.chunk());
                match select(chunk, std::pin::pin!(self.closed())).await {
                    Either::Left((next, _)) => next,
                    Either::Right(_) => return Ok(()),
                }
            };
            match next {
                Some(Ok(chunk)) => {
                    let more = !body.is_at_end();
                    if !self.send(shared, side, chunk, more).await? || !more {
                        return Ok(());
                    }
                }
                Some(Err(error)) => {
                    tracing::debug!(%error, "a body breaks off");
                    return self.last(shared, side, true);
                }
                None => return self.last(shared, side, false),
            }
        }
    }

    fn last(&self, shared: &Shared, side: Side, broken: bool) -> Result<(), ClientError> {
        shared.wish(Wish::Part {
            side,
            payload: Bytes::new(),
            more: false,
            broken,
        })
    }

    /// False: nobody wants more.
    async fn send(
        &self,
        shared: &Shared,
        side: Side,
        mut chunk: Bytes,
        more: bool,
    ) -> Result<bool, ClientError> {
        while !chunk.is_empty() {
            let Some(bytes) = self.take(chunk.len().min(STREAM_PART_BYTES)).await else {
                return Ok(false);
            };
            let payload = chunk.split_to(bytes);
            shared.wish(Wish::Part {
                side,
                payload,
                more: more || !chunk.is_empty(),
                broken: false,
            })?;
        }
        Ok(true)
    }
}

impl State {
    fn wait(&mut self, context: &Context<'_>) {
        match &mut self.waker {
            Some(known) => known.clone_from(context.waker()),
            none @ None => *none = Some(context.waker().clone()),
        }
    }
}

impl fmt::Debug for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outlet").finish_non_exhaustive()
    }
}
