//! What happens to the connection, for logs and dashboards. Nothing needs to act on it.

use std::time::Duration;

/// A change of the connection; see [`crate::Client::events`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionEvent {
    /// The handshake is done.
    Connected {
        /// How often the broker has been started; a new number means that it was restarted.
        epoch: u64,
        /// False for the first connection of this client, true for one that replaces a lost one.
        resumed: bool,
    },
    /// The connection is gone. Unanswered calls wait for the next one.
    Disconnected {
        /// For people.
        reason: String,
    },
    /// The next attempt to connect is made after a pause.
    Reconnecting {
        /// Counts from 1 since the connection was lost.
        attempt: u32,
        /// The pause before it.
        delay: Duration,
    },
    /// The client is closed, by [`crate::Client::close`] or because it cannot go on.
    Closed,
}
