//! Every limit of the gateway.

use std::net::SocketAddr;
use std::time::Duration;

use crate::network::Network;

/// The port that a gateway listens on if nothing else is said.
pub const GATEWAY_PORT: u16 = 7480;

/// How a gateway behaves. [`GatewayConfig::new`] fills in the defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GatewayConfig {
    /// Where HTTP is served. There is no authentication yet: loopback, unless the network itself
    /// keeps others out.
    pub listen: SocketAddr,
    /// Connections at one time; further ones wait to be accepted. Default 4,096.
    pub connections_max: usize,
    /// Header fields of one request; more are refused with 431. Default 100.
    pub headers_max: usize,
    /// Bytes of a request's line and header fields; more are refused with 431. Default 32 KiB: as a
    /// header block they have to fit into the 64 KiB of the protocol.
    pub headers_bytes_max: usize,
    /// Bytes of one pushed job's body. Default 64 MiB, the broker's limit.
    pub body_bytes_max: usize,
    /// Bytes of all pushed bodies in memory together; what does not fit is refused with 503.
    /// Default 256 MiB.
    pub bodies_bytes_max: usize,
    /// A request to a service whose body says that it has at most so many bytes is sent once all of
    /// it is there; a longer one, and one of unknown length, is passed on as it comes. Default
    /// 64 KiB.
    pub whole_bytes_max: usize,
    /// From the opening of a connection, or the end of a request on it, to the end of the next
    /// request's headers. Default 30 s.
    pub headers_deadline: Duration,
    /// For a request body that is taken whole to arrive, and for the next bytes of one that is
    /// passed on. Default 60 s.
    pub body_deadline: Duration,
    /// For the broker to answer, across lost connections. Default 20 s.
    pub broker_deadline: Duration,
    /// For a client to take bytes that are there for it; then its connection is closed. Default
    /// 60 s.
    pub write_deadline: Duration,
    /// For requests in flight to end once the gateway is told to stop. Default 10 s.
    pub grace: Duration,
    /// Who may say for whom a request comes: `X-Forwarded-For` and its like are dropped unless the
    /// other side of the connection is here. Default: nobody.
    pub trusted_proxies: Vec<Network>,
}

impl GatewayConfig {
    /// The defaults, on this address; port 0 takes any free one.
    #[must_use]
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            connections_max: 4_096,
            headers_max: 100,
            headers_bytes_max: 32 * 1024,
            body_bytes_max: 64 * 1024 * 1024,
            bodies_bytes_max: 256 * 1024 * 1024,
            whole_bytes_max: 64 * 1024,
            headers_deadline: Duration::from_secs(30),
            body_deadline: Duration::from_secs(60),
            broker_deadline: Duration::from_secs(20),
            write_deadline: Duration::from_secs(60),
            grace: Duration::from_secs(10),
            trusted_proxies: Vec::new(),
        }
    }
}
