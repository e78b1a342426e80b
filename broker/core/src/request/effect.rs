//! What has to be told about requests: at once, or, about those of durability `disk`, once what
//! was decided is on the disk.

use std::sync::Arc;

use super::command::{Content, Health, Part, ServerInfo, Side};
use super::stats::{Histogram, ServerCounts};
use super::trace::TracedRequest;
use crate::effect::Refusal;
use crate::event::RequestEvent;
use crate::id::{ConnectionId, GatewayId, JobId, Millis, RequestId};

/// Effects and whom they are for.
pub type RequestOutput = Vec<(ConnectionId, RequestEffect)>;

/// The service and the worker that held a request.
pub type Holder = (Arc<str>, Arc<ServerInfo>);

/// What was decided about requests of durability `disk`.
#[derive(Debug, Default)]
pub struct DiskOutput {
    /// What has changed, in order.
    pub events: Vec<RequestEvent>,
    /// What is to be told once that is on the disk; with some goes a header block and a body that
    /// lies under this id.
    pub effects: Vec<(ConnectionId, RequestEffect, Option<JobId>)>,
}

impl DiskOutput {
    /// Nothing was decided.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.effects.is_empty()
    }
}

/// What came of a request of durability `disk`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestResult {
    /// Nothing yet.
    Pending {
        /// What is left of its deadline.
        deadline_ms: Millis,
    },
    /// A reply.
    Replied {
        /// As in HTTP.
        status: u32,
        /// Headers and body.
        content: Content,
        /// How long it is kept from now.
        kept_ms: Millis,
    },
    /// No reply.
    Failed {
        /// Why.
        refusal: Refusal,
        /// Who held it.
        holder: Option<Holder>,
        /// How long this is kept from now.
        kept_ms: Millis,
    },
}

/// The numbers of one service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceStats {
    /// Its name.
    pub service: String,
    /// Requests that wait for a worker.
    pub waiting: u64,
    /// Bytes of them.
    pub waiting_bytes: u64,
    /// Requests that were refused because too many waited.
    pub refused: u64,
    /// Requests whose deadline fell while they waited.
    pub expired: u64,
    /// Requests whose caller went while they waited.
    pub cancelled: u64,
    /// Those who serve it.
    pub instances: Vec<InstanceStats>,
}

/// The numbers of one worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceStats {
    /// What it says of itself.
    pub info: Arc<ServerInfo>,
    /// Whether it takes requests.
    pub health: Health,
    /// Most requests at a time.
    pub credit_requests: u32,
    /// Requests that it holds.
    pub in_flight: u64,
    /// How requests ended.
    pub counts: ServerCounts,
    /// Microseconds that requests waited for it.
    pub wait_us: Histogram,
    /// Microseconds that it held them until their reply had begun.
    pub run_us: Histogram,
}

impl RequestEffect {
    /// The header block and body that go with it, if any, and whose they are.
    pub fn stored_content(&mut self) -> Option<(RequestId, &mut Content)> {
        match self {
            Self::Deliver {
                request, content, ..
            }
            | Self::Reply {
                request, content, ..
            }
            | Self::Result {
                request,
                result: RequestResult::Replied { content, .. },
                ..
            } => Some((*request, content)),
            _ => None,
        }
    }
}

/// Something to tell a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestEffect {
    /// Done.
    Done {
        /// Which.
        correlation: u64,
    },
    /// Not done.
    Refused {
        /// Which.
        correlation: u64,
        /// Why.
        refusal: Refusal,
    },
    /// A request for a worker.
    Deliver {
        /// The worker's number of its SERVE.
        subscription: u64,
        /// The lease.
        token: u64,
        /// Which.
        request: RequestId,
        /// Where its reply goes.
        gateway: GatewayId,
        /// What of the service.
        endpoint: Arc<str>,
        /// What is left, at least 1.
        deadline_ms: Millis,
        /// How often it was passed on.
        forwards: u32,
        /// How many workers had it, this one among them; 0: it lives in memory, so nobody had it.
        attempt: u16,
        /// Headers and body.
        content: Content,
    },
    /// The reply, for the caller.
    Reply {
        /// To which.
        request: RequestId,
        /// As in HTTP.
        status: u32,
        /// Headers and body.
        content: Content,
        /// The request had been accepted before this caller sent it.
        replayed: bool,
    },
    /// A request of durability `disk` is on the disk.
    Accepted {
        /// Which REQUEST.
        correlation: u64,
        /// Which.
        request: RequestId,
        /// It had been before.
        known: bool,
    },
    /// What came of a request.
    Result {
        /// Which question.
        correlation: u64,
        /// Which request.
        request: RequestId,
        /// What came.
        result: RequestResult,
    },
    /// The next bytes of a body that this connection receives.
    Part(Side, Part),
    /// This connection may send so many more bytes.
    Credit(Side, u64),
    /// It is over for this connection.
    Ended {
        /// As the connection knows it.
        side: Side,
        /// Why.
        refusal: Refusal,
        /// Who held it: service and worker.
        holder: Option<Holder>,
    },
    /// Who serves what.
    Services {
        /// Which request.
        correlation: u64,
        /// In the order of their names.
        services: Vec<ServiceStats>,
        /// There are more.
        more: bool,
    },
    /// The way of a request and of those made for it.
    Trace {
        /// Which request.
        correlation: u64,
        /// The oldest first.
        requests: Vec<TracedRequest>,
    },
}
