//! What has to be told, once the events before it are durable.

mod topic;

pub use topic::{Assignment, GroupStats, PartitionStats, TopicEffect, TopicStats};

use crate::id::{ConnectionId, JobId, Lsn, Millis};
use crate::job::JobState;
use crate::request::RequestEffect;

/// Why something was not done. A refusal is an ordinary answer, not a fault of the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The queue does not exist.
    #[error("no such queue: it comes into being at its first push or reserve")]
    QueueUnknown,
    /// The shard has as many queues as it may.
    #[error("too many queues: use fewer names, or raise the limit")]
    QueueLimit,
    /// The lease has ended, or was never held by this session.
    #[error("the lease has ended: somebody else may have the job; drop the result")]
    LeaseLost,
    /// The session has no such subscription.
    #[error("no such subscription on this connection")]
    SubscriptionUnknown,
    /// The subscription exists for another queue.
    #[error("this subscription number is in use for another queue")]
    SubscriptionExists,
    /// The session has as many subscriptions as it may.
    #[error("too many subscriptions on this connection")]
    SubscriptionLimit,
    /// The push is older than the producer's window.
    #[error(
        "this sequence number is older than the window: it cannot be told whether it was taken"
    )]
    SequenceTooOld,
    /// The upload does not exist, or the part is not the next one.
    #[error("no such upload, or not its next part: start the upload again")]
    UploadUnknown,
    /// All uploads together hold too much.
    #[error("too many bytes in unfinished uploads: finish some, then try again")]
    UploadLimit,
    /// The body is longer than a body may be.
    #[error("the body is larger than the limit announced in WELCOME")]
    BodyTooLarge,
    /// The bodies of memory jobs hold too much.
    #[error("the memory for jobs of durability `memory` is full: try again later, or use `disk`")]
    MemoryFull,
    /// Hardly any room is left on the disk; what is there is kept for what frees some.
    #[error(
        "the disk is nearly full: acknowledge or purge jobs, let topics keep less, or add space, \
         then try again"
    )]
    DiskFull,
    /// The topic does not exist.
    #[error("no such topic: create it first")]
    TopicUnknown,
    /// A topic of this name has other numbers.
    #[error("a topic of this name exists with other settings: change it, or choose another name")]
    TopicExists,
    /// The shard has as many topics or partitions as it may.
    #[error("too many topics or partitions: use fewer, or raise the limit")]
    TopicLimit,
    /// The topic has fewer partitions than that.
    #[error("the topic has no such partition")]
    PartitionUnknown,
    /// The partition is read by another member of the group now.
    #[error("another member of the group has this partition now: drop what was read of it")]
    PartitionLost,
    /// The topic has as many groups as it may.
    #[error("too many consumer groups: use fewer names, or raise the limit")]
    GroupLimit,
    /// Nobody serves the name and version.
    #[error("nobody serves this name and version now")]
    NoWorker,
    /// The worker went while it held the request.
    #[error("the worker that held the request is gone; whether it did the work is unknown")]
    WorkerLost,
    /// The reply did not begin in time.
    #[error("the request was not answered in time")]
    DeadlineExceeded,
    /// A connection broke at a moment that leaves the outcome open.
    #[error("the connection broke while the request or its reply was on its way")]
    RequestLost,
    /// A request of this id is open.
    #[error("a request with this id is open")]
    RequestExists,
    /// Something else was asked under this id.
    #[error("another request was accepted under this id: choose a new id for a new request")]
    RequestMismatch,
    /// No request of this id is remembered.
    #[error("no such request is remembered")]
    RequestUnknown,
    /// The inbox has as many requests open as it may.
    #[error("too many open requests: wait for replies")]
    RequestLimit,
    /// There are as many services or workers as there may be.
    #[error("too many services: use fewer, or raise the limit")]
    ServiceLimit,
    /// The request was forwarded too often.
    #[error("forwarded too often: do the services forward in a circle?")]
    ForwardLimit,
    /// A body came faster than it was asked for.
    #[error("more of the body was sent than its receiver had granted")]
    StreamCreditExceeded,
    /// A body ended before its end.
    #[error("the sender broke the body off")]
    BodyBroken,
    /// The connection has no inbox for replies.
    #[error("the connection has no inbox: open it first")]
    InboxClosed,
    /// A number is out of its range.
    #[error("an argument is out of range")]
    BadArgument,
    /// The broker is stopping.
    #[error("the broker is stopping: try again once it is back")]
    ShuttingDown,
    /// The request was given up.
    #[error("cancelled")]
    Cancelled,
    /// The journal is as full as it may be; checkpoints have to catch up first.
    #[error("the journal is full until the next checkpoint: try again later")]
    Busy,
    /// This broker does not serve what was asked.
    #[error("not served by this version of the broker")]
    Unsupported,
}

/// One job on its way to a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Which.
    pub id: JobId,
    /// Which run this is, from 1.
    pub attempt: u16,
    /// Milliseconds of the lease.
    pub lease_ms: u32,
    /// Bytes of header block and body.
    pub length: u32,
    /// Ids under which the beginning of a large body lies; empty for others.
    pub parts: Vec<JobId>,
}

/// One job that somebody looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeekedJob {
    /// Which.
    pub id: JobId,
    /// Its state now.
    pub state: JobState,
    /// Higher first.
    pub priority: i32,
    /// Runs so far.
    pub attempts: u16,
    /// Counted runs in all.
    pub attempts_max: u16,
    /// When it may run, or when its lease ends.
    pub due_ms: Millis,
    /// Bytes of header block and body.
    pub length: u32,
}

/// The numbers of one queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Its name.
    pub queue: String,
    /// Nothing is handed out.
    pub paused: bool,
    /// Jobs that wait for their time.
    pub scheduled: u64,
    /// Jobs that may run.
    pub ready: u64,
    /// Jobs that workers hold.
    pub leased: u64,
    /// Jobs that wait for their time after a failed run.
    pub failed: u64,
    /// Jobs that used up their runs.
    pub dead: u64,
    /// Jobs done since the queue came into being.
    pub done: u64,
    /// Jobs taken in since the queue came into being.
    pub pushed: u64,
    /// Subscriptions and waiting pulls.
    pub subscriptions: u64,
}

/// Something to tell a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The handshake's second half.
    Connected {
        /// Leases that the session holds from before.
        leases_held: u32,
    },
    /// A newer connection of the same session took over.
    Replaced,
    /// A push was taken.
    Pushed {
        /// Which request.
        correlation: u64,
        /// First job of the batch.
        first_id: JobId,
        /// Jobs in the batch.
        count: u32,
        /// It had been taken before.
        duplicate: bool,
    },
    /// Jobs for a worker.
    Deliver {
        /// The client's number; 0 for the answer to a pull.
        subscription: u64,
        /// The pull's request; 0 for a subscription.
        correlation: u64,
        /// The lease token.
        token: u64,
        /// The jobs; none when a pull's wait is over.
        jobs: Vec<Delivery>,
    },
    /// Done.
    Done {
        /// Which request.
        correlation: u64,
    },
    /// Leases were settled as asked, but for these.
    Settled {
        /// Which request.
        correlation: u64,
        /// Leases that were no longer held, with their tokens: a request may name a job twice.
        refused: Vec<(JobId, Lsn)>,
    },
    /// Not done.
    Refused {
        /// Which request.
        correlation: u64,
        /// Why not.
        refusal: Refusal,
    },
    /// Leases ended without the worker.
    LeaseLost {
        /// Job and lease token.
        leases: Vec<(JobId, u64)>,
    },
    /// Counts.
    Stats {
        /// Which request.
        correlation: u64,
        /// A queue each.
        queues: Vec<QueueStats>,
        /// There are more, behind the last one here.
        more: bool,
    },
    /// Jobs to look at.
    Peeked {
        /// Which request.
        correlation: u64,
        /// The jobs.
        jobs: Vec<PeekedJob>,
    },
    /// Jobs were removed.
    Purged {
        /// Which request.
        correlation: u64,
        /// How many.
        jobs: u64,
        /// There are more.
        more: bool,
    },
    /// About topics.
    Topic(TopicEffect),
    /// About a request of durability `disk`.
    Request {
        /// What.
        effect: Box<RequestEffect>,
        /// Where header block and body lie that go with it, unless they are in it.
        stored: Option<JobId>,
    },
}

/// An effect, whom it is for, and what has to be durable first (0: nothing).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addressed {
    /// Leaves once everything up to here is on disk.
    pub after: Lsn,
    /// For whom.
    pub to: ConnectionId,
    /// What.
    pub effect: Effect,
}
