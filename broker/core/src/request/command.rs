//! What somebody asks about requests.

use std::sync::Arc;

use bytes::Bytes;

use crate::command::QueueName;
use crate::id::{GatewayId, Millis, RequestId};

/// A header block and the first part of a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Bytes of the header block at the front of the payload.
    pub header_length: u32,
    /// Header block, then bytes of the body.
    pub payload: Bytes,
    /// The body goes on in parts.
    pub more: bool,
}

/// The next bytes of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The bytes.
    pub payload: Bytes,
    /// Further parts follow.
    pub more: bool,
    /// The body breaks off here.
    pub broken: bool,
}

/// A request by the name that one side has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// As its caller knows it.
    Caller(RequestId),
    /// As the worker knows it that holds it, or held it when it forwarded it: by the lease's token.
    Worker(u64),
}

/// Work for a service.
#[derive(Clone, Debug)]
pub struct NewRequest {
    /// Named by its caller.
    pub id: RequestId,
    /// The request that is being served when this one is made.
    pub parent: Option<RequestId>,
    /// Who is to do it.
    pub service: QueueName,
    /// Only workers of this version; empty: any.
    pub version: Arc<str>,
    /// What of the service.
    pub endpoint: Arc<str>,
    /// Until the reply must have begun; 0: the default.
    pub deadline_ms: Millis,
    /// Headers and body.
    pub content: Content,
    /// It survives a crash of the broker; none: it lives in memory.
    pub durable: Option<Durable>,
}

/// What a request of durability `disk` says in addition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Durable {
    /// The same for what is the same request.
    pub fingerprint: u128,
    /// The caller is told that it was accepted, and does not wait for the reply.
    pub detach: bool,
}

/// The answer to a request.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Of the lease.
    pub token: u64,
    /// As in HTTP.
    pub status: u32,
    /// Headers and body.
    pub content: Content,
}

/// A request that goes on to another service.
#[derive(Clone, Debug)]
pub struct Forward {
    /// Of the lease.
    pub token: u64,
    /// Where to.
    pub service: QueueName,
    /// Only workers of this version; empty: any.
    pub version: Arc<str>,
    /// What of the service.
    pub endpoint: Arc<str>,
    /// The caller's parts follow behind this content.
    pub rest_from_caller: bool,
    /// Headers and body.
    pub content: Content,
}

/// Whether a worker takes new requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// It does.
    #[default]
    Healthy,
    /// Not now.
    Unhealthy,
    /// Not any more.
    Draining,
}

/// What a worker says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerInfo {
    /// Of the service; may be empty.
    pub version: Arc<str>,
    /// Its name among those that serve the same.
    pub instance: Arc<str>,
    /// What it serves.
    pub endpoints: Vec<String>,
    /// Where it runs.
    pub host: String,
    /// Its process there.
    pub process: u32,
    /// Since when, in milliseconds since 1970.
    pub started_ms: Millis,
    /// Anything else.
    pub metadata: Vec<(String, Bytes)>,
}

/// A worker that wants requests.
#[derive(Clone, Debug)]
pub struct Serve {
    /// The client's number for it, not 0.
    pub subscription: u64,
    /// For what.
    pub service: QueueName,
    /// Most requests held at a time; 0 holds them back.
    pub credit_requests: u32,
    /// Most bytes of their first parts; one request is always allowed.
    pub credit_bytes: u64,
    /// Whether it takes any.
    pub health: Health,
    /// What it is.
    pub info: ServerInfo,
}

/// Everything that can be asked about requests.
#[derive(Clone, Debug)]
pub enum RequestCommand {
    /// Replies come to this connection.
    Inbox {
        /// Where its requests are.
        namespace: Arc<str>,
        /// Named by its client.
        gateway: GatewayId,
        /// What the client still waits for.
        waiting: Vec<RequestId>,
    },
    /// Have a request served.
    Send(Box<NewRequest>),
    /// The caller does not want the reply any more.
    Cancel(RequestId),
    /// The next bytes of a body.
    Part(Side, Part),
    /// The sender takes so many more bytes.
    Credit(Side, u64),
    /// Answer.
    Reply(Reply),
    /// Pass on.
    Forward(Box<Forward>),
    /// Serve, or change credit and health.
    Serve(Box<Serve>),
    /// No more requests.
    Unserve(u64),
    /// Who serves what.
    Services {
        /// Where.
        namespace: Arc<str>,
        /// One; none: all.
        service: Option<String>,
        /// Of all, only those behind this name.
        after: String,
    },
    /// What came of a request of durability `disk`.
    Result {
        /// Where.
        namespace: Arc<str>,
        /// Which.
        request: RequestId,
        /// How long to wait for it.
        wait_ms: Millis,
    },
    /// The way of a request.
    Trace {
        /// Where.
        namespace: Arc<str>,
        /// Which.
        request: RequestId,
    },
}
