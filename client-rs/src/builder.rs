//! How to connect, and the limits of a client.

use std::sync::Arc;
use std::time::Duration;

use verteilt_protocol::Name;
use verteilt_protocol::limits::{CLIENT_NAME_BYTES_MAX, ID_BYTES};

use crate::client::Client;
use crate::error::ClientError;
use crate::randomness::Randomness;
use crate::reconnect::Reconnect;
use crate::transport::{Connector, TcpConnector};
use crate::url::Address;

/// A frame and the overhead of its jobs must fit into the budget.
const PUSH_BYTES_MAX_LOWEST: u32 = 2 * 1024 * 1024;

/// What a client was told once and keeps.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) client_name: String,
    pub(crate) namespace: Option<Name>,
    pub(crate) random: Arc<Randomness>,
    pub(crate) session: [u8; ID_BYTES],
    pub(crate) producer: [u8; ID_BYTES],
    /// Names the inbox of the replies to its requests.
    pub(crate) gateway: [u8; ID_BYTES],
    pub(crate) connect_timeout: Duration,
    pub(crate) connect_wait: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) close_timeout: Duration,
    pub(crate) push_deadline: Option<Duration>,
    pub(crate) push_bytes_max: u32,
    pub(crate) reconnect: Reconnect,
}

/// Sets up a [`Client`]; see [`Client::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `connect`"]
pub struct ClientBuilder {
    url: String,
    connector: Option<Arc<dyn Connector>>,
    seed: Option<u64>,
    client_name: String,
    namespace: Option<String>,
    connect_timeout: Duration,
    connect_wait: Duration,
    request_timeout: Duration,
    close_timeout: Duration,
    push_deadline: Option<Duration>,
    push_bytes_max: u32,
    reconnect: Reconnect,
}

impl Default for ClientBuilder {
    fn default() -> Self {
        Self {
            url: format!(
                "verteilt://127.0.0.1:{}",
                verteilt_protocol::limits::BROKER_PORT
            ),
            connector: None,
            seed: None,
            client_name: "verteilt-client".into(),
            namespace: None,
            connect_timeout: Duration::from_secs(5),
            connect_wait: Duration::ZERO,
            request_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(30),
            push_deadline: None,
            push_bytes_max: 8 * 1024 * 1024,
            reconnect: Reconnect::default(),
        }
    }
}

impl ClientBuilder {
    /// `verteilt://host[:port][/namespace]`. Default `verteilt://127.0.0.1:7450`.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = url.into();
        self
    }

    /// Another way to the broker than TCP; the host and port of the url are not used then.
    pub fn connector(mut self, connector: impl Connector) -> Self {
        self.connector = Some(Arc::new(connector));
        self
    }

    /// Takes ids and jitter from this seed instead of the system, so that a simulated run can be
    /// repeated; it tells no broker when its services began. Two clients with one seed are one and the same to a broker: never for real use.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// How this client is called in the broker's logs, at most 200 bytes. Default
    /// `verteilt-client`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.client_name = name.into();
        self
    }

    /// The namespace of all queues of this client. Default: that of the url, else `default`.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Bounds one attempt to connect, handshake included. Default 5 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long [`ClientBuilder::connect`] goes on trying when the broker is not there yet.
    /// Default zero: one attempt.
    pub fn connect_wait(mut self, wait: Duration) -> Self {
        self.connect_wait = wait;
        self
    }

    /// Bounds every call but pushes and settlings, reconnects included; a reserve has it on top of
    /// its own wait. Default 30 s.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Bounds [`Client::close`]. Default 30 s.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// Deadline of pushes that name none in their options. Default `None`: a push waits as long as
    /// the client lives, because a job that may have been taken should not be given up lightly; the
    /// memory it takes is bounded by [`ClientBuilder::push_bytes_max`].
    pub fn push_deadline(mut self, deadline: Option<Duration>) -> Self {
        self.push_deadline = deadline;
        self
    }

    /// Bytes of pushes (bodies, headers and 64 a job) that may be unanswered; further pushes wait.
    /// At least 2 MiB. Default 8 MiB.
    pub fn push_bytes_max(mut self, bytes: u32) -> Self {
        self.push_bytes_max = bytes.max(PUSH_BYTES_MAX_LOWEST);
        self
    }

    /// When and how long to reconnect. Default: from 50 ms up to every 5 s, for ever.
    pub fn reconnect(mut self, reconnect: Reconnect) -> Self {
        self.reconnect = reconnect;
        self
    }

    /// Connects and starts the client's task on the current tokio runtime (of either kind).
    ///
    /// # Errors
    /// [`ClientError::Address`], [`ClientError::BadName`], [`ClientError::Connect`], or what the
    /// broker answers to the handshake.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time and I/O enabled.
    ///
    /// # Cancel safety
    /// Dropped, no client and no connection remain.
    pub async fn connect(self) -> Result<Client, ClientError> {
        Client::start(self.into_config()?).await
    }

    fn into_config(self) -> Result<Config, ClientError> {
        let address = Address::parse(&self.url)?;
        let namespace = match self.namespace {
            Some(name) => {
                Some(Name::parse(&name).map_err(|reason| ClientError::BadName { name, reason })?)
            }
            None => address.namespace,
        };
        if self.client_name.len() > CLIENT_NAME_BYTES_MAX {
            let reason = format!("the name of a client has at most {CLIENT_NAME_BYTES_MAX} bytes");
            return Err(ClientError::BadArgument { reason });
        }
        let tcp = || {
            Arc::new(TcpConnector {
                host: address.host,
                port: address.port,
            }) as _
        };
        let random = self
            .seed
            .map_or_else(Randomness::of_the_system, Randomness::seeded);
        Ok(Config {
            session: random_id(&random)?,
            producer: random_id(&random)?,
            gateway: random_id(&random)?,
            random: Arc::new(random),
            connector: self.connector.unwrap_or_else(tcp),
            client_name: self.client_name,
            namespace,
            connect_timeout: self.connect_timeout,
            connect_wait: self.connect_wait,
            request_timeout: self.request_timeout,
            close_timeout: self.close_timeout,
            push_deadline: self.push_deadline,
            push_bytes_max: self.push_bytes_max,
            reconnect: self.reconnect,
        })
    }
}

fn random_id(random: &Randomness) -> Result<[u8; ID_BYTES], ClientError> {
    let mut id = [0; ID_BYTES];
    random.fill(&mut id).map_err(|error| ClientError::Entropy {
        reason: error.to_string(),
    })?;
    Ok(id)
}
