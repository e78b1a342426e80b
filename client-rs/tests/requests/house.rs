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

/// A line to the broker that can be cut. Whoever connects again gets through.
pub(crate) struct Line {
    address: SocketAddr,
    cut: tokio::sync::watch::Sender<u32>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Line {
    pub(crate) async fn to(house: &House) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, broker) = (listener.local_addr().unwrap(), house.address());
        let (cut, _) = tokio::sync::watch::channel(0);
        let cuts = cut.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut cuts = cuts.subscribe();
                let Ok(mut far) = tokio::net::TcpStream::connect(broker).await else {
                    continue;
                };
                tokio::spawn(async move {
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = cuts.changed() => {}
                    }
                });
            }
        });
        Self {
            address,
            cut,
            accepting,
        }
    }

    pub(crate) async fn client(&self) -> Client {
        let url = format!("verteilt://{}", self.address);
        Client::connect(&url).await.unwrap()
    }

    /// Cuts it once.
    pub(crate) fn cut(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }

    /// Cuts it for good.
    pub(crate) fn tear(&self) {
        self.accepting.abort();
        self.cut();
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Serves requests that end only when somebody ends them; says when one began and when one ended.
pub(crate) async fn hang(client: &Client, service: &str, concurrency: u32) -> (Serving, Seen) {
    let seen = Seen::default();
    let noted = seen.clone();
    let handler = move |_request: verteilt_client::Request| {
        let noted = noted.clone();
        async move {
            noted.begun.add_permits(1);
            let _ended = Ended(noted.ended);
            std::future::pending::<Result<Response, String>>().await
        }
    };
    let options = ServeOptions::concurrency(concurrency).instance("slow");
    let serving = client.serve(service, options, handler).await.unwrap();
    (serving, seen)
}

/// A permit for each handler that has begun, and for each that was dropped.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) begun: std::sync::Arc<tokio::sync::Semaphore>,
    pub(crate) ended: std::sync::Arc<tokio::sync::Semaphore>,
}

impl Default for Seen {
    fn default() -> Self {
        let none = || std::sync::Arc::new(tokio::sync::Semaphore::new(0));
        Self {
            begun: none(),
            ended: none(),
        }
    }
}

impl Seen {
    pub(crate) async fn begins(&self) {
        within(self.begun.acquire()).await.unwrap().forget();
    }

    pub(crate) async fn ends(&self) {
        within(self.ended.acquire()).await.unwrap().forget();
    }
}

struct Ended(std::sync::Arc<tokio::sync::Semaphore>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}
