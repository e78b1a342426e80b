//! Requests: what callers sent and got and what services did, held against the promises.
//!
//! A history of requests is a list of its own, in the order of real time, as that of topics. Each
//! request has a number that stands for its id. What a service says of itself is written down before
//! it is done, what it sees after it came: so an answer never stands before what it is made of.
//!
//! Those in memory are judged while the history is read (`check.rs`). What is promised of those of
//! durability `disk` is another matter (`durable.rs`): they are sent again, run again, and their
//! results are asked for by anybody.

mod check;
mod durable;
mod way;

use std::io::Write;

use serde::{Deserialize, Serialize};

pub use check::check_requests;
pub use durable::{DurableRecord, Outcome as RequestOutcome};

use crate::Body;

/// One thing that a caller or a service did or saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum RequestRecord {
    /// What follows happened at this time of the clock of those who write the history.
    Time {
        /// Since any moment.
        at_ms: u64,
    },
    /// A request is about to be sent. It begins to be answered, or ends, or is given up.
    Sent {
        /// Unique in the history.
        request: u64,
        /// To whom.
        service: String,
        /// How long the answer may take to begin.
        deadline_ms: u64,
        /// What is sent along.
        body: Body,
    },
    /// Its caller waits no longer.
    GivenUp {
        /// Which one.
        request: u64,
    },
    /// A worker got it.
    Started {
        /// Which one.
        request: u64,
        /// The number of its lease.
        token: u64,
        /// The service that it came to.
        service: String,
        /// How often it was passed on before.
        forwards: u32,
        /// Of durability `disk`: how many workers had it since then, this one among them. 0: it
        /// lives in memory.
        #[serde(default, skip_serializing_if = "is_zero")]
        attempt: u32,
    },
    /// The worker has read its body to the end.
    Got {
        /// Which one.
        request: u64,
        /// Under this lease.
        token: u64,
        /// As it came.
        body: Body,
    },
    /// A worker is about to pass it on to another service.
    Forward {
        /// Which one.
        request: u64,
        /// Under this lease.
        token: u64,
        /// To whom.
        service: String,
        /// With this body instead of its own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        body: Option<Body>,
    },
    /// It was definitely not passed on.
    ForwardRefused {
        /// Which one.
        request: u64,
        /// Under this lease.
        token: u64,
    },
    /// A worker is about to answer it.
    Reply {
        /// Which one.
        request: u64,
        /// Under this lease.
        token: u64,
        /// With this status.
        status: u32,
        /// All of the answer, though it may come in pieces.
        body: Body,
    },
    /// The caller got the beginning of an answer.
    Began {
        /// Which one.
        request: u64,
        /// With this status.
        status: u32,
    },
    /// The caller has all of the answer.
    Answered {
        /// Which one.
        request: u64,
        /// As it came.
        body: Body,
    },
    /// The answer broke off behind its beginning.
    BrokenOff {
        /// Which one.
        request: u64,
    },
    /// The caller was told that there is no answer.
    Ended {
        /// Which one.
        request: u64,
        /// Because its deadline had passed.
        late: bool,
    },
    /// About one of durability `disk`.
    Durable(DurableRecord),
    /// The connection of a worker was lost, or its process has ended.
    WorkerLost,
    /// The broker was started again.
    Restarted,
    /// The wall clock of the broker's machine was set.
    ClockSet,
    /// Nothing is broken any more, and all who waited had time to hear.
    Drained,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Writes a history of requests, one record a line.
///
/// # Errors
/// What the output says.
pub fn write_requests(history: &[RequestRecord], mut output: impl Write) -> std::io::Result<()> {
    for record in history {
        serde_json::to_writer(&mut output, record)?;
        output.write_all(b"\n")?;
    }
    Ok(())
}
