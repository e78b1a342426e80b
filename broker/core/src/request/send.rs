//! Requests in: accepted or refused, in line, given to a worker.

use std::sync::Arc;

use bytes::Bytes;

use super::Requests;
use super::command::{Content, NewRequest, Side};
use super::durable::OnDisk;
use super::effect::RequestEffect;
use super::open::{Lease, Link, Open, Source, Stage};
use super::service::ServerKey;
use super::trace::{Step, TraceKind};
use crate::command::QueueName;
use crate::effect::Refusal;
use crate::event::RequestEvent;
use crate::id::{ConnectionId, GatewayId, Micros, RequestId};

impl Requests {
    /// Accepts a request, or tells its caller at once why not.
    pub(super) fn send(&mut self, connection: ConnectionId, request: NewRequest) {
        let id = request.id;
        match self.may_send(connection, &request) {
            Ok(gateway) => self.accept(gateway, request, None),
            Err(refusal) => self.end_unsent(connection, id, refusal),
        }
    }

    fn may_send(
        &mut self,
        connection: ConnectionId,
        request: &NewRequest,
    ) -> Result<GatewayId, Refusal> {
        let known = self.connections.get(&connection);
        let gateway = known.and_then(|known| known.inbox);
        let gateway = gateway.ok_or(Refusal::InboxClosed)?;
        let inbox = self.inboxes.get(&gateway).ok_or(Refusal::InboxClosed)?;
        if self.draining {
            return Err(Refusal::ShuttingDown);
        }
        if self.open.contains_key(&request.id) {
            return Err(Refusal::RequestExists);
        }
        if inbox.requests.len() >= self.limits.open_max {
            return Err(Refusal::RequestLimit);
        }
        let bytes = request.content.payload.len() as u64;
        self.may_enter(&request.service, &request.version, bytes)?;
        Ok(gateway)
    }

    /// Whether the service is there and has a worker or a place in line.
    pub(super) fn may_enter(
        &mut self,
        name: &QueueName,
        version: &Arc<str>,
        bytes: u64,
    ) -> Result<(), Refusal> {
        let service = self.services.get_mut(name).ok_or(Refusal::NoWorker)?;
        if !service.is_served(version) {
            return Err(Refusal::NoWorker);
        }
        let waits = service.next_free(version).is_none();
        let too_many = service.waiting_len >= self.limits.waiting_max
            || self.waiting_bytes + bytes > self.limits.waiting_bytes_max;
        if waits && too_many {
            service.refused += 1;
            self.totals.count(name, |totals| totals.refused += 1);
            return Err(Refusal::Busy);
        }
        Ok(())
    }

    pub(super) fn deadline_of(&self, request: &NewRequest) -> Micros {
        let deadline_ms = match request.deadline_ms {
            0 => self.limits.deadline_ms_default,
            ms => ms.min(self.limits.deadline_ms_max),
        };
        self.now_us + deadline_ms * 1_000
    }

    pub(super) fn accept(
        &mut self,
        gateway: GatewayId,
        request: NewRequest,
        on_disk: Option<Box<OnDisk>>,
    ) {
        let deadline_us = self.deadline_of(&request);
        let (id, more) = (request.id, request.content.more);
        let service = &request.service;
        let accepted = Step {
            kind: TraceKind::Accepted,
            at_us: self.now_us,
            service: Arc::clone(&self.services[service].name),
            worker: None,
            asked: Some((Arc::clone(&request.version), Arc::clone(&request.endpoint))),
        };
        let ids = (id, request.parent);
        let trace = self
            .traces
            .begin(&service.namespace, ids, gateway, accepted);
        if on_disk.is_none()
            && let Some(inbox) = self.inboxes.get_mut(&gateway)
        {
            inbox.requests.insert(id);
        }
        self.deadlines.insert((deadline_us, id));
        let open = Open {
            gateway,
            service: request.service,
            version: request.version,
            endpoint: request.endpoint,
            deadline_us,
            forwards: 0,
            // Replaced right below.
            stage: Stage::Waiting {
                order: 0,
                since_us: self.now_us,
                content: Content::default(),
            },
            links: if more {
                vec![Link::new(Source::Caller)]
            } else {
                Vec::new()
            },
            reply_credit: self.limits.reply_credit_bytes,
            on_disk,
            trace,
        };
        self.open.insert(id, open);
        self.enter(id, request.content);
    }

    /// Gives a request to a free worker of its service, or puts it in line.
    pub(super) fn enter(&mut self, request: RequestId, content: Content) {
        let open = &self.open[&request];
        let free = self.services.get(&open.service);
        // Whoever waits already goes first, and with a free worker nobody does.
        let free = free.and_then(|service| service.next_free(&open.version));
        // What is on the disk begins after the restart.
        let stays = self.draining && open.on_disk.is_some();
        match free.filter(|_| !stays) {
            Some(server) => self.give(request, server, content, self.now_us),
            None => self.line_up(request, content),
        }
    }

    pub(super) fn line_up(&mut self, request: RequestId, mut content: Content) {
        let (order, since_us) = (self.fresh_order(), self.now_us);
        let Some(open) = self.open.get_mut(&request) else {
            return;
        };
        content.payload = match open.on_disk {
            // It is read again when it is given to somebody.
            Some(_) => Bytes::new(),
            // It may wait for long, and must not keep alive all that came in the same read.
            None => Bytes::copy_from_slice(&content.payload),
        };
        // One that had a worker already comes before those that came later.
        let order = open.on_disk.as_ref().map_or(order, |on_disk| on_disk.order);
        let bytes = content.payload.len() as u64;
        self.waiting_bytes += bytes;
        let stays = self.draining && open.on_disk.is_some();
        let service = self.services.get_mut(&open.service);
        if let Some(service) = service.filter(|_| !stays) {
            service.wait(&open.version, order, request, bytes);
        }
        open.stage = Stage::Waiting {
            order,
            since_us,
            content,
        };
        self.trace(request, TraceKind::Waiting);
    }

    pub(super) fn fresh_order(&mut self) -> u64 {
        self.next_order += 1;
        self.next_order - 1
    }

    /// A request in line gets a worker.
    fn call_up(&mut self, request: RequestId, server: ServerKey) {
        if let Some((content, since_us)) = self.leave_line(request) {
            self.give(request, server, content, since_us);
        }
    }

    /// Takes a request out of its line, if it stands in one.
    pub(super) fn leave_line(&mut self, request: RequestId) -> Option<(Content, Micros)> {
        let open = self.open.get_mut(&request)?;
        let Stage::Waiting {
            order,
            since_us,
            content,
        } = &mut open.stage
        else {
            return None;
        };
        let (content, order, since_us) = (std::mem::take(content), *order, *since_us);
        let bytes = content.payload.len() as u64;
        if let Some(service) = self.services.get_mut(&open.service) {
            service.unwait(&open.version, order, bytes);
        }
        self.waiting_bytes -= bytes;
        Some((content, since_us))
    }

    fn give(&mut self, request: RequestId, key: ServerKey, content: Content, since_us: Micros) {
        let token = self.next_token;
        self.next_token += 1;
        let (Some(open), Some(server)) = (self.open.get_mut(&request), self.servers.get_mut(&key))
        else {
            return;
        };
        let Some(service) = self.services.get_mut(&open.service) else {
            return;
        };
        let bytes = match &open.on_disk {
            Some(on_disk) => u64::from(on_disk.body.length),
            None => content.payload.len() as u64,
        };
        service.lift(key, server);
        server.turn = service.next_turn();
        server.leases.insert(token);
        server.held_bytes += bytes;
        let waited_us = self.now_us - since_us;
        server.wait_us.record(waited_us);
        self.totals.count(&server.service, |totals| {
            totals.wait_us.record(waited_us);
        });
        service.put(key, server);
        open.stage = Stage::Held(Lease {
            token,
            server: key,
            since_us: self.now_us,
            bytes,
        });
        let left_us = open.deadline_us.saturating_sub(self.now_us);
        let effect = RequestEffect::Deliver {
            subscription: server.subscription,
            token,
            request,
            gateway: open.gateway,
            endpoint: Arc::clone(&open.endpoint),
            deadline_ms: left_us.div_ceil(1_000).max(1),
            forwards: open.forwards,
            attempt: open.on_disk.as_mut().map_or(0, |on_disk| on_disk.start()),
            content,
        };
        let to = server.connection;
        match &open.on_disk {
            Some(on_disk) => {
                let stored = on_disk.stored_beside(&effect);
                self.disk.events.push(RequestEvent::Started { request });
                self.disk.effects.push((to, effect, stored));
            }
            None => self.output.push((to, effect)),
        }
        self.tokens.insert(token, request);
        self.trace(request, TraceKind::Started);
    }

    /// Brings those who wait and workers with room together.
    pub(super) fn dispatch(&mut self, name: &QueueName) {
        while let Some(service) = self.services.get(name) {
            if service.waiting_len == 0 {
                return;
            }
            let Some((request, server)) = service.next_waiting() else {
                return;
            };
            self.call_up(request, server);
        }
    }

    /// The request never was.
    pub(super) fn end_unsent(
        &mut self,
        connection: ConnectionId,
        request: RequestId,
        refusal: Refusal,
    ) {
        let effect = RequestEffect::Ended {
            side: Side::Caller(request),
            refusal,
            holder: None,
        };
        self.output.push((connection, effect));
    }

    /// Remembers a step, at the place where the request is.
    pub(super) fn trace(&mut self, request: RequestId, kind: TraceKind) {
        let Some(open) = self.open.get(&request) else {
            return;
        };
        let (services, servers, at_us) = (&self.services, &self.servers, self.now_us);
        self.traces.step(open.trace, || {
            let server = open.lease().and_then(|lease| servers.get(&lease.server));
            let service = services.get(&open.service);
            let is_new = kind == TraceKind::Forwarded;
            Step {
                kind,
                at_us,
                service: service
                    .map_or_else(|| open.service.name.as_str().into(), |s| s.name.clone()),
                worker: server.map(|server| Arc::clone(&server.info)),
                asked: is_new.then(|| (Arc::clone(&open.version), Arc::clone(&open.endpoint))),
            }
        });
    }
}
