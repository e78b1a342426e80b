//! The broker inside your own process: the same promises and the same data folder as the daemon's,
//! without a socket or a second program.
//!
//! ```no_run
//! use verteilt_client::embedded::Embedded;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let broker = Embedded::open("jobs")?;
//! let client = broker.client().await?;
//!
//! client.push("mail", "to: ada@example.org").await?; // on the disk when it returns
//!
//! client.close().await?;
//! broker.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! The [`Client`] is the one that also speaks TCP; over a pipe in memory it sends the same frames, so
//! all that is said about it holds here too. Clients may be made on any tokio runtime, of either
//! kind, and on several; the broker runs on threads of its own and needs none.
//!
//! # The end
//! The broker lives as long as its [`Embedded`], not as long as its clients: those get
//! [`crate::ClientError::BrokerEnded`] when it ends. Nothing acknowledged is lost by any way to end it, `kill -9`
//! included. The good order is: workers, clients, then [`Embedded::close`].
//!
//! # What it does to your process
//! It installs no signal handler, panic hook, logger or metrics recorder, and changes neither the
//! working directory nor the umask. It emits `tracing` events and `metrics` for whoever listens. It has
//! about six threads while it is open, one of them at a lower priority, and sled, which holds the
//! checkpoints, keeps seven idle threads for good. With the default feature `honest-sled-sync` the C
//! symbol `sync_file_range` of your program is an `fdatasync`; docs/embedding.md says what is lost without.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use verteilt_broker::embed::{EmbeddedBroker, LocalDoor};

use crate::builder::ClientBuilder;
use crate::client::Client;
use crate::error::ClientError;
use crate::transport::{Connecting, Connector, Transport};

pub use verteilt_broker::{BrokerConfig, BrokerFailure, Failure, FolderOwner, Health, StartError};

/// How long [`Embedded::close`] lets work in flight go on.
const GRACE: Duration = Duration::from_secs(10);

/// For a configuration that does not say where to listen.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// A broker that runs in this process; see the [module](self).
///
/// Dropping it ends the broker at once, without waiting for work in flight, and blocks until its
/// threads have ended and the folder is free: as a rule milliseconds, longer when the disk is busy.
/// In asynchronous code prefer [`Embedded::close`].
#[derive(Debug)]
pub struct Embedded {
    broker: EmbeddedBroker,
    grace: Duration,
}

impl Embedded {
    /// Opens the data folder with the defaults; makes it if it is not there. See
    /// [`EmbeddedBuilder::open`].
    ///
    /// # Errors
    /// As [`EmbeddedBuilder::open`].
    pub fn open(data: impl Into<PathBuf>) -> Result<Self, StartError> {
        Self::builder(data).open()
    }

    /// Everything that can be chosen.
    pub fn builder(data: impl Into<PathBuf>) -> EmbeddedBuilder {
        EmbeddedBuilder {
            config: BrokerConfig::new(data, NOWHERE),
            listen: None,
            allow_unauthenticated: false,
            grace: GRACE,
        }
    }

    /// A broker without a folder, for your own tests: it behaves as one with a disk, and forgets
    /// everything when it ends. What it holds is bounded by [`BrokerConfig::journal_bytes_max`].
    ///
    /// # Errors
    /// [`StartError::Thread`].
    pub fn in_memory() -> Result<Self, StartError> {
        let config = BrokerConfig::new(PathBuf::new(), NOWHERE);
        Ok(Self {
            broker: EmbeddedBroker::in_memory(config)?,
            grace: GRACE,
        })
    }

    /// A client of this broker, with the defaults.
    ///
    /// # Errors
    /// As [`ClientBuilder::connect`]; [`ClientError::BrokerEnded`].
    ///
    /// # Panics
    /// Outside of a tokio runtime with time enabled.
    ///
    /// # Cancel safety
    /// Dropped, no client remains.
    pub async fn client(&self) -> Result<Client, ClientError> {
        self.client_builder().connect().await
    }

    /// As [`Client::builder`], for clients of this broker: the host and port of a url are not used.
    pub fn client_builder(&self) -> ClientBuilder {
        let door = self.broker.door();
        Client::builder().connector(InProcess { door })
    }

    /// Where it listens, if that was asked for.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.broker.local_addr()
    }

    /// Whether it can take work. Cheap.
    #[must_use]
    pub fn health(&self) -> Health {
        self.broker.health()
    }

    /// Waits until the broker has stopped by itself because it could not keep its promises any
    /// longer: the disk failed, for instance. To go on, open it again. Never ends otherwise.
    pub async fn failed(&self) -> BrokerFailure {
        self.broker.failed().await
    }

    /// Stops in good order: no new jobs in, no new leases, and jobs in hand may be finished, for at
    /// most [`EmbeddedBuilder::grace`]. Clients that hold none hold nothing up; close them before all
    /// the same, or they end with [`ClientError::BrokerEnded`]. Jobs that are still in hand after the
    /// grace run again after the next open. The folder is free when it returns.
    ///
    /// # Errors
    /// Why the broker had stopped by itself, or did while it was stopping.
    ///
    /// # Cancel safety
    /// Dropped, the broker is dropped.
    pub async fn close(self) -> Result<(), BrokerFailure> {
        self.broker.stop(self.grace).await
    }
}

/// Sets up an [`Embedded`]; see [`Embedded::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `open`"]
pub struct EmbeddedBuilder {
    config: BrokerConfig,
    listen: Option<SocketAddr>,
    allow_unauthenticated: bool,
    grace: Duration,
}

impl EmbeddedBuilder {
    /// Also listens on TCP, so that the command line and other processes can come in. Port 0 takes
    /// a free one, see [`Embedded::local_addr`]. Default: nothing is listened on.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = Some(address);
        self
    }

    /// Lets it listen beyond loopback: there is no authentication yet, so whoever reaches the
    /// address can do everything.
    pub fn allow_unauthenticated(mut self) -> Self {
        self.allow_unauthenticated = true;
        self
    }

    /// How long [`Embedded::close`] lets work in flight go on. Default 10 s.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Changes what the broker is told: its bounds on memory, journal, checkpoints. What stands
    /// there about listening is not used, and `resume_grace_ms` only if it listens: else whoever held
    /// a lease when it ended was in this process too, and nobody need wait for them.
    pub fn configure(mut self, change: impl FnOnce(&mut BrokerConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// Opens the data folder and recovers what is in it. Blocks the thread until then: milliseconds
    /// for a small folder, seconds for each gigabyte that waits. In asynchronous code wrap it in
    /// [`tokio::task::spawn_blocking`] if that matters.
    ///
    /// # Errors
    /// [`StartError::Locked`] if the folder is in use, by another process or by this one;
    /// [`StartError::Config`]; what else [`StartError`] names. Nothing runs then.
    pub fn open(mut self) -> Result<Embedded, StartError> {
        if self.listen.is_none() {
            self.config.resume_grace_ms = 0;
        }
        if let Some(address) = self.listen
            && !self.allow_unauthenticated
            && !address.ip().is_loopback()
        {
            return Err(StartError::Config(format!(
                "at {address} other machines could reach the broker, and there is no \
                 authentication yet; listen on loopback, or allow it (allow_unauthenticated)"
            )));
        }
        Ok(Embedded {
            broker: EmbeddedBroker::open(self.config, self.listen)?,
            grace: self.grace,
        })
    }
}

/// Connections to a broker of this process.
#[derive(Debug)]
struct InProcess {
    door: LocalDoor,
}

impl Connector for InProcess {
    fn connect(&self) -> Connecting<'_> {
        Box::pin(async {
            let pipe = self.door.connect()?;
            Ok(Box::new(pipe) as Box<dyn Transport>)
        })
    }

    fn address(&self) -> String {
        "the broker in this process".to_owned()
    }

    fn ended(&self) -> Option<String> {
        self.door.closed()
    }
}
