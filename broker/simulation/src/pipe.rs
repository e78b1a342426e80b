//! One direction of a simulated connection: bytes that take their time, stall, and get lost with
//! the connection, but never arrive out of order: that is what TCP promises.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::dice::Dice;
use crate::trace::Fingerprint;

/// How a direction behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manners {
    /// Longest time that a piece is under way.
    pub(crate) latency_ms_max: u64,
    /// Share of pieces that take any time at all.
    pub(crate) delayed_percent: u64,
    /// What the receiver's and the sender's kernel hold together.
    pub(crate) capacity: usize,
    /// Largest piece that one read gives or one write takes.
    pub(crate) piece_max: usize,
}

/// One direction. Cheap to clone; all clones are one pipe.
#[derive(Clone, Debug)]
pub(crate) struct Pipe(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    manners: Manners,
    dice: Dice,
    fingerprint: Fingerprint,
    number: u64,
    under_way: VecDeque<(Instant, Bytes)>,
    bytes: usize,
    last_arrival: Instant,
    /// Nothing arrives before.
    stalled_until: Option<Instant>,
    /// The writer has ended; the reader sees it behind the last byte.
    ended: bool,
    /// Whoever was at the other end is gone without a word: nothing arrives, nobody is told.
    silent: bool,
    /// From when on both ends see an error instead of bytes.
    broken_at: Option<Instant>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    pub(crate) fn new(manners: Manners, dice: Dice, fingerprint: Fingerprint, number: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            manners,
            dice,
            fingerprint,
            number,
            under_way: VecDeque::new(),
            bytes: 0,
            last_arrival: Instant::now(),
            stalled_until: None,
            ended: false,
            silent: false,
            broken_at: None,
            reader: None,
            writer: None,
        })))
    }

    /// Nothing arrives for so long.
    pub(crate) fn stall(&self, time: Duration) {
        let mut state = self.0.lock();
        let until = Instant::now() + time;
        state.stalled_until = state.stalled_until.max(Some(until));
        state.wake();
    }

    /// The other end's machine is gone: bytes vanish, and nobody is told.
    pub(crate) fn go_silent(&self) {
        let mut state = self.0.lock();
        state.silent = true;
        state.under_way.clear();
        state.wake();
    }

    /// Both ends get an error after so long; what is under way until then may still arrive.
    pub(crate) fn break_after(&self, time: Duration) {
        let mut state = self.0.lock();
        if state.silent {
            return;
        }
        let at = Instant::now() + time;
        state.broken_at = Some(state.broken_at.map_or(at, |known| known.min(at)));
        if time.is_zero() {
            state.under_way.clear();
            state.bytes = 0;
        }
        state.wake();
    }

    fn end(&self) {
        let mut state = self.0.lock();
        if state.silent {
            return;
        }
        state.ended = true;
        state.wake();
    }

    pub(crate) fn set_manners(&self, manners: Manners) {
        let mut state = self.0.lock();
        state.manners = manners;
        state.wake();
    }
}

impl State {
    fn wake(&mut self) {
        let wakers = [self.reader.take(), self.writer.take()];
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    fn is_broken(&self, now: Instant) -> bool {
        self.broken_at.is_some_and(|at| at <= now)
    }

    /// Reads what has arrived, or says when to look again.
    fn read(&mut self, out: &mut ReadBuf<'_>, now: Instant) -> Result<bool, Option<Instant>> {
        if let Some(until) = self.stalled_until {
            if now < until {
                return Err(Some(self.broken_at.map_or(until, |at| at.min(until))));
            }
            self.stalled_until = None;
        }
        let Some((at, piece)) = self.under_way.front_mut() else {
            return if self.ended {
                Ok(false)
            } else {
                Err(self.broken_at)
            };
        };
        if *at > now {
            return Err(Some(*at));
        }
        let most = self.manners.piece_max.min(out.remaining()).min(piece.len());
        out.put_slice(&piece[..most]);
        piece.advance(most);
        self.bytes -= most;
        if piece.is_empty() {
            self.under_way.pop_front();
        }
        Ok(true)
    }

    fn write(&mut self, bytes: &[u8], now: Instant) -> Option<usize> {
        let held = if self.silent { 0 } else { self.bytes };
        let room = self.manners.capacity.saturating_sub(held);
        let most = room.min(self.manners.piece_max).min(bytes.len());
        if most == 0 {
            return None;
        }
        let manners = self.manners;
        let delay_ms = if self.dice.percent(manners.delayed_percent) {
            self.dice.between(0, manners.latency_ms_max)
        } else {
            0
        };
        self.last_arrival = self.last_arrival.max(now + Duration::from_millis(delay_ms));
        if self.silent {
            return Some(most);
        }
        let piece = Bytes::copy_from_slice(&bytes[..most]);
        self.fingerprint.add(&[self.number, delay_ms], &piece);
        self.under_way.push_back((self.last_arrival, piece));
        self.bytes += most;
        Some(most)
    }
}

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct End {
    incoming: Pipe,
    outgoing: Pipe,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl End {
    pub(crate) fn new(incoming: Pipe, outgoing: Pipe) -> Self {
        Self {
            incoming,
            outgoing,
            sleep: None,
        }
    }
}

fn reset() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

impl AsyncRead for End {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let again = {
                let now = Instant::now();
                let mut state = this.incoming.0.lock();
                if state.is_broken(now) {
                    return Poll::Ready(Err(reset()));
                }
                match state.read(out, now) {
                    Ok(some) => {
                        if let Some(writer) = state.writer.take().filter(|_| some) {
                            writer.wake();
                        }
                        return Poll::Ready(Ok(()));
                    }
                    Err(again) => {
                        state.reader = Some(context.waker().clone());
                        again
                    }
                }
            };
            let Some(again) = again else {
                return Poll::Pending;
            };
            let sleep = this
                .sleep
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(again)));
            if sleep.deadline() != again {
                sleep.as_mut().reset(again);
            }
            std::task::ready!(sleep.as_mut().poll(context));
        }
    }
}

impl AsyncWrite for End {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let now = Instant::now();
        let mut state = self.outgoing.0.lock();
        if state.is_broken(now) || state.ended {
            return Poll::Ready(Err(reset()));
        }
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        match state.write(bytes, now) {
            Some(taken) => {
                if let Some(reader) = state.reader.take() {
                    reader.wake();
                }
                Poll::Ready(Ok(taken))
            }
            None => {
                state.writer = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.end();
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    /// The other side reads what is under way, and cannot write any more.
    fn drop(&mut self) {
        self.outgoing.end();
        self.incoming.break_after(Duration::ZERO);
    }
}
