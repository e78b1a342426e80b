//! Every limit of the gateway.

use std::net::SocketAddr;
use std::time::Duration;

/// The port that a gateway listens on if nothing else is said.
pub const GATEWAY_PORT: u16 = 7480;

/// How a gateway behaves. [`GatewayConfig::new`] fills in the defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GatewayConfig {
    /// Where HTTP is served. There is no authentication yet: loopback, unless the network itself
    /// keeps others out.
    pub listen: SocketAddr,
    /// Connections at one time; further ones wait to be accepted. Default 1,024.
    pub connections_max: usize,
    /// Bytes of one request body, which is one job's body. Default 64 MiB, the broker's limit.
    pub body_bytes_max: usize,
    /// Bytes of all request bodies in memory together; what does not fit is refused with 503.
    /// Default 256 MiB.
    pub bodies_bytes_max: usize,
    /// From the opening of a connection, or the end of a request on it, to the end of the next
    /// request's headers. Default 30 s.
    pub headers_deadline: Duration,
    /// For a request body to arrive. Default 60 s.
    pub body_deadline: Duration,
    /// For the broker to answer, across lost connections. Default 20 s.
    pub broker_deadline: Duration,
    /// For requests in flight to end once the gateway is told to stop. Default 10 s.
    pub grace: Duration,
}

impl GatewayConfig {
    /// The defaults, on this address; port 0 takes any free one.
    #[must_use]
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            connections_max: 1_024,
            body_bytes_max: 64 * 1024 * 1024,
            bodies_bytes_max: 256 * 1024 * 1024,
            headers_deadline: Duration::from_secs(30),
            body_deadline: Duration::from_secs(60),
            broker_deadline: Duration::from_secs(20),
            grace: Duration::from_secs(10),
        }
    }
}
