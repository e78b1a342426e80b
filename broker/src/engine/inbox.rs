//! What reaches the loop. Bytes on their way in are bounded by a budget that all connections share,
//! so that the senders wait, not the memory.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use verteilt_core::{Command, ConnectionId, JobId, RequestCommand, SessionId, TopicCommand};

use crate::net::Outbox;

/// Messages that may wait; each is one read of a connection.
const INBOX_MESSAGES: usize = 1024;
/// Bytes that may wait in them.
pub(crate) const INBOX_BYTES: usize = 16 * 1024 * 1024;

/// One request of a connection.
#[derive(Debug)]
pub(crate) struct Request {
    /// The client's number for it.
    pub correlation: u64,
    /// What is asked.
    pub command: Command,
    /// Payload bytes that count against the push credit, given back with the answer.
    pub push_bytes: u32,
}

impl Request {
    /// A few bytes that ask for a whole frame. Read one at a time, so that a client that takes no
    /// answers cannot fill the memory with them.
    pub(crate) fn is_look(&self) -> bool {
        matches!(
            self.command,
            Command::Stats { .. }
                | Command::Peek { .. }
                | Command::Topic(TopicCommand::Stats { .. } | TopicCommand::Groups { .. })
        )
    }

    /// Bytes that its lists take beside its payload, in memory and in the journal: a job without a
    /// body is one byte on the wire and four here.
    pub(crate) fn table_bytes(&self) -> usize {
        match &self.command {
            Command::Push(push) => 4 * (push.lengths.ends.len() + push.lengths.headers.len()),
            Command::Topic(TopicCommand::Publish(publish)) => {
                let lengths = &publish.lengths;
                4 * (lengths.ends.len() + lengths.keys.len() + lengths.headers.len())
            }
            _ => 0,
        }
    }
}

/// What the loop is told.
#[derive(Debug)]
pub(crate) enum Inbound {
    /// A handshake succeeded.
    Open {
        /// The new connection.
        connection: ConnectionId,
        /// Its session.
        session: SessionId,
        /// The leases that the client still works on, if it names them.
        held: Option<Vec<(JobId, u64)>>,
        /// Correlation of its HELLO.
        hello: u64,
        /// Where answers go.
        outbox: Arc<Outbox>,
    },
    /// Requests, in the order in which they were sent.
    Requests {
        /// From where.
        connection: ConnectionId,
        /// For whom.
        session: SessionId,
        /// Everything that one read brought.
        requests: Vec<Request>,
        /// Given back when the requests have been decided.
        permit: OwnedSemaphorePermit,
    },
    /// What is asked about requests, in the order in which it was sent.
    Asked {
        /// From where.
        connection: ConnectionId,
        /// Correlation and command of everything that one read brought.
        asks: Vec<(u64, RequestCommand)>,
        /// Given back when it has been decided.
        permit: OwnedSemaphorePermit,
    },
    /// A slow peer has taken what waited for it.
    Drained(ConnectionId),
    /// The client said good-bye: it asks nothing more, but gets its answers.
    Leaving(ConnectionId),
    /// The connection is gone.
    Closed(ConnectionId),
    /// Somebody wants a checkpoint.
    Checkpoint(ConnectionId, u64),
    /// Somebody wants a backup.
    Backup(ConnectionId, u64),
    /// Stop: no new leases, and leave when the work in flight is done or this many milliseconds
    /// have passed.
    Stop(u64),
}

/// The way in. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct EngineHandle {
    sender: mpsc::Sender<Inbound>,
    budget: Arc<Semaphore>,
}

impl EngineHandle {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Inbound>) {
        let (sender, receiver) = mpsc::channel(INBOX_MESSAGES);
        (
            Self {
                sender,
                budget: Arc::new(Semaphore::new(INBOX_BYTES)),
            },
            receiver,
        )
    }

    /// Waits until `bytes` may be on their way in. `None` when the engine has stopped.
    pub(crate) async fn reserve(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes.clamp(1, INBOX_BYTES)).unwrap_or(u32::MAX);
        Arc::clone(&self.budget)
            .acquire_many_owned(bytes)
            .await
            .ok()
    }

    /// Hands something in; false when the engine has stopped.
    pub(crate) async fn send(&self, inbound: Inbound) -> bool {
        self.sender.send(inbound).await.is_ok()
    }

    /// Asks the loop to end without waiting for work in flight. Never blocks.
    pub(crate) fn stop_now(&self) {
        self.budget.close();
        // A full inbox is read before long, and the loop sees the closed budget then.
        let _ = self.sender.try_send(Inbound::Stop(0));
    }

    /// Whether [`Self::stop_now`] was called.
    pub(super) fn is_stopped(&self) -> bool {
        self.budget.is_closed()
    }
}
