//! Collects a history while a test runs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::{Delivered, Event, History, Operation, Pushed, Record};

/// Collects records from any number of threads; share it by reference or in an `Arc`.
///
/// The time of a record is taken under the same lock that gives it its place, so that the order of
/// the records is the order of their times. Hence record an `invoke` before the operation is sent,
/// its end after the answer has come, and a delivery as soon as the job is at hand. It is a tool
/// for tests and keeps everything in memory, without a bound.
#[derive(Debug)]
pub struct Recorder {
    started: Instant,
    operations: AtomicU64,
    records: Mutex<Vec<Record>>,
}

impl Default for Recorder {
    /// Its clock begins at 0 now.
    fn default() -> Self {
        Self {
            started: Instant::now(),
            operations: AtomicU64::new(0),
            records: Mutex::new(Vec::new()),
        }
    }
}

impl Recorder {
    /// An operation begins; the number returned names it until its end.
    pub fn invoke(&self, client: u32, what: Operation) -> u64 {
        let operation = self.operation();
        self.record(Event::Invoke {
            client,
            operation,
            what,
        });
        operation
    }

    /// A number for an operation whose `invoke` is recorded by [`Self::record_at`].
    pub fn operation(&self) -> u64 {
        self.operations.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A push was acknowledged.
    pub fn pushed(&self, operation: u64, pushed: Pushed) {
        let pushed = Some(pushed);
        self.record(Event::Ok { operation, pushed });
    }

    /// A settling was done.
    pub fn done(&self, operation: u64) {
        let pushed = None;
        self.record(Event::Ok { operation, pushed });
    }

    /// An operation was refused with this error code, or never sent (0).
    pub fn failed(&self, operation: u64, code: u32) {
        self.record(Event::Fail { operation, code });
    }

    /// Nobody knows what became of an operation.
    pub fn unknown(&self, operation: u64) {
        self.record(Event::Info { operation });
    }

    /// A job came.
    pub fn delivered(&self, delivered: Delivered) {
        self.record(Event::Delivered(delivered));
    }

    /// Anything, now.
    pub fn record(&self, event: Event) {
        let mut records = self.lock();
        let at_ms = self.started.elapsed().as_millis() as u64;
        append(&mut records, at_ms, event);
    }

    /// Anything, at a time of the caller's clock (a simulated one): use either this or the other
    /// ways in one history. A time before that of the last record is taken as that.
    pub fn record_at(&self, at_ms: u64, event: Event) {
        append(&mut self.lock(), at_ms, event);
    }

    /// How many records there are so far.
    #[must_use]
    pub fn recorded(&self) -> usize {
        self.lock().len()
    }

    /// A copy of what was recorded so far.
    #[must_use]
    pub fn history(&self) -> History {
        History::from(self.lock().clone())
    }

    /// What was recorded; the recorder is empty after it, and its clock and the numbers of its
    /// operations go on.
    #[must_use]
    pub fn finish(&self) -> History {
        History::from(std::mem::take(&mut *self.lock()))
    }

    /// A test that panicked elsewhere still wants to write down how it came to that.
    fn lock(&self) -> MutexGuard<'_, Vec<Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn append(records: &mut Vec<Record>, at_ms: u64, event: Event) {
    let at_ms = records.last().map_or(at_ms, |last| last.at_ms.max(at_ms));
    records.push(Record { at_ms, event });
}
