//! What a history is made of. The JSON form has the names of the fields and variants in
//! `snake_case`; fields at their default may be left out where that is said.

use serde::{Deserialize, Serialize};

use crate::Body;

/// One line of a history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When it was recorded: milliseconds of one clock that all clients share. Never decreases.
    pub at_ms: u64,
    /// What it was.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// An operation is about to be sent. Each one ends in `ok`, `fail` or `info`, or stays open.
    Invoke {
        /// Who does it; one client is one session of the broker.
        client: u32,
        /// Names the operation; unique in the history.
        operation: u64,
        /// What it asks for.
        #[serde(flatten)]
        what: Operation,
    },
    /// The operation was done.
    Ok {
        /// Which one.
        operation: u64,
        /// The answer to a push; nothing else has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pushed: Option<Pushed>,
    },
    /// The operation was refused: it was definitely not done.
    Fail {
        /// Which one.
        operation: u64,
        /// The error code of the broker (301 is LEASE_LOST), 0 if it was never sent.
        code: u32,
    },
    /// Nobody knows whether the operation was done, or will be.
    Info {
        /// Which one.
        operation: u64,
    },
    /// A client got a job.
    Delivered(Delivered),
    /// A client was told that its lease is over.
    LeaseLost {
        /// Who was told.
        client: u32,
        /// The job.
        job: u64,
        /// The lease.
        token: u64,
    },
    /// A client's session is connected (WELCOME came).
    Connected {
        /// Who.
        client: u32,
        /// Job and token of the leases that it named in HELLO as still worked on; the others of its
        /// session end then. None: the history does not tell, so any may have ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        held: Option<Vec<(u64, u64)>>,
    },
    /// A client saw its connection end, or ended it.
    Disconnected {
        /// Who.
        client: u32,
    },
    /// The broker serves.
    BrokerStarted {
        /// As in WELCOME.
        epoch: u64,
    },
    /// The broker was killed; recorded once the process is gone.
    BrokerKilled,
    /// The broker was stopped in peace; recorded once the process is gone.
    BrokerStopped,
    /// The machine lost its power; what was not synced is gone.
    PowerCut,
    /// A checkpoint was completed. Says nothing to the rules, much to the reader.
    CheckpointDone,
    /// The wall clock of the broker's machine was moved; the broker sees it at its next start.
    ClockSet {
        /// Forwards, or backwards if negative.
        by_ms: i64,
    },
    /// Begins or ends a time in which takers with room wait on every queue and nobody pushes much,
    /// so that a job has to run within a second of its time.
    Idle {
        /// Begins or ends.
        idle: bool,
    },
    /// From here on nothing is broken on purpose, and workers take jobs until all is done.
    FaultsStopped,
    /// What was left in the end. The last one of a history counts.
    Drained {
        /// Every queue of the history; one that is missing is taken as empty.
        queues: Vec<QueueEnd>,
    },
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "operation_kind", rename_all = "snake_case")]
pub enum Operation {
    /// Jobs for a queue.
    Push(Push),
    /// The job is done.
    Ack {
        /// The job.
        job: u64,
        /// The lease.
        token: u64,
    },
    /// The run failed.
    Nack {
        /// The job.
        job: u64,
        /// The lease.
        token: u64,
        /// When it may run again; none: after the backoff.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        delay_ms: Option<u64>,
    },
    /// The job goes back unharmed.
    Release {
        /// The job.
        job: u64,
        /// The lease.
        token: u64,
    },
    /// The lease begins anew.
    Touch {
        /// The job.
        job: u64,
        /// The lease.
        token: u64,
        /// How long from now; 0: the job's own lease time.
        #[serde(default)]
        lease_ms: u64,
    },
}

/// Jobs for a queue, taken as a whole or not at all. Everything but the queue and the bodies may
/// be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Push {
    /// Which queue; with a namespace in front where the history has several.
    pub queue: String,
    /// One for each job. The rules are sharpest if every body of a history is different.
    pub bodies: Vec<Body>,
    /// Higher first.
    #[serde(default)]
    pub priority: i32,
    /// May run so long after the push.
    #[serde(default)]
    pub delay_ms: u64,
    /// Runs in all; 0: the default of [`crate::Options`].
    #[serde(default)]
    pub attempts: u32,
    /// Lease of each run; 0: the default of [`crate::Options`].
    #[serde(default)]
    pub lease_ms: u64,
    /// What was asked for.
    #[serde(default)]
    pub durability: Durability,
    /// Number against doubles; pushes of the same number are one push sent again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub producer: Option<Producer>,
}

/// Where a push has to be before it is acknowledged.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// In the broker's memory.
    Memory,
    /// On the disk.
    #[default]
    Disk,
}

/// The number that a push is sent again under.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Producer {
    /// Its 16 bytes in any spelling.
    pub id: String,
    /// From 1.
    pub sequence: u64,
}

/// The answer to a push.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pushed {
    /// Of the first job; the others follow without gaps.
    pub first_id: u64,
    /// What was reached.
    #[serde(default)]
    pub durability: Durability,
    /// It had been taken before.
    #[serde(default)]
    pub duplicate: bool,
}

/// A job as a client got it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    /// Who got it.
    pub client: u32,
    /// Which taker of the client: a number of its own for each subscription and each waiting
    /// RESERVE, whose jobs are recorded in the order in which they came. None: not told; the order
    /// of first deliveries is then checked over time only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taker: Option<u64>,
    /// Where the job came from.
    pub queue: String,
    /// Its id.
    pub job: u64,
    /// Of the lease.
    pub token: u64,
    /// Which run it is, from 1.
    pub attempt: u32,
    /// How long the lease lasts.
    pub lease_ms: u64,
    /// As it came.
    #[serde(flatten)]
    pub body: Body,
}

/// A queue in the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueEnd {
    /// Its name.
    pub queue: String,
    /// Jobs in this state.
    #[serde(default)]
    pub scheduled: u64,
    /// Likewise.
    #[serde(default)]
    pub ready: u64,
    /// Likewise.
    #[serde(default)]
    pub leased: u64,
    /// Likewise.
    #[serde(default)]
    pub failed: u64,
    /// The ids of all dead jobs.
    #[serde(default)]
    pub dead: Vec<u64>,
}

impl QueueEnd {
    /// Jobs that have not come to their end: neither done nor dead.
    #[must_use]
    pub fn unfinished(&self) -> u64 {
        self.scheduled + self.ready + self.leased + self.failed
    }
}
