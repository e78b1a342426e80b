//! Requests and their replies, through others and through ourselves: a caller and a service on
//! connections of their own, the service answers with the body that it got.
//!
//! | file | what stands there |
//! |---|---|
//! | `mod.rs` | [`Replies`]: what is done to each of them |
//! | `verteilt.rs` | ourselves, through the client |
//! | `nats.rs` | core NATS: a subject and an inbox, as bytes on the socket without a client's work |

mod nats;
mod verteilt;

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;

pub use nats::CoreNats;
pub use verteilt::OurRequests;

use super::Home;

/// A broker that passes requests on to a service and their replies back. Killed when dropped.
#[expect(
    async_fn_in_trait,
    reason = "awaited where it is called, on one thread, by our own programs"
)]
pub trait Replies: Sized {
    /// What it is called.
    const NAME: &'static str;

    /// Its version and how it is set.
    ///
    /// # Errors
    /// If it is not installed.
    async fn about(program: &Path) -> Result<String>;

    /// Starts it on a free port, and a caller and a service with it.
    ///
    /// # Errors
    /// If it does not come up.
    async fn start(home: Home) -> Result<Self>;

    /// Its process id.
    ///
    /// # Errors
    /// If it is gone.
    fn id(&self) -> Result<u32>;

    /// One request. The time from asking to the whole reply.
    ///
    /// # Errors
    /// If another reply comes than the body.
    async fn once(&mut self, body: &Bytes) -> Result<Duration>;

    /// So many requests, `window` of them unanswered at a time. The time from the first to the last reply.
    ///
    /// # Errors
    /// If other replies come than the bodies.
    async fn many(&mut self, requests: u64, window: usize, body: &Bytes) -> Result<Duration>;
}
