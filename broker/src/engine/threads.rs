//! The threads that may block on the disk: one that appends to the journal, one that reads bodies.
//! Each is fed by a channel of bounded length, answers on the loop's, and ends when its feed closes.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use bytes::Bytes;
use tokio::sync::mpsc;
use verteilt_core::BodyRun;

use super::bodies::{Loaded, Source};
use crate::journal::{Batch, Journal, JournalError, JournalLog, Place};
use crate::store::{BlockReader, StoreError};

/// What a thread says to the loop.
#[derive(Debug)]
pub(super) enum Outcome {
    Appended(Place),
    Sealed,
    JournalFailed(JournalError),
    Loaded(Vec<(Source, Result<Loaded, LoadError>)>),
}

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    /// It has been moved since the source was looked up; look again.
    #[error("moved by a checkpoint")]
    Moved,
    #[error(transparent)]
    Journal(JournalError),
    #[error(transparent)]
    Store(StoreError),
    #[error("the bytes at {0:?} are not what was written there")]
    Damaged(Place),
    #[error("a journal piece cannot be decoded: {0}")]
    Codec(verteilt_core::CodecError),
}

#[derive(Debug)]
pub(super) enum JournalTask {
    Append(Batch),
    Seal,
}

/// Tasks and their thread; dropping the feed ends it.
#[derive(Debug)]
pub(super) struct Worker<T> {
    feed: Option<SyncSender<T>>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Worker<T> {
    /// At most `waiting` tasks wait; the loop never gives more, so giving one never blocks.
    pub(super) fn spawn(
        name: &str,
        waiting: usize,
        work: impl FnOnce(Receiver<T>) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (feed, tasks) = sync_channel(waiting);
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || work(tasks))?;
        Ok(Self {
            feed: Some(feed),
            thread: Some(thread),
        })
    }

    /// False when the thread is gone.
    pub(super) fn give(&self, task: T) -> bool {
        self.feed
            .as_ref()
            .is_some_and(|feed| feed.try_send(task).is_ok())
    }

    pub(super) fn end(&mut self) {
        self.feed = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been seen as a missing answer already.
            let _ = thread.join();
        }
    }
}

impl<T> Drop for Worker<T> {
    fn drop(&mut self) {
        self.feed = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Appends batches until the feed closes. After a failure it does nothing but say so.
pub(super) fn journal(
    mut journal: Box<dyn Journal>,
    tasks: &Receiver<JournalTask>,
    outcomes: &mpsc::Sender<Outcome>,
) {
    while let Ok(task) = tasks.recv() {
        let outcome = match task {
            JournalTask::Append(batch) => journal.append(&batch).map(Outcome::Appended),
            JournalTask::Seal => journal.seal().map(|()| Outcome::Sealed),
        };
        let outcome = outcome.unwrap_or_else(Outcome::JournalFailed);
        if outcomes.blocking_send(outcome).is_err() {
            return;
        }
    }
}

/// Reads bodies until the feed closes.
pub(super) fn load(
    log: &Arc<dyn JournalLog>,
    blocks: &BlockReader,
    tasks: &Receiver<Vec<Source>>,
    outcomes: &mpsc::Sender<Outcome>,
) {
    while let Ok(sources) = tasks.recv() {
        let read = |source| (source, read(log.as_ref(), blocks, source));
        let loaded = sources.into_iter().map(read).collect();
        if outcomes.blocking_send(Outcome::Loaded(loaded)).is_err() {
            return;
        }
    }
}

pub(super) fn read(
    log: &dyn JournalLog,
    blocks: &BlockReader,
    source: Source,
) -> Result<Loaded, LoadError> {
    match source {
        Source::Journal {
            place, checksum, ..
        } => {
            let bytes: Bytes = log.read(place).map_err(|error| match error {
                JournalError::Trimmed { .. } => LoadError::Moved,
                other => LoadError::Journal(other),
            })?;
            if crc32c::crc32c(&bytes) != checksum {
                return Err(LoadError::Damaged(place));
            }
            let runs = BodyRun::scan(&bytes).map_err(LoadError::Codec)?;
            Ok(Loaded::Journal(bytes, runs))
        }
        Source::Block { number, parts } => match blocks.read_block(number, parts) {
            Ok(bodies) => Ok(Loaded::Block(bodies)),
            // A block goes when its jobs are done or moved; whoever needs it looks it up again.
            Err(StoreError::Dropped { .. }) => Err(LoadError::Moved),
            Err(error) => Err(LoadError::Store(error)),
        },
    }
}
