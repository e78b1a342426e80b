//! A broker that listens, from start to stop.

use std::net::SocketAddr;
use std::time::Duration;

use crate::config::BrokerConfig;
use crate::error::StartError;
use crate::running::{Place, Running};
use crate::status::{BrokerFailure, Health};

/// A running broker that listens. Dropping it stops it without waiting for work in flight; what was
/// acknowledged is on disk either way. Dropping blocks until the threads have ended.
#[derive(Debug)]
pub struct Broker {
    address: SocketAddr,
    running: Running,
}

impl Broker {
    /// Opens the data folder, recovers what is in it, and begins to listen. Blocks until then;
    /// the broker runs on threads of its own.
    ///
    /// # Errors
    /// [`StartError`]; nothing runs then, and nothing was changed that recovery would not change.
    pub fn start(config: BrokerConfig) -> Result<Self, StartError> {
        let listen = config.listen;
        let running = Running::start(config, Some(listen), Place::Folder)?;
        let address = running.address().unwrap_or(listen);
        Ok(Self { address, running })
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Whether it can take work. Cheap.
    #[must_use]
    pub fn health(&self) -> Health {
        self.running.health()
    }

    /// Waits until the broker has stopped by itself, because it could not keep its promises any
    /// longer. Never ends for one that is stopped by [`Self::stop`].
    pub async fn failed(&self) -> BrokerFailure {
        self.running.failed().await
    }

    /// Stops: no new jobs in, no new leases, and work in flight may finish for `grace`. Leases that
    /// are still held then stay good for their sessions to come back after the next start.
    ///
    /// # Errors
    /// Why the broker had stopped by itself, or did while it was stopping.
    pub async fn stop(self, grace: Duration) -> Result<(), BrokerFailure> {
        self.running.stop(grace).await
    }
}
