//! What has to be told about requests. Nothing of it waits for the disk.

use std::sync::Arc;

use super::command::{Content, Health, Part, ServerInfo, Side};
use super::stats::{Histogram, ServerCounts};
use super::trace::TracedRequest;
use crate::effect::Refusal;
use crate::id::{ConnectionId, GatewayId, Millis, RequestId};

/// Effects and whom they are for.
pub type RequestOutput = Vec<(ConnectionId, RequestEffect)>;

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
        holder: Option<(Arc<str>, Arc<ServerInfo>)>,
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
