//! The listener: accepts, bounds, and stops gracefully.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use verteilt_client::Client;

use crate::access::AccessLog;
use crate::config::GatewayConfig;
use crate::entrance::Entrance;
use crate::meters::{self, Meters};
use crate::proxy::{Numbers, Proxy};
use crate::routes::Routes;
use crate::{api, connections};

/// After a failed accept (no descriptors left): time for connections to end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// After this time without a byte the system asks whether the other side is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// As requests without a route are counted.
const STRAYS: &str = "none";

/// A gateway that listens.
#[derive(Debug)]
pub struct Gateway {
    listener: TcpListener,
    local_addr: SocketAddr,
    client: Client,
    config: Arc<GatewayConfig>,
    numbers: Numbers,
    routes: Routes,
    log: AccessLog,
}

/// Why a gateway does not run.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The address is taken, not ours, or not allowed.
    #[error("cannot listen on {address}: {source}; choose another address")]
    Listen {
        /// As configured.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The system gives no random bytes, of which ids are made.
    #[error("the system gave no random bytes: {reason}")]
    Entropy {
        /// What it said.
        reason: String,
    },
}

impl Gateway {
    /// Listens at once; requests are answered once [`Gateway::run`] runs. `client` is the
    /// gateway's way to the broker and stays the caller's to close.
    ///
    /// # Errors
    /// [`GatewayError::Listen`] if the address cannot be had; [`GatewayError::Entropy`].
    pub async fn bind(config: GatewayConfig, client: Client) -> Result<Self, GatewayError> {
        let refused = |source| GatewayError::Listen {
            address: config.listen,
            source,
        };
        let listener = TcpListener::bind(config.listen).await.map_err(refused)?;
        let local_addr = listener.local_addr().map_err(refused)?;
        let numbers = Numbers::new().map_err(|error| GatewayError::Entropy {
            reason: error.to_string(),
        })?;
        meters::describe();
        Ok(Self {
            listener,
            local_addr,
            client,
            config: Arc::new(config),
            numbers,
            routes: Routes::default(),
            log: AccessLog::default(),
        })
    }

    /// Other routes than `/<service>/...`; they may change while it runs.
    #[must_use]
    pub fn with_routes(mut self, routes: Routes) -> Self {
        self.routes = routes;
        self
    }

    /// Where requests to services are written down. Default: nowhere.
    #[must_use]
    pub fn with_access_log(mut self, log: AccessLog) -> Self {
        self.log = log;
        self
    }

    /// Where it listens; a real port also where 0 was asked.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves until `shutdown`, then lets requests in flight end within the grace time.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self {
            listener,
            client,
            config,
            numbers,
            routes,
            log,
            ..
        } = self;
        let connections = TaskTracker::new();
        let places = Arc::new(Semaphore::new(config.connections_max));
        let entrance = Arc::new(Entrance {
            own: api::router(client.clone(), Arc::clone(&config)),
            proxy: Proxy {
                client,
                config: Arc::clone(&config),
                routes,
                log,
                numbers,
                strays: Meters::of(STRAYS, STRAYS),
            },
        });
        loop {
            let (stream, peer, place) = tokio::select! {
                next = accept(&listener, &places) => next,
                () = shutdown.cancelled() => break,
            };
            let (entrance, config) = (Arc::clone(&entrance), Arc::clone(&config));
            let shutdown = shutdown.clone();
            connections.spawn(async move {
                connections::serve(stream, peer, entrance, &config, &shutdown).await;
                drop(place);
            });
        }
        drop(listener);
        connections.close();
        if tokio::time::timeout(config.grace, connections.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                left = connections.len(),
                "requests were cut off at the end of grace"
            );
        }
    }
}

/// The next connection, where it comes from, and its place among those allowed.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, Option<OwnedSemaphorePermit>) {
    // Closed never, so a place is always had.
    let place = places.clone().acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Answers are small and wait for nothing that could join them.
                let kept = stream.set_nodelay(true).and_then(|()| {
                    let asks = TcpKeepalive::new().with_time(KEEP_ALIVE);
                    SockRef::from(&stream).set_tcp_keepalive(&asks)
                });
                if let Err(error) = kept {
                    tracing::debug!(%error, "cannot set options of a connection");
                }
                return (stream, peer, place);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
