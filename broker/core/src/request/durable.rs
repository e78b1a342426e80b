//! Requests of durability `disk`: accepted once they are on the disk, given to one worker after the
//! other until one answers, with a result that is kept. Nobody's leaving ends one: its callers only
//! wait for it (`waiting.rs`).
//!
//! What is decided here is journaled, and told when it is durable; both go out by
//! [`Requests::take_disk_output`].

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::book::{Book, Entry, Stored};
use super::command::{Content, Durable, NewRequest, Part, Reply, Side};
use super::effect::{DiskOutput, RequestEffect, RequestResult};
use super::open::{Open, Stage};
use super::service::Service;
use super::trace::{Step, TraceKind};
use super::waiting::Waiter;
use super::{Disk, Requests};
use crate::command::QueueName;
use crate::effect::Refusal;
use crate::event::{AcceptedRequest, RequestEvent};
use crate::id::{ConnectionId, GatewayId, JobId, Micros, Millis, RequestId};

/// What is known of an open request beside what it has in common with those in memory.
#[derive(Debug)]
pub(super) struct OnDisk {
    pub(super) body: Stored,
    /// Its place in line, whenever it stands there.
    pub(super) order: u64,
    attempts: u16,
    pub(super) waiters: Vec<Waiter>,
    /// Its answer, as far as it has come.
    reply: Option<Collected>,
}

#[derive(Debug)]
struct Collected {
    status: u32,
    header_length: u32,
    payload: BytesMut,
}

impl OnDisk {
    fn new(body: Stored, order: u64, attempts: u16) -> Box<Self> {
        Box::new(Self {
            body,
            order,
            attempts,
            waiters: Vec::new(),
            reply: None,
        })
    }

    /// A worker gets it; returns which one this is, from 1.
    pub(super) fn start(&mut self) -> u16 {
        self.attempts = self.attempts.saturating_add(1);
        self.attempts
    }

    /// Where the body lies that the effect does not have.
    pub(super) fn stored_beside(&self, effect: &RequestEffect) -> Option<JobId> {
        let has_none = matches!(effect, RequestEffect::Deliver { content, .. }
            if content.payload.is_empty());
        (has_none && self.body.length > 0).then_some(self.body.id)
    }
}

impl Disk<'_> {
    /// What is known of a request of this namespace.
    pub(super) fn find(&self, namespace: &Arc<str>, request: RequestId) -> Option<&Entry> {
        let entry = self.ledger.requests().get(request);
        entry.filter(|entry| entry.namespace == *namespace)
    }
}

impl Requests {
    /// After a start: those that were accepted and have no result yet stand in line again.
    pub fn restore(&mut self, book: &Book, now_us: Micros) {
        self.advance(now_us);
        for (request, entry, work) in book.open() {
            let service = QueueName {
                namespace: Arc::clone(&entry.namespace),
                name: work.service.to_string(),
            };
            let (order, deadline_us) = (self.fresh_order(), work.deadline_ms * 1_000);
            let name = Arc::clone(&self.service_of(&service).name);
            let accepted = Step {
                kind: TraceKind::Accepted,
                at_us: entry.accepted_ms * 1_000,
                service: name,
                worker: None,
                asked: Some((Arc::clone(&work.version), Arc::clone(&work.endpoint))),
            };
            let (ids, nobody) = ((request, None), GatewayId(0));
            let trace = self.traces.begin(&entry.namespace, ids, nobody, accepted);
            self.deadlines.insert((deadline_us, request));
            let content = Content {
                header_length: work.body.header_length,
                ..Content::default()
            };
            let open = Open {
                gateway: GatewayId(0),
                service,
                version: Arc::clone(&work.version),
                endpoint: Arc::clone(&work.endpoint),
                deadline_us,
                forwards: work.forwards,
                // Replaced right below.
                stage: Stage::Waiting {
                    order,
                    since_us: now_us,
                    content: Content::default(),
                },
                links: Vec::new(),
                reply_credit: self.limits.reply_credit_bytes,
                on_disk: Some(OnDisk::new(work.body, order, work.attempts)),
                trace,
            };
            self.open.insert(request, open);
            self.line_up(request, content);
        }
    }

    /// What was decided since this was last asked, to be journaled now.
    pub fn take_disk_output(&mut self) -> DiskOutput {
        std::mem::take(&mut self.disk)
    }

    /// Accepts a request, finds that it is one that was accepted before, or tells why neither.
    pub(super) fn send_durable(
        &mut self,
        connection: ConnectionId,
        correlation: u64,
        (request, durable): (NewRequest, Durable),
        disk: Disk<'_>,
    ) {
        let id = request.id;
        match self.knows_or_may_accept(connection, &request, durable, disk) {
            Err(refusal) if durable.detach => {
                return self.answer(connection, correlation, Err(refusal));
            }
            Err(refusal) => return self.end_unsent(connection, id, refusal),
            Ok(true) if !durable.detach => return self.attach(connection, id, true, disk),
            Ok(true) => {}
            Ok(false) => {
                self.accept_on_disk(request, durable);
                if !durable.detach {
                    return self.attach(connection, id, false, disk);
                }
            }
        }
        let effect = RequestEffect::Accepted {
            correlation,
            request: id,
            known: disk.ledger.requests().get(id).is_some(),
        };
        self.tell_later(connection, effect, None);
    }

    fn knows_or_may_accept(
        &self,
        connection: ConnectionId,
        request: &NewRequest,
        durable: Durable,
        disk: Disk<'_>,
    ) -> Result<bool, Refusal> {
        let known = self.connections.get(&connection);
        if !durable.detach && known.is_none_or(|known| known.inbox.is_none()) {
            return Err(Refusal::InboxClosed);
        }
        let book = disk.ledger.requests();
        if let Some(entry) = book.get(request.id) {
            return if entry.namespace != request.service.namespace {
                Err(Refusal::RequestExists)
            } else if entry.fingerprint != durable.fingerprint {
                Err(Refusal::RequestMismatch)
            } else {
                Ok(true)
            };
        }
        if self.draining {
            return Err(Refusal::ShuttingDown);
        }
        if self.open.contains_key(&request.id) {
            return Err(Refusal::RequestExists);
        }
        if request.content.more {
            return Err(Refusal::BodyTooLarge);
        }
        if let Some(refusal) = disk.refusal {
            return Err(refusal);
        }
        if book.open_len() >= self.limits.accepted_max {
            return Err(Refusal::Busy);
        }
        Ok(false)
    }

    fn accept_on_disk(&mut self, request: NewRequest, durable: Durable) {
        let content = &request.content;
        let body = self.store(content);
        let accepted = AcceptedRequest {
            request: request.id,
            namespace: Arc::clone(&request.service.namespace),
            service: Arc::clone(&self.service_of(&request.service).name),
            version: Arc::clone(&request.version),
            endpoint: Arc::clone(&request.endpoint),
            deadline_ms: self.deadline_of(&request) / 1_000,
            fingerprint: durable.fingerprint,
            body: body.id,
            header_length: content.header_length,
            payload: content.payload.clone(),
        };
        let accepted = RequestEvent::Accepted(Box::new(accepted));
        self.disk.events.push(accepted);
        let on_disk = OnDisk::new(body, self.fresh_order(), 0);
        self.accept(GatewayId(0), request, Some(on_disk));
    }

    /// It was passed on, with this body.
    pub(super) fn pass_on_disk(&mut self, request: RequestId, content: &Content) {
        let (body, order) = (self.store(content), self.fresh_order());
        let Some(open) = self.open.get_mut(&request) else {
            return;
        };
        let (service, version) = (open.service.clone(), Arc::clone(&open.version));
        let endpoint = Arc::clone(&open.endpoint);
        if let Some(on_disk) = &mut open.on_disk {
            (on_disk.body, on_disk.order, on_disk.attempts) = (body, order, 0);
        }
        let passed = AcceptedRequest {
            request,
            service: Arc::clone(&self.service_of(&service).name),
            version,
            endpoint,
            body: body.id,
            header_length: content.header_length,
            payload: content.payload.clone(),
            ..AcceptedRequest::default()
        };
        let passed = RequestEvent::Forwarded(Box::new(passed));
        self.disk.events.push(passed);
    }

    /// The next body id, for this.
    fn store(&mut self, content: &Content) -> Stored {
        let id = self.next_body;
        self.next_body.0 += 1;
        Stored {
            id,
            header_length: content.header_length,
            length: content.payload.len() as u32,
        }
    }

    pub(super) fn is_on_disk(&self, request: RequestId) -> bool {
        let open = self.open.get(&request);
        open.is_some_and(|open| open.on_disk.is_some())
    }

    /// A worker has answered, at least in part.
    pub(super) fn reply_on_disk(&mut self, request: RequestId, reply: Reply) {
        let content = reply.content;
        if !content.more {
            return self.finish_on_disk(request, reply.status, content);
        }
        let bytes = content.payload.len() as u64;
        if self.kept_bytes + bytes > self.limits.waiting_bytes_max {
            return self.end(request, Refusal::Busy);
        }
        let Some(open) = self.open.get_mut(&request) else {
            return;
        };
        self.kept_bytes += bytes;
        // A part more than it may have shows that it has too much.
        let most = self.limits.stored_bytes_max + self.limits.reply_credit_bytes;
        let more = most.saturating_sub(bytes + open.reply_credit);
        open.reply_credit += more;
        let lease = open.lease().copied();
        if let Some(on_disk) = &mut open.on_disk {
            on_disk.reply = Some(Collected {
                status: reply.status,
                header_length: content.header_length,
                payload: BytesMut::from(&content.payload[..]),
            });
        }
        if let Some(lease) = lease
            && let Some(server) = self.servers.get(&lease.server)
        {
            let effect = RequestEffect::Credit(Side::Worker(lease.token), more);
            self.output.push((server.connection, effect));
        }
    }

    /// The next bytes of an answer.
    pub(super) fn collect(&mut self, request: RequestId, part: &Part) {
        let Some(open) = self.open.get_mut(&request) else {
            return;
        };
        let on_disk = open.on_disk.as_mut();
        let Some(reply) = on_disk.and_then(|on_disk| on_disk.reply.as_mut()) else {
            return;
        };
        let bytes = part.payload.len() as u64;
        if reply.payload.len() as u64 + bytes > self.limits.stored_bytes_max {
            return self.end(request, Refusal::BodyTooLarge);
        }
        if self.kept_bytes + bytes > self.limits.waiting_bytes_max {
            return self.end(request, Refusal::Busy);
        }
        self.kept_bytes += bytes;
        reply.payload.extend_from_slice(&part.payload);
        if !part.more {
            let content = Content {
                header_length: reply.header_length,
                payload: Bytes::copy_from_slice(&reply.payload),
                more: false,
            };
            let status = reply.status;
            self.finish_on_disk(request, status, content);
        }
    }

    fn finish_on_disk(&mut self, request: RequestId, status: u32, content: Content) {
        self.trace(request, TraceKind::Ended(None));
        self.drop_collected(request);
        let Some(open) = self.remove(request) else {
            return;
        };
        let body = self.store(&content);
        self.disk.events.push(RequestEvent::Replied {
            request,
            status,
            until_ms: self.kept_until(),
            body: body.id,
            header_length: content.header_length,
            payload: content.payload.clone(),
        });
        let result = RequestResult::Replied {
            status,
            content,
            kept_ms: self.limits.result_keep_ms,
        };
        self.settle_on_disk(request, open, &result);
    }

    /// What ends a request in memory. One on the disk is given to another worker if its worker is
    /// why; its deadline ends it, and nobody's leaving.
    pub(super) fn end_on_disk(&mut self, request: RequestId, refusal: Refusal) {
        let reason = match refusal {
            Refusal::WorkerLost | Refusal::BodyBroken | Refusal::Busy => refusal,
            Refusal::StreamCreditExceeded => Refusal::BodyBroken,
            Refusal::DeadlineExceeded | Refusal::BodyTooLarge => {
                return self.fail_on_disk(request, refusal);
            }
            _ => return,
        };
        let open = self.open.get(&request);
        let on_disk = open.and_then(|open| open.on_disk.as_ref());
        if on_disk.is_some_and(|on_disk| on_disk.attempts < self.limits.attempts_max) {
            self.run_again(request, reason);
        } else {
            self.fail_on_disk(request, reason);
        }
    }

    fn run_again(&mut self, request: RequestId, refusal: Refusal) {
        self.trace(request, TraceKind::Returned(refusal));
        self.drop_collected(request);
        let Some(open) = self.open.get_mut(&request) else {
            return;
        };
        let Some(lease) = open.lease().copied() else {
            return;
        };
        let header_length = open.on_disk.as_ref().map_or(0, |it| it.body.header_length);
        let service = open.service.clone();
        open.reply_credit = self.limits.reply_credit_bytes;
        open.stage = Stage::Waiting {
            order: 0,
            since_us: self.now_us,
            content: Content::default(),
        };
        self.tell_holder(&lease, refusal);
        self.release(&lease);
        let content = Content {
            header_length,
            ..Content::default()
        };
        self.enter(request, content);
        self.reap(Some(&lease));
        self.dispatch(&service);
    }

    fn fail_on_disk(&mut self, request: RequestId, refusal: Refusal) {
        self.trace(request, TraceKind::Ended(Some(refusal)));
        self.drop_collected(request);
        let open = self.open.get(&request);
        let lease = open.and_then(Open::lease).copied();
        let holder = lease.and_then(|lease| self.tell_holder(&lease, refusal));
        let Some(open) = self.remove(request) else {
            return;
        };
        if lease.is_none()
            && refusal == Refusal::DeadlineExceeded
            && let Some(service) = self.services.get_mut(&open.service)
        {
            service.expired += 1;
            self.totals
                .count(&open.service, |totals| totals.left(refusal));
        }
        self.disk.events.push(RequestEvent::Failed {
            request,
            refusal,
            holder: holder
                .as_ref()
                .map(|(name, _)| Arc::clone(name))
                .unwrap_or_default(),
            until_ms: self.kept_until(),
        });
        let result = RequestResult::Failed {
            refusal,
            holder,
            kept_ms: self.limits.result_keep_ms,
        };
        self.settle_on_disk(request, open, &result);
    }

    /// It has its result: whoever waits for it is told.
    fn settle_on_disk(&mut self, request: RequestId, mut open: Open, result: &RequestResult) {
        let on_disk = open.on_disk.take();
        let waiters = on_disk.map_or_else(Vec::new, |on_disk| on_disk.waiters);
        self.tell_waiters(request, waiters, result);
        self.reap(open.lease());
        self.dispatch(&open.service);
        self.drop_idle_service(&open.service);
    }

    /// The worker is told that the lease is over. Returns who it is.
    fn tell_holder(
        &mut self,
        lease: &super::open::Lease,
        refusal: Refusal,
    ) -> Option<super::effect::Holder> {
        let server = self.servers.get_mut(&lease.server)?;
        server.counts.ended(refusal);
        let name = &server.service;
        self.totals
            .count(name, |totals| totals.counts.ended(refusal));
        let holder = (Arc::from(&*server.service.name), Arc::clone(&server.info));
        let (to, side) = (server.connection, Side::Worker(lease.token));
        let effect = RequestEffect::Ended {
            side,
            refusal,
            holder: None,
        };
        self.tell_later(to, effect, None);
        Some(holder)
    }

    fn drop_collected(&mut self, request: RequestId) {
        let open = self.open.get_mut(&request);
        let on_disk = open.and_then(|open| open.on_disk.as_mut());
        if let Some(reply) = on_disk.and_then(|on_disk| on_disk.reply.take()) {
            self.kept_bytes -= reply.payload.len() as u64;
        }
    }

    /// Once what was decided so far is on the disk.
    pub(super) fn tell_later(
        &mut self,
        to: ConnectionId,
        effect: RequestEffect,
        stored: Option<JobId>,
    ) {
        self.disk.effects.push((to, effect, stored));
    }

    /// Results whose time is over are forgotten.
    pub(super) fn forget_results(&mut self, disk: Disk<'_>) {
        let now_ms = self.now_us / 1_000;
        let requests = disk.ledger.requests().expired(&self.limits, now_ms);
        if !requests.is_empty() {
            self.disk.events.push(RequestEvent::Forgotten { requests });
        }
    }

    fn kept_until(&self) -> Millis {
        self.now_us / 1_000 + self.limits.result_keep_ms
    }

    /// The broker is going to stop: those on the disk stay there, and begin after the restart.
    pub(super) fn leave_lines(&mut self) {
        for open in self.open.values().filter(|open| open.on_disk.is_some()) {
            if let Stage::Waiting { order, .. } = open.stage
                && let Some(service) = self.services.get_mut(&open.service)
            {
                Service::unwait(service, &open.version, order, 0);
            }
        }
    }
}
