//! Services of this client: [`Client::serve`].

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use verteilt_protocol::wire;

use super::incoming::Request;
use super::response::Response;
use super::sending::check_label;
use super::service::{Service, State};
use super::wish::Wish;
use crate::batch::check_name;
use crate::call::Request as Call;
use crate::client::Client;
use crate::error::ClientError;
use crate::options::{Header, milliseconds};
use crate::shared::Shared;

/// Whether a worker takes new requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// It does.
    #[default]
    Healthy,
    /// Not now.
    Unhealthy,
    /// Not any more: it finishes what it has.
    Draining,
}

/// How a service is served. `ServeOptions::default()` is one request at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeOptions {
    /// Requests at one time, at least 1. Default 1.
    pub concurrency: u32,
    /// Bytes of their first parts; one request is always allowed. Default 0: 8 MiB.
    pub credit_bytes: u64,
    /// Of the service: a request may ask for one. Default: none.
    pub version: String,
    /// Names this program among those that serve the same. Default empty: 16 random digits.
    pub instance: String,
    /// What is served, for those who look at the list of services.
    pub endpoints: Vec<String>,
    /// Where this program runs. Default empty.
    pub host: String,
    /// Anything else worth knowing; with the endpoints at most 16 KiB.
    pub metadata: Vec<Header>,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            concurrency: 1,
            credit_bytes: 0,
            version: String::new(),
            instance: String::new(),
            endpoints: Vec::new(),
            host: String::new(),
            metadata: Vec::new(),
        }
    }
}

impl ServeOptions {
    /// So many requests at one time.
    #[must_use]
    pub fn concurrency(requests: u32) -> Self {
        Self {
            concurrency: requests,
            ..Self::default()
        }
    }

    /// Of the service.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// Names this program among those that serve the same.
    #[must_use]
    pub fn instance(mut self, instance: impl Into<String>) -> Self {
        self.instance = instance.into();
        self
    }
}

/// Zero for a client of a simulation, whose time is not the system's.
fn since_1970(shared: &Shared) -> Duration {
    if shared.config.random.is_seeded() {
        return Duration::ZERO;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or(Duration::ZERO)
}

/// A service of this client. Made by [`Client::serve`]; lives through lost connections and restarts
/// of the broker. Dropped, it ends at once: handlers that run are dropped, and their callers told.
pub struct Serving {
    client: Client,
    service: Arc<Service>,
}

impl Client {
    /// Serves requests to a name, several at a time, each in a task of its own. Returns when the
    /// broker knows of it; requests come as long as the result lives.
    ///
    /// What the handler returns is the reply. An error or a panic becomes a response of status 500
    /// with the header `verteilt-error`, and is logged here; its text stays here, too, because the
    /// caller may be a stranger.
    ///
    /// # Errors
    /// [`ClientError::BadName`], [`ClientError::BadArgument`], what the broker answers,
    /// [`ClientError::Deadline`] after the request timeout.
    ///
    /// # Cancel safety
    /// Dropped, nothing is served.
    pub async fn serve<H, F, E>(
        &self,
        service: &str,
        options: ServeOptions,
        handler: H,
    ) -> Result<Serving, ClientError>
    where
        H: Fn(Request) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Response, E>> + Send + 'static,
        E: fmt::Display,
    {
        check_name(service)?;
        check_label(&options.version, "a version")?;
        check_label(&options.instance, "an instance")?;
        let shared = self.shared();
        let mut options = options;
        options.concurrency = options.concurrency.max(1);
        if options.instance.is_empty() {
            let mut bytes = [0; 8];
            let filled = shared.config.random.fill(&mut bytes);
            filled.map_err(|error| ClientError::Entropy {
                reason: error.to_string(),
            })?;
            options.instance = format!("{:016x}", u64::from_be_bytes(bytes));
        }
        let handler = move |request: Request| {
            handler(request)
                .map(|result| result.map_err(|error| error.to_string()))
                .boxed()
        };
        let service = Arc::new(Service {
            subscription: shared.next_number(),
            name: service.into(),
            client: self.downgrade(),
            options,
            started_ms: milliseconds(since_1970(shared)),
            handler: Box::new(handler),
            running: TaskTracker::new(),
            stop: CancellationToken::new(),
            ended: CancellationToken::new(),
            state: Mutex::new(State::default()),
        });
        shared.wish(Wish::Register(Arc::clone(&service)))?;
        // From here on dropping it ends it.
        let serving = Serving {
            client: self.clone(),
            service,
        };
        let limit = shared.config.request_timeout;
        let request = Call::Serve(serving.service.request());
        shared.call("the service", request, limit).await?;
        Ok(serving)
    }
}

impl Serving {
    /// The service.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service.name
    }

    /// The name of this program among those that serve the same.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.service.options.instance
    }

    /// Requests whose handlers run now.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.service.running.len()
    }

    /// Takes requests again, or no more for now.
    ///
    /// # Errors
    /// [`ClientError::Closed`].
    pub fn set_health(&self, health: Health) -> Result<(), ClientError> {
        self.service.state.lock().health = health;
        let subscription = self.service.subscription;
        self.client.shared().wish(Wish::Update(subscription))
    }

    /// Waits until it has ended by itself: the broker refused it after a reconnect, or the client
    /// is closed.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn ended(&self) -> ClientError {
        self.service.ended.cancelled().await;
        let state = self.service.state.lock();
        state.error.clone().unwrap_or(ClientError::Closed)
    }

    /// Takes no more requests, and waits for the handlers that run, at most for `grace`; those that
    /// run then are dropped, and answered with status 503. Gives how many that were.
    ///
    /// # Cancel safety
    /// Dropped, it ends at once.
    pub async fn drain(self, grace: Duration) -> usize {
        // A closed client has no services: then there is nobody left to tell.
        let _ = self.set_health(Health::Draining);
        let unserve = wire::Unserve {
            subscription: self.service.subscription,
        };
        let shared = self.client.shared();
        let limit = shared.config.request_timeout.min(grace);
        // Once this is answered no further request is on its way.
        let told = shared.call("the end of the service", Call::Unserve(unserve), limit);
        if let Err(error) = told.await {
            tracing::debug!(%error, "the end of a service was not answered");
        }
        self.service.running.close();
        let running = &self.service.running;
        if tokio::time::timeout(grace, running.wait()).await.is_ok() {
            return 0;
        }
        let left = running.len();
        self.service.stop.cancel();
        running.wait().await;
        left
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.service.stop.cancel();
        let subscription = self.service.subscription;
        // A closed client has no services.
        let _ = self.client.shared().wish(Wish::Unregister(subscription));
    }
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving")
            .field("service", &self.service())
            .field("instance", &self.instance())
            .finish_non_exhaustive()
    }
}
