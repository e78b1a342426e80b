//! Requests of this client: [`Client::request`].

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;
use verteilt_protocol::limits::{LABEL_BYTES_MAX, REQUEST_DEADLINE_MS_DEFAULT};
use verteilt_protocol::wire;

use super::body::Body;
use super::id::{GatewayId, RequestId};
use super::inlet::{Inlet, InletReader};
use super::outlet::Outlet;
use super::response::{Response, frame_of};
use super::result::{self, Accepted};
use super::wish::{Side, Wish};
use crate::batch::check_name;
use crate::client::Client;
use crate::error::ClientError;
use crate::job::decode_headers;
use crate::options::{Durability, Header, milliseconds};
use crate::shared::Shared;

/// What the broker's answer may take longer than the deadline before it is given up here.
pub(super) const DEADLINE_SLACK: Duration = Duration::from_secs(2);

/// A request that is being put together. Made by [`Client::request`].
#[derive(Debug)]
#[must_use = "a request does nothing until `send`"]
pub struct Sending {
    client: Client,
    service: String,
    version: String,
    endpoint: String,
    headers: Vec<Header>,
    deadline: Instant,
    parent: Option<RequestId>,
    id: Option<RequestId>,
    durability: Durability,
    fingerprint: Bytes,
    body: Body,
}

/// A request on its way to the driver.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) id: RequestId,
    pub(crate) parent: Option<RequestId>,
    pub(crate) service: String,
    pub(crate) version: String,
    pub(crate) endpoint: String,
    pub(crate) made: Instant,
    pub(crate) deadline: Instant,
    pub(crate) header_length: u32,
    pub(crate) payload: Bytes,
    /// Parts follow.
    pub(crate) outlet: Option<Arc<Outlet>>,
    pub(crate) reply: oneshot::Sender<Result<Replied, ClientError>>,
}

/// The reply's first frame.
#[derive(Debug)]
pub(crate) struct Replied {
    pub(crate) status: u32,
    pub(crate) headers: Bytes,
    pub(crate) body: Bytes,
    /// Parts follow.
    pub(crate) inlet: Option<Arc<Inlet>>,
}

impl Client {
    /// Names the inbox that the replies to this client's requests come to.
    #[must_use]
    pub fn gateway_id(&self) -> GatewayId {
        GatewayId(u128::from_be_bytes(self.shared().config.gateway))
    }

    /// A request to a service: somebody who serves this name does it, and the answer comes back
    /// here. Nothing of it is written to a disk unless [`Sending::durability`] says so.
    pub fn request(&self, service: impl Into<String>) -> Sending {
        Sending {
            client: self.clone(),
            service: service.into(),
            version: String::new(),
            endpoint: String::new(),
            headers: Vec::new(),
            deadline: Instant::now() + Duration::from_millis(REQUEST_DEADLINE_MS_DEFAULT),
            parent: None,
            id: None,
            durability: Durability::Default,
            fingerprint: Bytes::new(),
            body: Body::empty(),
        }
    }
}

impl Sending {
    /// Only workers of this version. Default: any.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// Which operation of the service, at most 200 bytes.
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = endpoint.into();
        self
    }

    /// One more header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.headers.push(Header::new(name, value));
        self
    }

    /// All headers. At most 64 KiB, encoded.
    pub fn headers(mut self, headers: Vec<Header>) -> Self {
        self.headers = headers;
        self
    }

    /// How long the reply may take to begin; default 30 s. Made with
    /// [`super::Request::call`], it is never longer than what is left to the request being served.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        let asked = Instant::now() + deadline;
        self.deadline = match self.parent {
            Some(_) => self.deadline.min(asked),
            None => asked,
        };
        self
    }

    /// What is sent along.
    pub fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    /// Default: memory. With [`Durability::Disk`] the broker keeps the request on its disk until a
    /// worker has answered it or its deadline falls, also across restarts, and its result for a time.
    /// Header block and body take 960 KiB at most, together; so does the answer.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Of durability `disk`: at most 32 bytes that are the same for what is the same request, so that
    /// another one under its id is refused with [`crate::ErrorCode::RequestMismatch`]. Default: the
    /// broker makes them of service, version, endpoint and body.
    pub fn fingerprint(mut self, fingerprint: impl Into<Bytes>) -> Self {
        self.fingerprint = fingerprint.into();
        self
    }

    /// The id of the request. Default: a new one, random. One in memory must not be used twice; of
    /// durability `disk` the same id is the same request, and is served once.
    pub fn id(mut self, id: RequestId) -> Self {
        self.id = Some(id);
        self
    }

    pub(crate) fn on_behalf_of(mut self, parent: RequestId, deadline: Instant) -> Self {
        self.parent = Some(parent);
        self.deadline = self.deadline.min(deadline);
        self
    }

    /// Sends it, and waits until the reply begins. Its body may still be on its way then.
    ///
    /// # Errors
    /// By [`ClientError::code`]: [`crate::ErrorCode::NoWorker`] when nobody serves that name,
    /// [`crate::ErrorCode::DeadlineExceeded`], [`crate::ErrorCode::WorkerLost`],
    /// [`crate::ErrorCode::RequestLost`], [`crate::ErrorCode::Busy`] and what else the broker
    /// answers; [`ClientError::BadName`], [`ClientError::BadArgument`],
    /// [`ClientError::HeadersTooLarge`]; [`ClientError::Deadline`] when not even the broker
    /// answered; [`ClientError::Closed`]. A response of the service is never an error, whatever its
    /// status.
    ///
    /// Of durability `disk` besides: [`crate::ErrorCode::DiskFull`],
    /// [`crate::ErrorCode::RequestMismatch`], [`ClientError::BodyTooLarge`] for a body that streams
    /// or is longer than 960 KiB.
    ///
    /// # Cancel safety
    /// Dropped, the request is cancelled: its worker is told. So it is when the body of the
    /// response is dropped before its end. One of durability `disk` goes on.
    pub async fn send(self) -> Result<Response, ClientError> {
        let shared = Arc::clone(self.client.shared());
        if self.durability == Durability::Disk {
            let (client, deadline) = (self.client.clone(), self.deadline);
            let accepted = self.detach().await?;
            return result::reply_of(&client, accepted.request, deadline).await;
        }
        let (outgoing, answer, pump) = self.into_outgoing(&shared)?;
        let (request, made, deadline) = (outgoing.id, outgoing.made, outgoing.deadline);
        let mut waiting = Waiting {
            shared: &shared,
            request,
            done: false,
        };
        shared.wish(Wish::Send(Box::new(outgoing)))?;
        if let Some((outlet, body)) = pump {
            let shared = Arc::clone(&shared);
            // Ends with the body, or when the driver closes the outlet: with the request.
            tokio::spawn(async move {
                let _ = outlet.pump(&shared, Side::Caller(request), body).await;
            });
        }
        let answer = tokio::time::timeout_at(deadline + DEADLINE_SLACK, answer).await;
        let answer = answer.map_err(|_| ClientError::Deadline {
            what: "the request",
            limit: made.elapsed(),
        })?;
        waiting.done = true;
        let replied = answer.unwrap_or_else(|_| Err(shared.closed()))?;
        let rest = replied
            .inlet
            .map(|inlet| InletReader::new(Arc::clone(&shared), inlet));
        let mut response =
            Response::with_status(replied.status, Body::received(replied.body, rest));
        response.headers = decode_headers(&replied.headers);
        Ok(response)
    }

    /// Has it accepted with durability `disk`, and does not wait for the answer: see
    /// [`Client::result`]. Its deadline holds all the same.
    ///
    /// # Errors
    /// As [`Sending::send`], as far as they say that it was not accepted;
    /// [`ClientError::Deadline`] when it is unknown whether it was. The same id may be sent again then.
    ///
    /// # Cancel safety
    /// Dropped, it may have been accepted or not. The same id may be sent again.
    pub async fn detach(self) -> Result<Accepted, ClientError> {
        let shared = Arc::clone(self.client.shared());
        let fingerprint = self.fingerprint.clone();
        let (outgoing, _, _) = self.into_outgoing(&shared)?;
        result::accept(&shared, outgoing, fingerprint).await
    }

    #[expect(clippy::type_complexity, reason = "taken apart where it is called")]
    fn into_outgoing(
        mut self,
        shared: &Shared,
    ) -> Result<
        (
            Outgoing,
            oneshot::Receiver<Result<Replied, ClientError>>,
            Option<(Arc<Outlet>, Body)>,
        ),
        ClientError,
    > {
        check_name(&self.service)?;
        check_label(&self.version, "a version")?;
        check_label(&self.endpoint, "an endpoint")?;
        let id = match self.id {
            Some(id) => id,
            None => new_id(shared)?,
        };
        let (header_length, payload) = frame_of(self.headers, &mut self.body)?;
        let outlet = (!self.body.is_at_end()).then(|| Arc::new(Outlet::new(0)));
        let (reply, answer) = oneshot::channel();
        let outgoing = Outgoing {
            id,
            parent: self.parent,
            service: self.service,
            version: self.version,
            endpoint: self.endpoint,
            made: Instant::now(),
            deadline: self.deadline,
            header_length,
            payload,
            outlet: outlet.clone(),
            reply,
        };
        Ok((outgoing, answer, outlet.map(|outlet| (outlet, self.body))))
    }
}

impl Outgoing {
    /// What is said of it in its first frame: once, for its names go with it.
    pub(crate) fn message(&mut self, now: Instant) -> wire::Request {
        let left = self.deadline.saturating_duration_since(now);
        wire::Request {
            service: std::mem::take(&mut self.service),
            version: std::mem::take(&mut self.version),
            request_id: self.id.to_wire(),
            deadline_ms: milliseconds(left).max(1),
            endpoint: std::mem::take(&mut self.endpoint),
            header_length: self.header_length,
            more: self.outlet.is_some(),
            parent_request_id: self.parent.map(RequestId::to_wire).unwrap_or_default(),
            ..wire::Request::default()
        }
    }

    /// It never gets to a broker.
    pub(crate) fn fail(self, error: &ClientError) {
        if let Some(outlet) = &self.outlet {
            outlet.close();
        }
        // Its caller may have gone.
        let _ = self.reply.send(Err(error.clone()));
    }
}

fn new_id(shared: &Shared) -> Result<RequestId, ClientError> {
    let mut id = [0; 16];
    let filled = shared.config.random.fill(&mut id);
    filled.map_err(|error| ClientError::Entropy {
        reason: error.to_string(),
    })?;
    Ok(RequestId(u128::from_be_bytes(id)))
}

pub(super) fn check_label(text: &str, what: &str) -> Result<(), ClientError> {
    if text.len() > LABEL_BYTES_MAX {
        let reason = format!("{what} has at most {LABEL_BYTES_MAX} bytes");
        return Err(ClientError::BadArgument { reason });
    }
    Ok(())
}

/// Tells the driver when the caller goes before its answer.
struct Waiting<'a> {
    shared: &'a Shared,
    request: RequestId,
    done: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.done {
            // A closed client has given up everything.
            let _ = self.shared.wish(Wish::Cancel(self.request));
        }
    }
}
