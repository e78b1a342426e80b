//! Requests: work for a service that is answered once. A state machine of its own beside the shard,
//! because nothing of most of them is journaled: what it decides is told at once, and a broker that
//! stops forgets it. Of those of durability `disk` the ledger of the shard keeps a book; what is
//! decided about them are events, and told when those are on the disk. Pure like everything here:
//! time comes in as an argument.
//!
//! | file | what stands there |
//! |---|---|
//! | `command.rs`, `effect.rs` | what is asked, what is told |
//! | `open.rs` | a request from its acceptance to its end |
//! | `service.rs` | services, their workers, who waits for whom |
//! | `send.rs` | requests in: accepted, in line, given to a worker |
//! | `answer.rs` | replies, bodies in parts, credit |
//! | `forward.rs` | a request that goes on to another service |
//! | `end.rs` | every other way in which a request ends |
//! | `inbox.rs` | where replies go, also across a lost connection |
//! | `serve.rs` | workers that come, change and go; the registry |
//! | `durable.rs` | those of durability `disk`, from their acceptance to their result |
//! | `waiting.rs` | who waits for such a result |
//! | `book.rs` | what is on the disk of them |
//! | `trace.rs`, `stats.rs` | what is remembered of it all |

mod answer;
mod book;
mod command;
mod durable;
mod effect;
mod end;
mod forward;
mod inbox;
mod open;
mod send;
mod serve;
mod service;
mod stats;
mod totals;
mod trace;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use book::{Answer, Entry, Outcome, Progress, Work};
pub use book::{Book, Stored};
pub use command::{
    Content, Durable, Forward, Health, NewRequest, Part, Reply, RequestCommand, Serve, ServerInfo,
    Side,
};
pub use effect::{
    DiskOutput, Holder, InstanceStats, RequestEffect, RequestOutput, RequestResult, ServiceStats,
};
pub use stats::{Histogram, ServerCounts};
pub use totals::ServiceTotals;
pub use trace::{TraceKind, TraceStep, TracedRequest};

use self::inbox::Inbox;
use self::open::Open;
use self::service::{Server, ServerKey, Service};
use self::totals::Totals;
use self::trace::Traces;
use crate::command::QueueName;
use crate::effect::Refusal;
use crate::id::{ConnectionId, GatewayId, JobId, Micros, Millis, RequestId, volatile_base};
use crate::ledger::Ledger;

/// Every number that a decision about requests depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// Milliseconds for a reply to begin when the request names none.
    pub deadline_ms_default: Millis,
    /// Longest that a request may ask for.
    pub deadline_ms_max: Millis,
    /// How long an inbox waits for its client after a lost connection.
    pub inbox_grace_ms: Millis,
    /// Requests of one inbox.
    pub open_max: usize,
    /// Requests in line for one service.
    pub waiting_max: usize,
    /// Bytes of all requests in line together; and of all replies that wait for their client.
    pub waiting_bytes_max: u64,
    /// Services, and workers of all of them together.
    pub services_max: usize,
    /// Services in one answer with counts.
    pub stats_services_max: usize,
    /// Forwards of one request.
    pub forwards_max: u32,
    /// Bytes of a reply's body behind its first frame, before the caller grants more.
    pub reply_credit_bytes: u64,
    /// Requests whose way is remembered.
    pub traces_max: usize,
    /// Workers that a request of durability `disk` is given to, at most.
    pub attempts_max: u16,
    /// Requests of durability `disk` that have no result yet.
    pub accepted_max: usize,
    /// Bytes of header block and body of a reply that is kept.
    pub stored_bytes_max: u64,
    /// Milliseconds that a result is kept.
    pub result_keep_ms: Millis,
    /// Results that are kept; the oldest go first.
    pub results_max: usize,
    /// Bytes of them.
    pub result_bytes_max: u64,
}

/// What stands on the disk, and whether more may.
#[derive(Clone, Copy, Debug)]
pub struct Disk<'a> {
    /// Of the shard, with everything in it that was decided before.
    pub ledger: &'a Ledger,
    /// Why no request of durability `disk` is accepted now, if so.
    pub refusal: Option<Refusal>,
}

/// One connection as far as requests go.
#[derive(Debug, Default)]
struct Connection {
    inbox: Option<GatewayId>,
    servers: BTreeMap<u64, ServerKey>,
    /// Workers that went while they held requests.
    leaving: BTreeSet<ServerKey>,
    /// Ended leases under which it still brings parts of requests that it forwarded.
    forwarding: BTreeSet<u64>,
    /// Requests whose result it waits for.
    waits: BTreeSet<RequestId>,
    held_back: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Requests {
    limits: RequestLimits,
    now_us: Micros,
    next_token: u64,
    next_order: u64,
    next_server: u64,
    draining: bool,
    connections: BTreeMap<ConnectionId, Connection>,
    inboxes: BTreeMap<GatewayId, Inbox>,
    open: BTreeMap<RequestId, Open>,
    /// Leases, and ended leases of forwarders that still bring parts.
    tokens: BTreeMap<u64, RequestId>,
    deadlines: BTreeSet<(Micros, RequestId)>,
    /// Inboxes without a connection, by the end of their grace.
    graces: BTreeSet<(Micros, GatewayId)>,
    /// Until when somebody waits for the result of which request.
    waits: BTreeSet<(Micros, RequestId)>,
    services: BTreeMap<QueueName, Service>,
    servers: BTreeMap<ServerKey, Server>,
    waiting_bytes: u64,
    kept_bytes: u64,
    traces: Traces,
    totals: Totals,
    output: RequestOutput,
    disk: DiskOutput,
    /// The id of the next body that goes to the disk.
    next_body: JobId,
}

impl Requests {
    /// Nothing is asked yet. The tokens of two epochs never meet.
    #[must_use]
    pub fn new(limits: RequestLimits, epoch: u64) -> Self {
        Self {
            limits,
            now_us: 0,
            next_token: volatile_base(epoch) + 1,
            next_order: 1,
            next_server: 1,
            draining: false,
            connections: BTreeMap::new(),
            inboxes: BTreeMap::new(),
            open: BTreeMap::new(),
            tokens: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            graces: BTreeSet::new(),
            waits: BTreeSet::new(),
            services: BTreeMap::new(),
            servers: BTreeMap::new(),
            waiting_bytes: 0,
            kept_bytes: 0,
            traces: Traces::new(limits.traces_max),
            totals: Totals::default(),
            output: Vec::new(),
            disk: DiskOutput::default(),
            next_body: JobId(0),
        }
    }

    /// Decides one command. What it decides for the disk has to be applied before the next.
    pub fn handle(
        &mut self,
        connection: ConnectionId,
        correlation: u64,
        command: RequestCommand,
        now_us: Micros,
        disk: Disk<'_>,
    ) {
        self.advance(now_us);
        self.next_body = disk.ledger.next_id();
        match command {
            RequestCommand::Inbox {
                namespace,
                gateway,
                waiting,
            } => {
                let done = self.claim(connection, gateway, (&namespace, &waiting), disk);
                self.answer(connection, correlation, done);
            }
            RequestCommand::Send(request) => match request.durable {
                None => self.send(connection, *request),
                Some(durable) => {
                    self.send_durable(connection, correlation, (*request, durable), disk);
                }
            },
            RequestCommand::Cancel(request) => self.cancel(connection, request),
            RequestCommand::Part(side, part) => self.part(connection, side, part),
            RequestCommand::Credit(side, bytes) => self.credit(connection, side, bytes),
            RequestCommand::Reply(reply) => self.reply(connection, reply),
            RequestCommand::Forward(forward) => match self.forward(connection, *forward) {
                Ok(true) => {
                    self.tell_later(connection, RequestEffect::Done { correlation }, None);
                }
                done => self.answer(connection, correlation, done.map(|_| ())),
            },
            RequestCommand::Serve(serve) => {
                let done = self.serve(connection, *serve);
                self.answer(connection, correlation, done);
            }
            RequestCommand::Unserve(subscription) => {
                let done = self.unserve(connection, subscription);
                self.answer(connection, correlation, done);
            }
            RequestCommand::Services {
                namespace,
                service,
                after,
            } => {
                let (services, more) = self.services(&namespace, service.as_deref(), &after);
                let effect = RequestEffect::Services {
                    correlation,
                    services,
                    more,
                };
                self.output.push((connection, effect));
            }
            RequestCommand::Result {
                namespace,
                request,
                wait_ms,
            } => {
                let of = (&namespace, request);
                self.result((connection, correlation), of, wait_ms, disk);
            }
            RequestCommand::Trace { namespace, request } => {
                let requests = self.traces.of(&namespace, request);
                if requests.is_empty() {
                    return self.answer(connection, correlation, Err(Refusal::RequestUnknown));
                }
                let effect = RequestEffect::Trace {
                    correlation,
                    requests,
                };
                self.output.push((connection, effect));
            }
        }
    }

    /// Does what time asks for.
    pub fn tick(&mut self, now_us: Micros, disk: Disk<'_>) {
        self.advance(now_us);
        self.forget_results(disk);
        self.end_waits();
        let due = self.deadlines.iter();
        let due = due.take_while(|(at_us, _)| *at_us <= self.now_us);
        // Those in line first: no worker is to begin what is too late.
        let is_held = |request: &RequestId| self.open.get(request).and_then(Open::lease).is_some();
        let (held, waiting): (Vec<_>, Vec<_>) = due.map(|(_, request)| *request).partition(is_held);
        for request in waiting.into_iter().chain(held) {
            self.end(request, Refusal::DeadlineExceeded);
        }
        while let Some((at_us, gateway)) = self.graces.first().copied() {
            if at_us > self.now_us {
                break;
            }
            self.graces.pop_first();
            self.close_inbox(gateway);
        }
    }

    /// When [`Self::tick`] has something to do.
    #[must_use]
    pub fn next_deadline(&self, disk: Disk<'_>) -> Option<Micros> {
        let deadline = self.deadlines.first().map(|(at_us, _)| *at_us);
        let grace = self.graces.first().map(|(at_us, _)| *at_us);
        let wait = self.waits.first().map(|(at_us, _)| *at_us);
        let expiry = disk.ledger.requests().next_expiry(&self.limits);
        let expiry = expiry.map(|at_ms| at_ms * 1_000);
        [deadline, grace, wait, expiry].into_iter().flatten().min()
    }

    /// The broker is going to stop: no new requests, while those that are held may be answered.
    pub fn drain(&mut self, now_us: Micros) {
        self.advance(now_us);
        self.draining = true;
        self.leave_lines();
        let waiting = self
            .open
            .iter()
            .filter(|(_, open)| open.lease().is_none() && open.on_disk.is_none());
        let waiting: Vec<RequestId> = waiting.map(|(request, _)| *request).collect();
        for request in waiting {
            self.end(request, Refusal::ShuttingDown);
        }
    }

    /// What is to be told since this was last asked.
    pub fn take_output(&mut self) -> RequestOutput {
        std::mem::take(&mut self.output)
    }

    /// Every service that was counted since the start: its totals, the requests in line, and those
    /// that its workers hold.
    pub fn totals(&self) -> impl Iterator<Item = (&QueueName, &ServiceTotals, u64, u64)> {
        self.totals.iter().map(|(name, totals)| {
            let service = self.services.get(name);
            let waiting = service.map_or(0, |service| service.waiting_len as u64);
            let servers = service.into_iter().flat_map(|service| &service.servers);
            let held = servers.filter_map(|key| self.servers.get(key));
            let held = held.map(|server| server.leases.len() as u64).sum();
            (name, totals, waiting, held)
        })
    }

    /// Requests that are open.
    #[must_use]
    pub fn open_len(&self) -> usize {
        self.open.len()
    }

    /// Requests that a broker waits for before it stops: not those that stay on the disk.
    #[must_use]
    pub fn unfinished_len(&self) -> usize {
        let stays = |open: &Open| open.on_disk.is_some() && open.lease().is_none();
        self.open.values().filter(|open| !stays(open)).count()
    }

    /// Nothing is left but what lives as long as its connections do: for tests.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        let idle = |server: &Server| server.leases.is_empty() && server.held_bytes == 0;
        self.open.is_empty()
            && self.tokens.is_empty()
            && self.deadlines.is_empty()
            && self.waits.is_empty()
            && self.waiting_bytes == 0
            && self.servers.values().all(idle)
            && self
                .services
                .values()
                .all(|service| service.waiting_len == 0)
    }

    fn advance(&mut self, now_us: Micros) {
        self.now_us = self.now_us.max(now_us);
    }

    fn answer(&mut self, to: ConnectionId, correlation: u64, done: Result<(), Refusal>) {
        let effect = match done {
            Ok(()) => RequestEffect::Done { correlation },
            Err(refusal) => RequestEffect::Refused {
                correlation,
                refusal,
            },
        };
        self.output.push((to, effect));
    }
}
