//! The listener: accepts, bounds, and stops gracefully.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use verteilt_client::Client;

use crate::config::GatewayConfig;
use crate::{connections, routes};

/// After a failed accept (no descriptors left): time for connections to end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A gateway that listens.
#[derive(Debug)]
pub struct Gateway {
    listener: TcpListener,
    local_addr: SocketAddr,
    router: Router,
    config: Arc<GatewayConfig>,
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
}

impl Gateway {
    /// Listens at once; requests are answered once [`Gateway::run`] runs. `client` is the
    /// gateway's way to the broker and stays the caller's to close.
    ///
    /// # Errors
    /// [`GatewayError::Listen`] if the address cannot be had.
    pub async fn bind(config: GatewayConfig, client: Client) -> Result<Self, GatewayError> {
        let refused = |source| GatewayError::Listen {
            address: config.listen,
            source,
        };
        let listener = TcpListener::bind(config.listen).await.map_err(refused)?;
        let local_addr = listener.local_addr().map_err(refused)?;
        let config = Arc::new(config);
        let router = routes::router(client, config.clone());
        Ok(Self {
            listener,
            local_addr,
            router,
            config,
        })
    }

    /// Where it listens; a real port also where 0 was asked.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves until `shutdown`, then lets requests in flight end within the grace time.
    pub async fn run(self, shutdown: CancellationToken) {
        let connections = TaskTracker::new();
        let places = Arc::new(Semaphore::new(self.config.connections_max));
        loop {
            let (stream, place) = tokio::select! {
                next = self.accept(&places) => next,
                () = shutdown.cancelled() => break,
            };
            let (router, config) = (self.router.clone(), self.config.clone());
            let shutdown = shutdown.clone();
            connections.spawn(async move {
                connections::serve(stream, router, &config, &shutdown).await;
                drop(place);
            });
        }
        drop(self.listener);
        connections.close();
        if tokio::time::timeout(self.config.grace, connections.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                left = connections.len(),
                "requests were cut off at the end of grace"
            );
        }
    }

    /// The next connection and its place among those allowed.
    async fn accept(&self, places: &Arc<Semaphore>) -> (TcpStream, Option<OwnedSemaphorePermit>) {
        // Closed never, so a place is always had.
        let place = places.clone().acquire_owned().await.ok();
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    // Answers are small and wait for nothing that could join them.
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "cannot set TCP_NODELAY");
                    }
                    return (stream, place);
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}
