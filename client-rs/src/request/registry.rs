//! Who serves what and how well, and the ways of recent requests.

use std::time::Duration;

use verteilt_protocol::wire;

use super::id::{GatewayId, RequestId};
use super::serving::Health;
use crate::batch::check_name;
use crate::call::Request as Call;
use crate::client::Client;
use crate::error::ClientError;
use crate::options::Header;

/// The numbers of one service, since it was first served without a break.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
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
    /// Those that the answer had no room for.
    pub instances_left_out: u64,
}

/// The numbers of one worker.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InstanceStats {
    /// Its name.
    pub instance: String,
    /// The version that it serves; may be empty.
    pub version: String,
    /// What it serves.
    pub endpoints: Vec<String>,
    /// Where it runs.
    pub host: String,
    /// Its process there.
    pub process: u32,
    /// Since when, in milliseconds since 1970.
    pub started_ms: u64,
    /// Whether it takes requests.
    pub health: Health,
    /// What else it says of itself.
    pub metadata: Vec<Header>,
    /// Most requests at a time.
    pub concurrency: u32,
    /// Requests that it holds.
    pub in_flight: u64,
    /// Replies by status: 1xx or none, 2xx, 3xx, 4xx, 5xx and above.
    pub replies: [u64; 5],
    /// Requests that it passed on.
    pub forwarded: u64,
    /// Requests whose deadline fell while it held them.
    pub expired: u64,
    /// Requests whose caller went while it held them.
    pub cancelled: u64,
    /// Requests of which a body broke off.
    pub broken: u64,
    /// Microseconds that requests waited for it: entry i counts those below 2^i that are in no entry
    /// before, the last one all others.
    pub wait_us: Vec<u64>,
    /// Microseconds that it held them until their reply had begun.
    pub run_us: Vec<u64>,
}

/// What happened to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TraceKind {
    /// Its way begins: what is named is what was asked for.
    Accepted,
    /// No worker was free.
    Waiting,
    /// A worker has it.
    Started,
    /// It goes on to the service that is named.
    Forwarded,
    /// Its worker went or failed, and another is to have it: the number of an [`crate::ErrorCode`].
    Returned(u32),
    /// The reply has begun, with this status.
    Replied(u32),
    /// It is over: 0, or the number of an [`crate::ErrorCode`].
    Ended(u32),
    /// What a newer broker knows.
    Unknown,
}

/// One step of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceStep {
    /// What happened.
    pub kind: TraceKind,
    /// When, since the request was accepted.
    pub at: Duration,
    /// Where.
    pub service: String,
    /// Of the service.
    pub version: String,
    /// The worker's name.
    pub instance: String,
    /// What of the service.
    pub endpoint: String,
}

/// The way of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TracedRequest {
    /// Which.
    pub request: RequestId,
    /// For which it was made.
    pub parent: Option<RequestId>,
    /// Where its reply went.
    pub gateway: GatewayId,
    /// When it was accepted, in microseconds since 1970 on the broker's clock.
    pub time_us: u64,
    /// What happened to it, in order.
    pub steps: Vec<TraceStep>,
}

impl Client {
    /// The services of the namespace, in the order of their names, with those who serve them.
    ///
    /// # Errors
    /// What the broker answers, [`ClientError::Deadline`] after the request timeout.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn services(&self) -> Result<Vec<ServiceStats>, ClientError> {
        let mut all = Vec::new();
        loop {
            let after = all
                .last()
                .map_or_else(String::new, |last: &ServiceStats| last.service.clone());
            let (found, more) = self.services_page(String::new(), after).await?;
            let nothing = found.is_empty();
            all.extend(found);
            if !more || nothing {
                return Ok(all);
            }
        }
    }

    /// One service; `None`: nobody serves it now.
    ///
    /// # Errors
    /// As [`Client::services`]; [`ClientError::BadName`].
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn service(&self, service: &str) -> Result<Option<ServiceStats>, ClientError> {
        check_name(service)?;
        let (found, _) = self
            .services_page(service.to_owned(), String::new())
            .await?;
        Ok(found.into_iter().next())
    }

    async fn services_page(
        &self,
        service: String,
        after: String,
    ) -> Result<(Vec<ServiceStats>, bool), ClientError> {
        let request = Call::Services(wire::ServicesRequest { service, after });
        let asked = self.shared().ask("the list of services", request);
        let (reply, _): (wire::ServicesReply, _) = asked.await?;
        let services = reply.services.into_iter().map(Into::into);
        Ok((services.collect(), reply.more))
    }

    /// The way of a recent request and of those that were made for it; the broker remembers the
    /// latest 4,096.
    ///
    /// # Errors
    /// [`crate::ErrorCode::RequestUnknown`]; as [`Client::services`].
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn trace(&self, request: RequestId) -> Result<Vec<TracedRequest>, ClientError> {
        let request_id = request.to_wire();
        let request = Call::Trace(wire::TraceRequest { request_id });
        let (reply, _): (wire::TraceReply, _) = self.shared().ask("the trace", request).await?;
        reply.requests.into_iter().map(traced).collect()
    }
}

impl From<wire::ServiceStats> for ServiceStats {
    fn from(stats: wire::ServiceStats) -> Self {
        Self {
            service: stats.service,
            waiting: stats.waiting,
            waiting_bytes: stats.waiting_bytes,
            refused: stats.refused,
            expired: stats.expired,
            cancelled: stats.cancelled,
            instances: stats.instances.into_iter().map(Into::into).collect(),
            instances_left_out: stats.instances_left_out,
        }
    }
}

impl From<wire::InstanceStats> for InstanceStats {
    fn from(stats: wire::InstanceStats) -> Self {
        let health = match stats.health() {
            wire::Health::Unhealthy => Health::Unhealthy,
            wire::Health::Draining => Health::Draining,
            wire::Health::Healthy | wire::Health::Unspecified => Health::Healthy,
        };
        let mut replies = [0; 5];
        for (to, from) in replies.iter_mut().zip(&stats.replies) {
            *to = *from;
        }
        let metadata = stats.metadata.into_iter();
        Self {
            instance: stats.instance,
            version: stats.version,
            endpoints: stats.endpoints,
            host: stats.host,
            process: stats.process,
            started_ms: stats.started_ms,
            health,
            metadata: metadata
                .map(|entry| Header::new(entry.name, entry.value))
                .collect(),
            concurrency: stats.credit_requests,
            in_flight: stats.in_flight,
            replies,
            forwarded: stats.forwarded,
            expired: stats.expired,
            cancelled: stats.cancelled,
            broken: stats.broken,
            wait_us: stats.wait_us,
            run_us: stats.run_us,
        }
    }
}

fn traced(traced: wire::TracedRequest) -> Result<TracedRequest, ClientError> {
    let ids = RequestId::from_wire(&traced.request_id);
    let ids = ids.zip(GatewayId::from_wire(&traced.gateway_id));
    let (request, gateway) = ids.ok_or_else(|| ClientError::protocol("an id is not 16 bytes"))?;
    Ok(TracedRequest {
        request,
        parent: RequestId::from_wire(&traced.parent_request_id),
        gateway,
        time_us: traced.time_us,
        steps: traced.steps.into_iter().map(Into::into).collect(),
    })
}

impl From<wire::TraceStep> for TraceStep {
    fn from(step: wire::TraceStep) -> Self {
        let kind = match step.kind() {
            wire::TraceKind::Accepted => TraceKind::Accepted,
            wire::TraceKind::Waiting => TraceKind::Waiting,
            wire::TraceKind::Started => TraceKind::Started,
            wire::TraceKind::Forwarded => TraceKind::Forwarded,
            wire::TraceKind::Returned => TraceKind::Returned(step.number),
            wire::TraceKind::Replied => TraceKind::Replied(step.number),
            wire::TraceKind::Ended => TraceKind::Ended(step.number),
            wire::TraceKind::Unspecified => TraceKind::Unknown,
        };
        Self {
            kind,
            at: Duration::from_micros(step.at_us),
            service: step.service,
            version: step.version,
            instance: step.instance,
            endpoint: step.endpoint,
        }
    }
}
