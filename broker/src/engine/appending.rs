//! Who appends to the journal: its own thread, or the loop itself.
//!
//! Handing a batch to a thread and hearing back from it are two wake-ups of a sleeping thread, which
//! take half as long together as the write and `fdatasync` of a small batch on a good disk. So a small
//! batch is appended by the loop itself while the disk is quick and nobody else has anything for the
//! loop to do, unless both are awake anyway (`busy_poll.rs`). What asks the loop meanwhile would wait
//! for this append, too, unless it is about volatile things. A disk that was slow once gets its own
//! thread for a while.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::busy_poll::Awake;
use super::disk_work::{self, JournalTask, Outcome};
use super::workers::{Post, Worker, Workers};
use crate::journal::{Batch, Journal};

/// Above this the way to the thread and back is small beside the append.
const QUICK: Duration = Duration::from_micros(400);
/// An append that took so long ends appending in the loop
const SLOW: Duration = Duration::from_millis(4);
/// for so long.
const SLOW_FOR: Duration = Duration::from_secs(1);
/// A larger batch means that there is enough to do beside writing it.
pub(super) const SMALL_BYTES: usize = 16 * 1024;

/// The journal as the loop has it.
pub(super) struct Appender {
    /// Taken by one at a time: the loop appends only while the thread has nothing.
    journal: Arc<Mutex<Box<dyn Journal>>>,
    thread: Worker<JournalTask>,
    pace: Option<Pace>,
}

impl Appender {
    pub(super) fn new(
        journal: Box<dyn Journal>,
        workers: &Workers,
        awake: Awake,
        outcomes: mpsc::Sender<Outcome>,
    ) -> std::io::Result<Self> {
        let journal = Arc::new(Mutex::new(journal));
        let mut post = Post::new("journal", 2, || {});
        post.awake = awake;
        // Whoever stands in for the threads decides how long everything takes, this too.
        let pace = matches!(workers, Workers::Threads).then(Pace::new);
        let work = disk_work::journal(Arc::clone(&journal));
        let thread = Worker::spawn(workers, post, outcomes, work)?;
        Ok(Self {
            journal,
            thread,
            pace,
        })
    }

    /// Appends a small batch at once and tells the outcome, where that is quicker than [`Self::give`].
    pub(super) fn append_here(&mut self, batch: &Batch) -> Option<Outcome> {
        if !self.pace.as_mut()?.is_quick(Instant::now()) {
            return None;
        }
        let mut journal = self.journal.try_lock()?;
        // A new segment may have to be waited for.
        if !journal.has_room(batch.payload.len()) {
            return None;
        }
        Some(disk_work::append(journal.as_mut(), batch))
    }

    /// Has the thread do it. False when it is gone.
    pub(super) fn give(&self, task: JournalTask) -> bool {
        self.thread.give(task)
    }

    /// A batch has been appended, here or by the thread.
    pub(super) fn took(&mut self, bytes: usize, took: Duration) {
        if let Some(pace) = self.pace.as_mut().filter(|_| bytes <= SMALL_BYTES) {
            pace.took(took, Instant::now());
        }
    }

    /// How long a small append usually takes, where that is not long.
    pub(super) fn usual(&self) -> Duration {
        self.pace
            .as_ref()
            .map_or(Duration::ZERO, |pace| pace.usual.min(QUICK))
    }

    /// Ends the thread; it has finished its task then.
    pub(super) fn end(&mut self) {
        self.thread.end();
    }
}

/// How long small appends take of late.
#[derive(Debug)]
struct Pace {
    usual: Duration,
    slow_until: Option<Instant>,
}

impl Pace {
    /// A disk counts as slow until it has been seen to be quick.
    fn new() -> Self {
        Self {
            usual: QUICK * 2,
            slow_until: None,
        }
    }

    fn is_quick(&mut self, now: Instant) -> bool {
        if self.slow_until.is_some_and(|until| now < until) {
            return false;
        }
        self.slow_until = None;
        self.usual <= QUICK
    }

    fn took(&mut self, took: Duration, now: Instant) {
        // One long append among many does not make a slow disk.
        self.usual = (self.usual * 7 + took.min(QUICK * 4)) / 8;
        if took >= SLOW {
            self.slow_until = Some(now + SLOW_FOR);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_quick_once_it_was_seen_to_be_and_slow_again_at_once() {
        let start = Instant::now();
        let mut pace = Pace::new();
        assert!(!pace.is_quick(start));
        for _ in 0..16 {
            pace.took(Duration::from_micros(90), start);
        }
        assert!(pace.is_quick(start));
        pace.took(SLOW, start);
        assert!(!pace.is_quick(start));
        assert!(!pace.is_quick(start + SLOW_FOR / 2));
        assert!(
            pace.is_quick(start + SLOW_FOR),
            "one long append is forgiven"
        );
        for _ in 0..16 {
            pace.took(QUICK * 3, start);
        }
        assert!(!pace.is_quick(start + SLOW_FOR), "many are not");
    }
}
