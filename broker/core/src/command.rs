//! What somebody asks of the shard. Limits of the wire (frame, name, batch) are checked before a
//! command is made; everything that depends on state is decided here in the core.

mod topic;

pub use topic::{Publish, RecordLengths, Start, Target, TopicCommand, TopicName, TopicSubscribe};

use std::sync::Arc;

use bytes::Bytes;

use crate::effect::Refusal;
use crate::id::{ConnectionId, JobId, Millis, ProducerId, SessionId};
use crate::job::JobState;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Where answers go.
    pub connection: ConnectionId,
    /// Whose leases are meant.
    pub session: SessionId,
    /// Which request of the connection this is.
    pub correlation: u64,
}

/// A queue as clients name it. Both parts have been checked against the name rules.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueueName {
    /// The connection's namespace.
    pub namespace: Arc<str>,
    /// The queue's name in it.
    pub name: String,
}

/// What a push says about its jobs; 0 stands for the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JobOptions {
    /// Higher first.
    pub priority: i32,
    /// Milliseconds before the jobs may run.
    pub delay_ms: Millis,
    /// Counted runs in all.
    pub attempts_max: u16,
    /// Milliseconds of a lease.
    pub lease_ms: u32,
    /// Acknowledged from memory and lost when the broker stops.
    pub volatile: bool,
}

/// How a payload divides into jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lengths {
    /// Where each job (header block and body) ends in the payload; never falling.
    pub ends: Vec<u32>,
    /// Bytes of each job's header block; empty when no job has one.
    pub headers: Vec<u32>,
}

impl Lengths {
    /// Number of jobs.
    #[must_use]
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    /// Whether they divide a payload of so many bytes into at least one job. Anything else would be
    /// journaled as a record that nobody can read back.
    pub(crate) fn divide(&self, payload_bytes: usize) -> bool {
        let whole = |end: &u32| *end as usize == payload_bytes;
        let no_headers = self.headers.is_empty();
        self.ends.is_sorted()
            && self.ends.last().is_some_and(whole)
            && (no_headers || self.headers.len() == self.ends.len())
            && (self.headers.iter().enumerate()).all(|(at, length)| *length <= self.length(at))
    }

    /// Bytes of header block and body of the job at `index`.
    #[must_use]
    pub fn length(&self, index: usize) -> u32 {
        self.ends[index] - index.checked_sub(1).map_or(0, |before| self.ends[before])
    }
}

/// Jobs for one queue with the same options.
#[derive(Clone, Debug)]
pub struct Push {
    /// Where to.
    pub queue: QueueName,
    /// Who numbers the push, and its number.
    pub producer: Option<(ProducerId, u64)>,
    /// About the jobs.
    pub options: JobOptions,
    /// How the payload divides; at least one job.
    pub lengths: Lengths,
    /// The upload that holds the beginning of the (single) job's body; 0 for none.
    pub upload: u64,
    /// How many parts that upload must have, so that one that was refused is noticed.
    pub upload_parts: u32,
    /// Header blocks and bodies.
    pub payload: Bytes,
}

/// What a worker says of jobs that it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettleKind {
    /// Done.
    Ack,
    /// Failed; runs again after the wait, or after the backoff when none is named.
    Nack {
        /// Milliseconds to wait.
        delay_ms: Option<Millis>,
    },
    /// Not done, unharmed; somebody else may have it.
    Release,
    /// Still at it; 0 asks for the job's own lease time again.
    Touch {
        /// Milliseconds from now.
        lease_ms: u32,
    },
}

/// A worker's word on some leases.
#[derive(Clone, Debug)]
pub struct Settle {
    /// What it says.
    pub kind: SettleKind,
    /// Job and lease token.
    pub leases: Vec<(JobId, u64)>,
}

/// Everything that can be asked.
#[derive(Clone, Debug)]
pub enum Command {
    /// The handshake succeeded; a connection of the same session that is still there is replaced.
    Connect {
        /// The leases that the client still works on; the session's others end. None: all go on.
        held: Option<Vec<(JobId, u64)>>,
    },
    /// The connection is gone; its session's leases end.
    Disconnect,
    /// More answers wait for this connection than it may have (true), or no longer (false).
    Hold(bool),
    /// Take jobs in.
    Push(Push),
    /// Take in one part of a large body.
    PushPart {
        /// Which upload of the session.
        upload: u64,
        /// 0, 1, 2 ...
        index: u32,
        /// The bytes.
        payload: Bytes,
    },
    /// Deliver while fewer jobs and bytes than this are held; again: change it.
    Subscribe {
        /// The client's number for it, not 0.
        subscription: u64,
        /// From where.
        queue: QueueName,
        /// Most jobs held at a time; 0 holds deliveries.
        credit_jobs: u32,
        /// Most bytes held at a time; 0 for no limit. One job is always allowed.
        credit_bytes: u64,
    },
    /// Deliver no more; what is held stays held.
    Unsubscribe {
        /// The client's number for it.
        subscription: u64,
    },
    /// Deliver up to so many jobs once, as soon as there is one.
    Reserve {
        /// From where.
        queue: QueueName,
        /// Most jobs.
        jobs_max: u32,
        /// Milliseconds to wait for the first.
        wait_ms: Millis,
    },
    /// Give up a waiting `Reserve` of this connection.
    Cancel {
        /// The correlation that it was sent with.
        correlation: u64,
    },
    /// Settle leases.
    Settle(Settle),
    /// Count the jobs of one queue, or of all in the namespace.
    Stats {
        /// The namespace.
        namespace: Arc<str>,
        /// The queue; none for all.
        queue: Option<String>,
        /// Of all, only those behind this name.
        after: String,
    },
    /// Look at jobs without taking them.
    Peek {
        /// Where.
        queue: QueueName,
        /// In which state.
        state: JobState,
        /// Most jobs.
        jobs_max: u32,
    },
    /// Stop or resume handing out.
    Pause {
        /// Which queue.
        queue: QueueName,
        /// Stop or resume.
        paused: bool,
    },
    /// Remove jobs that nobody holds.
    Purge {
        /// Which queue.
        queue: QueueName,
        /// Most jobs.
        jobs_max: u32,
    },
    /// About topics.
    Topic(TopicCommand),
    /// Answer with this: for requests that were found bad before they reached the core, so that
    /// answers keep the order of requests.
    Refuse(Refusal),
    /// The broker is going to stop: no new jobs in, none out.
    Drain,
    /// Whether the disk is too full for more: what stays on it is refused then, unless it was taken
    /// before. What frees the disk goes on.
    DiskFull(bool),
}

impl Command {
    /// Whether it moves the position of a group.
    pub(crate) const fn is_commit(&self) -> bool {
        matches!(
            self,
            Self::Topic(TopicCommand::Consumed { commit: true, .. })
        )
    }
}
