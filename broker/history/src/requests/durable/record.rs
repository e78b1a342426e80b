//! What callers of requests of durability `disk` do and are told.

use serde::{Deserialize, Serialize};

use crate::Body;

/// One thing that a caller did, or was told, about a request of durability `disk`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum DurableRecord {
    /// A request is about to be sent, for the first time or again. It is accepted, or refused, or
    /// nobody knows.
    Sent {
        /// Unique among all that were sent.
        call: u64,
        /// Stands for the id: the same number is the same request.
        request: u64,
        /// To whom.
        service: String,
        /// How long the answer may take.
        deadline_ms: u64,
        /// What is sent along.
        body: Body,
    },
    /// It is on the disk.
    Accepted {
        /// Which one.
        call: u64,
        /// It had been before.
        known: bool,
    },
    /// It was not taken.
    Refused {
        /// Which one.
        call: u64,
        /// Because another request was accepted under its id before.
        mismatch: bool,
    },
    /// Whether it was taken is not known, and never will be.
    Unsure {
        /// Which one.
        call: u64,
    },
    /// Somebody is about to ask what came of a request.
    Asked {
        /// Unique among all that were asked.
        ask: u64,
        /// Of which one.
        request: u64,
    },
    /// And was told.
    Told {
        /// Which question this answers.
        ask: u64,
        /// What came of it.
        outcome: Outcome,
    },
    /// Or was not.
    Untold {
        /// Which question nobody answered.
        ask: u64,
    },
}

/// What came of a request of durability `disk`, as somebody was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// There is no such request.
    Unknown,
    /// Nothing yet.
    Pending,
    /// A reply.
    Replied {
        /// As in HTTP.
        status: u32,
        /// All of it.
        body: Body,
    },
    /// No reply.
    Failed {
        /// Of the error that says why.
        code: u32,
        /// Who held it then; empty: it waited.
        service: String,
    },
}

impl Outcome {
    /// Nothing more comes behind it.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Replied { .. } | Self::Failed { .. })
    }
}
