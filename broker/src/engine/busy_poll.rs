//! How long the loop looks for news before it goes to sleep.
//!
//! To wake a thread whose processor has gone idle takes tens of microseconds, as long as a third of an
//! `fdatasync` on a good disk. While messages come one by one, each sooner than that, the loop keeps
//! looking for the next one instead, and so does the journal's thread. They do so only as long as that
//! pays: each time in vain doubles how often the loop goes to sleep at once, so that a broker with
//! little to do, or with a steady but slower stream, spends next to nothing on it, and an idle one
//! nothing at all. Nor do they take a processor that others want.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Times in a row in vain that still count: at most one look in 128 turns.
const VAIN_MAX: u32 = 7;
/// One look takes a few microseconds. After so long another thread had the processor.
const INTERRUPTED: Duration = Duration::from_micros(500);

/// Looks for news for a while after each turn.
#[derive(Debug)]
pub(super) struct BusyPoll {
    most: Duration,
    /// When the last look was, and until when there will be more.
    looking: Option<(Instant, Instant)>,
    vain: u32,
    /// Turns after which the loop goes to sleep at once.
    skipped: u32,
    awake: Awake,
}

/// Whether threads that work for the loop look for the next task before they sleep, too.
#[derive(Clone, Debug, Default)]
pub(super) struct Awake(Arc<AtomicBool>);

impl Awake {
    pub(super) fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, on: bool) {
        if self.is_on() != on {
            self.0.store(on, Ordering::Relaxed);
        }
    }
}

impl BusyPoll {
    /// Looks for at most so long; zero: never.
    pub(super) fn new(most: Duration, awake: Awake) -> Self {
        Self {
            most,
            looking: None,
            vain: 0,
            skipped: 0,
            awake,
        }
    }

    /// Whether the loop stays awake.
    pub(super) fn is_on(&self) -> bool {
        self.looking.is_some()
    }

    /// Whether it paid the last time, so that the loop will be awake when an answer comes.
    pub(super) fn pays(&self) -> bool {
        self.vain == 0 && !self.most.is_zero()
    }

    /// There is news, or the loop slept until there was.
    pub(super) fn news(&mut self) {
        if self.looking.take().is_some() {
            self.vain = 0;
        }
    }

    /// A turn is over; `more`: how much longer than usual the next news may take.
    pub(super) fn begin(&mut self, now: Instant, more: Duration) {
        match self.skipped.checked_sub(1) {
            _ if self.most.is_zero() => {}
            Some(left) => self.skipped = left,
            None => {
                self.looking = Some((now, now + self.most + more));
                self.awake.set(self.pays());
            }
        }
    }

    /// Nothing yet.
    pub(super) fn nothing(&mut self, now: Instant) {
        let Some((last, until)) = &mut self.looking else {
            return;
        };
        let interrupted = now.duration_since(*last) >= INTERRUPTED;
        *last = now;
        if now >= *until || interrupted {
            self.looking = None;
            self.vain = if interrupted {
                VAIN_MAX
            } else {
                (self.vain + 1).min(VAIN_MAX)
            };
            self.skipped = (1 << self.vain) - 1;
            self.awake.set(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_micros(100);
    const NO_MORE: Duration = Duration::ZERO;

    #[test]
    fn it_looks_as_long_as_that_pays_and_seldom_when_it_does_not() {
        let now = Instant::now();
        let awake = Awake::default();
        let mut poll = BusyPoll::new(MOST, awake.clone());
        for _ in 0..3 {
            poll.begin(now, MOST);
            poll.nothing(now + MOST);
            assert!(poll.is_on() && poll.pays() && awake.is_on());
            poll.news();
            assert!(!poll.is_on());
        }
        let mut looks = 0;
        for _ in 0..10_000 {
            poll.begin(now, NO_MORE);
            looks += u32::from(poll.is_on());
            poll.nothing(now + MOST);
            assert!(!poll.is_on() && !poll.pays() && !awake.is_on());
            poll.news();
        }
        assert!(looks < 100, "{looks} times in vain");
        while !poll.is_on() {
            poll.begin(now, NO_MORE);
        }
        poll.news();
        poll.begin(now, NO_MORE);
        assert!(poll.is_on() && awake.is_on(), "it pays again");
    }

    #[test]
    fn it_gives_way_to_others() {
        let now = Instant::now();
        let mut poll = BusyPoll::new(MOST, Awake::default());
        poll.begin(now, INTERRUPTED * 2);
        poll.nothing(now + INTERRUPTED);
        assert!(!poll.is_on());
        for _ in 0..100 {
            poll.begin(now, NO_MORE);
            assert!(!poll.is_on());
        }
    }

    #[test]
    fn it_never_looks_when_it_may_not() {
        let mut poll = BusyPoll::new(Duration::ZERO, Awake::default());
        poll.begin(Instant::now(), MOST);
        assert!(!poll.is_on() && !poll.pays());
    }
}
