//! What waits to be written to one connection: one growing buffer, taken whole by the writer.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Above this the connection gets no more work and its requests are not read.
pub(crate) const OUTBOX_HIGH_BYTES: usize = 1024 * 1024;
/// Below this it goes on.
pub(crate) const OUTBOX_LOW_BYTES: usize = 256 * 1024;
/// Replies come whether there is room or not; a peer that lets so much wait is given up.
pub(crate) const OUTBOX_MAX_BYTES: usize = 64 * 1024 * 1024;
/// A peer that takes nothing for this long is given up.
pub(crate) const WRITE_DEADLINE: Duration = Duration::from_secs(30);
/// A buffer that grew beyond this is given back after use.
const BUFFER_KEPT_BYTES: usize = 64 * 1024;

#[derive(Debug, Default)]
struct Waiting {
    buffer: BytesMut,
    /// Taken by the writer, not yet with the kernel.
    writing_bytes: usize,
    /// The request that is being looked up, see [`Outbox::begin_look`].
    look: Option<u64>,
    closed: bool,
}

/// Shared by those who answer and the one task that writes.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: Mutex<Waiting>,
    filled: Notify,
    drained: Notify,
    push_credit: AtomicI64,
}

impl Outbox {
    /// For a client that may push so many bytes before it is granted more.
    pub(crate) fn new(push_credit: u64) -> Self {
        let outbox = Self::default();
        outbox.grant(push_credit);
        outbox
    }

    /// The client may push more.
    pub(crate) fn grant(&self, bytes: u64) {
        self.push_credit.fetch_add(bytes as i64, Ordering::Relaxed);
    }

    /// The client pushed; false if it had no credit left for it. One frame may overdraw it.
    pub(crate) fn spend(&self, bytes: u32) -> bool {
        self.push_credit
            .fetch_sub(i64::from(bytes), Ordering::Relaxed)
            > 0
    }

    /// Appends frames and wakes the writer. What comes after [`Self::close`] is dropped.
    pub(crate) fn append(&self, frames: impl FnOnce(&mut BytesMut)) {
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return;
        }
        let was_empty = waiting.buffer.is_empty();
        frames(&mut waiting.buffer);
        let wake = was_empty && !waiting.buffer.is_empty();
        drop(waiting);
        if wake {
            self.filled.notify_one();
        }
    }

    /// Bytes that the peer has not taken yet.
    pub(crate) fn len(&self) -> usize {
        let waiting = self.waiting.lock();
        waiting.buffer.len() + waiting.writing_bytes
    }

    /// Nothing more is taken; the writer writes what is there and ends.
    pub(crate) fn close(&self) {
        self.waiting.lock().closed = true;
        self.filled.notify_one();
        self.drained.notify_waiters();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.waiting.lock().closed
    }

    /// Everything that waits, in exchange for an empty buffer; `None` once it is closed and empty.
    pub(crate) async fn take(&self, mut empty: BytesMut) -> Option<BytesMut> {
        empty.clear();
        if empty.capacity() > BUFFER_KEPT_BYTES {
            empty = BytesMut::new();
        }
        loop {
            {
                let mut waiting = self.waiting.lock();
                if !waiting.buffer.is_empty() {
                    std::mem::swap(&mut waiting.buffer, &mut empty);
                    waiting.writing_bytes = empty.len();
                    return Some(empty);
                }
                if waiting.closed {
                    return None;
                }
            }
            self.filled.notified().await;
        }
    }

    /// The peer took some of what [`Self::take`] handed out.
    pub(crate) fn written(&self, bytes: usize) {
        let mut waiting = self.waiting.lock();
        waiting.writing_bytes = waiting.writing_bytes.saturating_sub(bytes);
        let low = waiting.buffer.len() + waiting.writing_bytes <= OUTBOX_LOW_BYTES;
        drop(waiting);
        if low {
            self.drained.notify_waiters();
        }
    }

    /// A request came whose answer may be ten thousand times as long as itself. Nothing behind it
    /// is read until it is answered: see [`Self::looked`].
    pub(crate) fn begin_look(&self, correlation: u64) {
        self.waiting.lock().look = Some(correlation);
    }

    /// It was answered, if it was this one.
    pub(crate) fn end_look(&self, correlation: u64) {
        let mut waiting = self.waiting.lock();
        if waiting.look == Some(correlation) {
            waiting.look = None;
            drop(waiting);
            self.drained.notify_waiters();
        }
    }

    /// Waits until no look is open.
    pub(crate) async fn looked(&self) {
        loop {
            let drained = self.drained.notified();
            {
                let waiting = self.waiting.lock();
                if waiting.look.is_none() || waiting.closed {
                    return;
                }
            }
            drained.await;
        }
    }

    /// Waits until the peer has taken enough for more requests to be read.
    pub(crate) async fn room(&self) {
        loop {
            let drained = self.drained.notified();
            if self.len() <= OUTBOX_HIGH_BYTES || self.is_closed() {
                return;
            }
            drained.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn is_ready<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        matches!(future.poll(&mut context), Poll::Ready(_))
    }

    fn fill(outbox: &Outbox, bytes: usize) {
        outbox.append(|out| out.resize(out.len() + bytes, 7));
    }

    #[tokio::test]
    async fn there_is_room_again_once_the_peer_has_taken_enough() {
        let outbox = Outbox::new(0);
        fill(&outbox, OUTBOX_HIGH_BYTES);
        assert!(is_ready(pin!(outbox.room())), "not above the mark yet");
        fill(&outbox, 1);
        let mut room = pin!(outbox.room());
        assert!(!is_ready(room.as_mut()));
        let taken = outbox.take(BytesMut::new()).await.unwrap();
        assert_eq!(outbox.len(), taken.len(), "taken is not written");
        outbox.written(taken.len() - OUTBOX_LOW_BYTES - 1);
        assert!(!is_ready(room.as_mut()));
        outbox.written(1);
        assert!(is_ready(room.as_mut()));
    }

    #[tokio::test]
    async fn a_look_ends_with_its_own_answer_or_with_the_connection() {
        let outbox = Outbox::new(0);
        assert!(is_ready(pin!(outbox.looked())));
        outbox.begin_look(5);
        let mut looked = pin!(outbox.looked());
        outbox.end_look(4);
        assert!(!is_ready(looked.as_mut()));
        outbox.end_look(5);
        assert!(is_ready(looked.as_mut()));
        outbox.begin_look(6);
        let mut looked = pin!(outbox.looked());
        assert!(!is_ready(looked.as_mut()));
        outbox.close();
        assert!(is_ready(looked.as_mut()));
    }

    #[tokio::test]
    async fn what_was_there_before_the_end_is_written_and_nothing_after_it() {
        let outbox = Outbox::new(0);
        fill(&outbox, 10);
        outbox.close();
        fill(&outbox, 10);
        assert_eq!(outbox.take(BytesMut::new()).await.unwrap().len(), 10);
        assert!(outbox.take(BytesMut::new()).await.is_none());
    }

    #[test]
    fn one_frame_may_overdraw_the_credit() {
        let outbox = Outbox::new(10);
        assert!(outbox.spend(9));
        assert!(outbox.spend(1_000));
        assert!(!outbox.spend(1));
        outbox.grant(1_000);
        assert!(
            !outbox.spend(1),
            "what was tried without credit counts, too"
        );
        outbox.grant(2);
        assert!(outbox.spend(1));
    }
}
