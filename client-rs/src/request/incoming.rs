//! What a handler gets.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::body::Body;
use super::forward::Forwarding;
use super::id::{GatewayId, RequestId};
use super::response::find;
use super::sending::Sending;
use crate::client::Client;
use crate::options::Header;

/// A request that this program serves; see [`Client::serve`]. What its handler returns is the reply.
///
/// When the caller goes or the deadline falls, [`Request::cancelled`] is, and the handler's future
/// is dropped at its next await.
pub struct Request {
    pub(super) client: Client,
    pub(super) id: RequestId,
    pub(super) gateway: GatewayId,
    pub(super) service: Arc<str>,
    pub(super) endpoint: String,
    pub(super) deadline: Instant,
    pub(super) forwards: u32,
    pub(super) attempt: u32,
    pub(super) token: u64,
    pub(super) cancelled: CancellationToken,
    pub(super) headers: Vec<Header>,
    pub(super) body: Body,
}

impl Request {
    /// Names the request on its whole way.
    #[must_use]
    pub const fn id(&self) -> RequestId {
        self.id
    }

    /// Where its reply goes.
    #[must_use]
    pub const fn gateway_id(&self) -> GatewayId {
        self.gateway
    }

    /// The service that it came to.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    /// Which operation of the service; may be empty.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The fencing number of the lease: grows with each request that the broker hands out.
    #[must_use]
    pub const fn token(&self) -> u64 {
        self.token
    }

    /// How often it was passed on before it came here.
    #[must_use]
    pub const fn forwards(&self) -> u32 {
        self.forwards
    }

    /// Of durability `disk`: which worker this one is that has it, from 1. More than 1 says that one
    /// before may have done the work, or some of it. 0: nobody had it before.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Until when the reply must have begun.
    #[must_use]
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What is left until then.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Cancelled when nobody waits for the reply any more: the caller went, or the deadline fell.
    #[must_use]
    pub const fn cancelled(&self) -> &CancellationToken {
        &self.cancelled
    }

    /// Its headers, in order.
    #[must_use]
    pub fn headers(&self) -> &[Header] {
        &self.headers
    }

    /// The value of the first header of this name, whatever its case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&Bytes> {
        find(&self.headers, name)
    }

    /// The body, to be read where it is.
    pub const fn body(&mut self) -> &mut Body {
        &mut self.body
    }

    /// The body, to be read elsewhere or sent on; an empty one stays.
    pub fn take_body(&mut self) -> Body {
        std::mem::take(&mut self.body)
    }

    /// The client that serves it.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Passes the request on to another service, which answers the caller instead: return what
    /// [`Forwarding::send`] gives. It goes with its headers and its body, if those are not replaced.
    pub fn forward(&mut self, service: impl Into<String>) -> Forwarding<'_> {
        Forwarding::new(self, service.into())
    }

    /// What outlives the request's body: for parts of a handler that do not hold the request.
    #[must_use]
    pub fn context(&self) -> RequestContext {
        RequestContext {
            client: self.client.clone(),
            id: self.id,
            deadline: self.deadline,
            cancelled: self.cancelled.clone(),
        }
    }

    /// A request of this handler's own: its answer comes back here. Its deadline is at most what is
    /// left of this request's; dropped with the handler, it is cancelled, too.
    pub fn call(&self, service: impl Into<String>) -> Sending {
        let call = self.client.request(service);
        call.on_behalf_of(self.id, self.deadline)
    }
}

/// A request without its headers and body; clones are about the same one. Made by
/// [`Request::context`].
#[derive(Clone, Debug)]
pub struct RequestContext {
    client: Client,
    id: RequestId,
    deadline: Instant,
    cancelled: CancellationToken,
}

impl RequestContext {
    /// Names the request on its whole way.
    #[must_use]
    pub const fn id(&self) -> RequestId {
        self.id
    }

    /// What is left until the reply must have begun.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// As [`Request::cancelled`].
    #[must_use]
    pub const fn cancelled(&self) -> &CancellationToken {
        &self.cancelled
    }

    /// As [`Request::call`].
    pub fn call(&self, service: impl Into<String>) -> Sending {
        let call = self.client.request(service);
        call.on_behalf_of(self.id, self.deadline)
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("id", &self.id)
            .field("service", &self.service)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}
