//! The same broker inside the process of those who use it: no socket, the same frames over a pipe in
//! memory.
//!
//! `verteilt-client` makes a client of it with its feature `embedded`, which is how programs use it;
//! what stands here is the broker's half.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Handle;

use crate::bare::{Ground, Workers};
use crate::clock::wall_ms;
use crate::config::BrokerConfig;
use crate::error::StartError;
use crate::journal::{MemoryDisk, MemoryJournal};
use crate::net::Reception;
use crate::running::{Place, Running};
use crate::status::{BrokerFailure, Health, Status};
use crate::store::MemoryStore;

/// Bytes that wait in each direction of a local connection.
const PIPE_BYTES: usize = 256 * 1024;

/// A running broker inside this process. It has threads of its own and asks nothing of the thread
/// that opens it.
///
/// Dropping it stops it without waiting for work in flight; what was acknowledged is on disk either
/// way. Dropping blocks until its threads have ended and the folder is free, as a rule for some
/// milliseconds; [`Self::stop`] waits without blocking. In a child that this process has forked,
/// dropping does nothing.
#[derive(Debug)]
pub struct EmbeddedBroker {
    running: Running,
}

impl EmbeddedBroker {
    /// Opens the data folder and recovers what is in it; blocks until then. It listens on `listen`,
    /// if that is given; [`BrokerConfig::listen`] is not used.
    ///
    /// # Errors
    /// [`StartError`]; nothing runs then, and nothing was changed that recovery would not change.
    pub fn open(config: BrokerConfig, listen: Option<SocketAddr>) -> Result<Self, StartError> {
        let running = Running::start(config, listen, Place::Folder)?;
        Ok(Self { running })
    }

    /// One that keeps everything in memory, for tests: the same promises, but nothing is left when
    /// it ends. Of the configuration, the folder and what is about listening are not used.
    ///
    /// # Errors
    /// [`StartError`], if the configuration contradicts itself or no thread can be had.
    pub fn in_memory(config: BrokerConfig) -> Result<Self, StartError> {
        config.check().map_err(StartError::Config)?;
        let (journal, recovered) = MemoryJournal::open(&MemoryDisk::new(config.segment_bytes));
        let mut broker_id = [0; 16];
        getrandom::fill(&mut broker_id)
            .map_err(|error| StartError::Thread(io::Error::other(error.to_string())))?;
        let ground = Ground {
            store: Arc::new(MemoryStore::new()),
            journal: Box::new(journal),
            recovered,
            space: None,
            broker_id,
            wall_ms: wall_ms(),
            workers: Workers::Threads,
        };
        let running = Running::start(config, None, Place::Memory(ground))?;
        Ok(Self { running })
    }

    /// The way in.
    #[must_use]
    pub fn door(&self) -> LocalDoor {
        self.running.door().clone()
    }

    /// Where it listens, if it does.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.running.address()
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
    /// are still held then stay good for their sessions to come back after the next start. The
    /// folder is free when it returns.
    ///
    /// # Errors
    /// Why the broker had stopped by itself, or did while it was stopping.
    ///
    /// # Cancel safety
    /// Dropped, the broker is dropped.
    pub async fn stop(self, grace: Duration) -> Result<(), BrokerFailure> {
        self.running.stop(grace).await
    }
}

/// The way into a broker of this process. Cheap to clone; having one does not keep the broker
/// running.
#[derive(Clone, Debug)]
pub struct LocalDoor {
    pub(crate) reception: Reception,
    pub(crate) status: Status,
    runtime: Handle,
    process: u32,
}

impl LocalDoor {
    pub(crate) fn new(reception: Reception, status: Status, runtime: Handle) -> Self {
        Self {
            reception,
            status,
            runtime,
            process: std::process::id(),
        }
    }

    /// Makes a connection and gives the client's end of it, on which frames are expected as on a
    /// socket. It can be used on any runtime, or none.
    ///
    /// # Errors
    /// If the broker is stopping or has ended: see [`Self::closed`].
    pub fn connect(&self) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + use<>> {
        if let Some(reason) = self.closed() {
            return Err(io::Error::new(io::ErrorKind::ConnectionRefused, reason));
        }
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        let serving = self.reception.receive(ours);
        self.reception.tracker().spawn_on(serving, &self.runtime);
        Ok(theirs)
    }

    /// Why no connection will ever be made again, if so.
    #[must_use]
    pub fn closed(&self) -> Option<String> {
        if self.is_forked() {
            return Some("the broker runs in the parent of this process".to_owned());
        }
        self.status.health().reason
    }

    /// Whether this is a child of the process that the broker runs in.
    pub(crate) fn is_forked(&self) -> bool {
        std::process::id() != self.process
    }
}
