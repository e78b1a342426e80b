//! A broker in a folder of its own, clients of it, and what tests wait with.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tempfile::TempDir;
use verteilt_broker::{Broker, BrokerConfig};
use verteilt_client::{Client, ClientBuilder, ErrorCode, Response, ServeOptions, Serving};

/// No test waits longer than this for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How long an inbox waits for its client.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

pub(crate) struct House {
    config: BrokerConfig,
    broker: Option<Broker>,
    _folder: TempDir,
}

impl House {
    pub(crate) async fn start() -> Self {
        Self::with_grace(GRACE).await
    }

    pub(crate) async fn with_grace(grace: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut config = BrokerConfig::new(folder.path().join("data"), any);
        config.segment_bytes = 4 * 1024 * 1024;
        config.resume_grace_ms = grace.as_millis() as u64;
        let mut house = Self {
            config,
            broker: None,
            _folder: folder,
        };
        house.go_on().await;
        house
    }

    /// Starts the broker, on the address that it had before.
    pub(crate) async fn go_on(&mut self) {
        let config = self.config.clone();
        let begun = tokio::task::spawn_blocking(|| Broker::start(config)).await;
        let broker = begun.unwrap().unwrap();
        self.config.listen = broker.local_addr();
        self.broker = Some(broker);
    }

    pub(crate) async fn stop(&mut self) {
        let broker = self.broker.take().unwrap();
        broker.stop(Duration::ZERO).await.unwrap();
    }

    pub(crate) fn builder(&self) -> ClientBuilder {
        Client::builder().url(format!("verteilt://{}", self.config.listen))
    }

    pub(crate) async fn client(&self) -> Client {
        self.builder().connect().await.unwrap()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.config.listen
    }
}

/// Serves what comes back as it came.
pub(crate) async fn echo(client: &Client, service: &str, concurrency: u32) -> Serving {
    let options = ServeOptions::concurrency(concurrency);
    let handler = |mut request: verteilt_client::Request| async move {
        let mut response = Response::new(request.take_body());
        response.headers = request.headers().to_vec();
        Ok::<_, String>(response)
    };
    client.serve(service, options, handler).await.unwrap()
}

/// What a request failed with.
pub(crate) fn code(result: Result<Response, verteilt_client::ClientError>) -> ErrorCode {
    let error = result.expect_err("there was a response");
    error.code().unwrap_or_else(|| panic!("{error}"))
}

/// Waits for something that comes in time, or never.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("in time")
}

/// Looks until it is so.
pub(crate) async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    within(async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}
