//! A service of this client as the driver sees it: requests become tasks that run its handler.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use verteilt_protocol::{limits, wire};

use super::body::Body;
use super::id::{GatewayId, RequestId};
use super::incoming::Request;
use super::inlet::{Inlet, InletReader};
use super::outlet::Outlet;
use super::response::{Response, frame_of};
use super::serving::{Health, ServeOptions};
use super::wish::{Side, Wish};
use crate::client::{Client, WeakClient};
use crate::error::ClientError;
use crate::job::decode_headers;
use crate::options::Header;

/// Names, in a response that the handler did not make, what happened to it.
const ERROR_HEADER: &str = "verteilt-error";

pub(super) type Handler =
    dyn Fn(Request) -> BoxFuture<'static, Result<Response, String>> + Send + Sync;

/// See the module.
pub(crate) struct Service {
    pub(crate) subscription: u64,
    pub(crate) name: Arc<str>,
    pub(super) client: WeakClient,
    pub(super) options: ServeOptions,
    pub(super) started_ms: u64,
    pub(super) handler: Box<Handler>,
    pub(super) running: TaskTracker,
    /// Handlers that still run are given up.
    pub(super) stop: CancellationToken,
    /// The broker ended it, or the client has.
    pub(super) ended: CancellationToken,
    pub(super) state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) health: Health,
    pub(super) error: Option<ClientError>,
}

/// A request with what the driver keeps of it.
pub(crate) struct Delivered {
    pub(crate) message: wire::Request,
    pub(crate) payload: Bytes,
    pub(crate) cancelled: CancellationToken,
    pub(crate) inlet: Option<Arc<Inlet>>,
}

impl Service {
    /// The SERVE of now.
    pub(crate) fn request(&self) -> wire::Serve {
        let options = &self.options;
        let metadata = options.metadata.iter();
        let health = match self.state.lock().health {
            Health::Healthy => wire::Health::Healthy,
            Health::Unhealthy => wire::Health::Unhealthy,
            Health::Draining => wire::Health::Draining,
        };
        wire::Serve {
            subscription: self.subscription,
            service: self.name.to_string(),
            version: options.version.clone(),
            instance: options.instance.clone(),
            credit_requests: options.concurrency,
            credit_bytes: options.credit_bytes,
            health: health.into(),
            endpoints: options.endpoints.clone(),
            host: options.host.clone(),
            process: std::process::id(),
            started_ms: self.started_ms,
            metadata: metadata
                .map(|header| wire::Header {
                    name: header.name.clone(),
                    value: header.value.clone(),
                })
                .collect(),
        }
    }

    /// No more requests come; why, if that was not asked for.
    pub(crate) fn close(&self, error: Option<ClientError>) {
        let mut state = self.state.lock();
        state.error = state.error.take().or(error);
        drop(state);
        self.ended.cancel();
    }

    /// Runs the handler on a request, in a task of its own.
    pub(crate) fn start(self: &Arc<Self>, delivered: Delivered) -> Result<(), ClientError> {
        let Some(client) = self.client.upgrade() else {
            // The last handle has just gone, and takes the driver with it.
            return Ok(());
        };
        let (token, cancelled) = (delivered.message.token, delivered.cancelled.clone());
        let request = self.incoming(client.clone(), delivered)?;
        let id = request.id;
        let this = Arc::clone(self);
        self.running.spawn(async move {
            let handling = AssertUnwindSafe(async { (this.handler)(request).await });
            let outcome = tokio::select! {
                biased;
                outcome = handling.catch_unwind() => Some(outcome),
                () = cancelled.cancelled() => None,
                () = this.stop.cancelled() => Some(Ok(Ok(given_up()))),
            };
            let response = match outcome {
                None => return,
                Some(Ok(Ok(response))) => response,
                Some(Ok(Err(error))) => {
                    tracing::warn!(service = %this.name, request = %id, %error, "a handler failed");
                    failed("failed")
                }
                Some(Err(_)) => {
                    tracing::warn!(service = %this.name, request = %id, "a handler panicked");
                    failed("panicked")
                }
            };
            if let Err(error) = respond(&client, token, response).await {
                tracing::debug!(request = %id, %error, "a reply could not be sent");
            }
        });
        Ok(())
    }

    fn incoming(&self, client: Client, delivered: Delivered) -> Result<Request, ClientError> {
        let Delivered {
            message,
            mut payload,
            cancelled,
            inlet,
        } = delivered;
        if message.header_length as usize > payload.len() {
            return Err(ClientError::protocol(
                "a REQUEST is shorter than its headers",
            ));
        }
        let ids = RequestId::from_wire(&message.request_id);
        let ids = ids.zip(GatewayId::from_wire(&message.gateway_id));
        let (id, gateway) = ids.ok_or_else(|| ClientError::protocol("an id is not 16 bytes"))?;
        let headers = payload.split_to(message.header_length as usize);
        let shared = Arc::clone(client.shared());
        let rest = inlet.map(|inlet| InletReader::new(shared, inlet));
        Ok(Request {
            client,
            id,
            gateway,
            service: Arc::clone(&self.name),
            endpoint: message.endpoint,
            deadline: Instant::now() + Duration::from_millis(message.deadline_ms),
            forwards: message.forwards,
            attempt: message.attempt,
            token: message.token,
            cancelled,
            headers: decode_headers(&headers),
            body: Body::received(payload, rest),
        })
    }
}

fn failed(how: &'static str) -> Response {
    Response::with_status(500, Body::empty()).header(ERROR_HEADER, format!("handler {how}"))
}

fn given_up() -> Response {
    Response::with_status(503, Body::empty()).header(ERROR_HEADER, "worker is stopping")
}

/// Sends a response, all of it.
async fn respond(client: &Client, token: u64, response: Response) -> Result<(), ClientError> {
    if response.is_forwarded() {
        return Ok(());
    }
    let shared = client.shared();
    let Response {
        status,
        headers,
        mut body,
        ..
    } = response;
    let (header_length, payload) = match frame_of(headers, &mut body) {
        Ok(frame) => frame,
        Err(error) => {
            tracing::warn!(%error, "a response cannot be sent");
            let failed: Vec<Header> = failed("made headers that are too large").headers;
            return Box::pin(respond(client, token, {
                let mut response = Response::with_status(500, Body::empty());
                response.headers = failed;
                response
            }))
            .await;
        }
    };
    let more = !body.is_at_end();
    let outlet = more.then(|| Arc::new(Outlet::new(limits::REPLY_CREDIT_BYTES)));
    let reply = wire::Reply {
        request_id: Bytes::new(),
        token,
        status,
        header_length,
        more,
        ..wire::Reply::default()
    };
    shared.wish(Wish::Reply {
        reply,
        payload,
        outlet: outlet.clone(),
    })?;
    match outlet {
        Some(outlet) => outlet.pump(shared, Side::Worker(token), body).await,
        None => Ok(()),
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
