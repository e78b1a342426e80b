//! What the loop is told about its bounds.

use std::time::Duration;

use verteilt_core::RequestLimits;

/// Bounds and times of the loop.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// What may be gathered before nothing more is taken in, and what one round may bring, are at
    /// most this, so that a batch fits into a small segment, too.
    pub(crate) gathered_bytes_max: usize,
    /// The journal may hold this much before pushes are held.
    pub(crate) journal_bytes_max: u64,
    /// A checkpoint begins when so much has been appended since the last one,
    pub(crate) checkpoint_bytes: u64,
    /// or when so much time has passed and there is something new.
    pub(crate) checkpoint_interval: Duration,
    /// After so much quiet the last batch is sealed.
    pub(crate) seal_after: Duration,
    /// The loop looks for news so long before it sleeps, where that pays.
    pub(crate) busy_poll: Duration,
    /// What decisions about requests depend on.
    pub(crate) requests: RequestLimits,
}
