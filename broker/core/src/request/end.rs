//! How requests end: answered, given up, too late, or with one of those who took part.

use std::sync::Arc;

use super::Requests;
use super::command::Side;
use super::effect::RequestEffect;
use super::open::{Lease, Link, Open, Source};
use super::trace::TraceKind;
use crate::effect::Refusal;
use crate::id::{ConnectionId, Micros, RequestId};

impl Requests {
    /// The whole reply has been told.
    pub(super) fn finish(&mut self, request: RequestId) {
        self.trace(request, TraceKind::Ended(None));
        if let Some(open) = self.remove(request) {
            self.tell_forwarders(&open.links, None, Refusal::Cancelled);
            self.reap(open.lease());
            self.dispatch(&open.service);
        }
    }

    /// Ends a request that has no whole reply, and tells everyone who does not know.
    pub(super) fn end(&mut self, request: RequestId, refusal: Refusal) {
        if self.is_on_disk(request) {
            return self.end_on_disk(request, refusal);
        }
        self.trace(request, TraceKind::Ended(Some(refusal)));
        let Some(open) = self.remove(request) else {
            return;
        };
        let mut holder = None;
        if let Some(lease) = open.lease() {
            if let Some(server) = self.servers.get_mut(&lease.server) {
                server.counts.ended(refusal);
                let name = &server.service;
                self.totals
                    .count(name, |totals| totals.counts.ended(refusal));
                holder = Some((Arc::from(&*server.service.name), Arc::clone(&server.info)));
                let connection = server.connection;
                self.tell_worker(connection, lease.token, refusal);
            }
        } else if let Some(service) = self.services.get_mut(&open.service) {
            match refusal {
                Refusal::DeadlineExceeded => service.expired += 1,
                Refusal::Cancelled => service.cancelled += 1,
                _ => {}
            }
            self.totals
                .count(&open.service, |totals| totals.left(refusal));
        }
        self.tell_forwarders(&open.links, None, refusal);
        if refusal != Refusal::Cancelled {
            let ended = RequestEffect::Ended {
                side: Side::Caller(request),
                refusal,
                holder,
            };
            // If even this cannot be kept, the caller hears of it when it asks.
            self.tell_caller(open.gateway, request, ended, 0);
        }
        self.reap(open.lease());
        self.dispatch(&open.service);
    }

    /// The caller does not want its reply any more.
    pub(super) fn cancel(&mut self, connection: ConnectionId, request: RequestId) {
        if self.is_on_disk(request) {
            return self.stop_waiting(connection, request);
        }
        let open = self.open.get(&request);
        let inbox = open.and_then(|open| self.inboxes.get(&open.gateway));
        if inbox.is_some_and(|inbox| inbox.connection == Some(connection)) {
            self.end(request, Refusal::Cancelled);
        }
    }

    /// A connection is gone. One that said goodbye does not come back for its replies.
    pub fn disconnect(&mut self, connection: ConnectionId, said_goodbye: bool, now_us: Micros) {
        self.advance(now_us);
        let Some(known) = self.connections.remove(&connection) else {
            return;
        };
        for request in known.waits.iter().copied() {
            self.forget_waits(connection, request);
        }
        // Their leases first, so that no request is given to a worker that is going, too.
        let servers: Vec<_> = known.servers.values().chain(&known.leaving).collect();
        for key in &servers {
            self.change_server(**key, |server| server.leaving = true);
        }
        for key in servers {
            let server = self.servers.get(key);
            let leases = server.map_or_else(Vec::new, |server| server.leases.iter().collect());
            let held = leases
                .into_iter()
                .filter_map(|token| self.tokens.get(token));
            for request in held.copied().collect::<Vec<_>>() {
                self.end(request, Refusal::WorkerLost);
            }
            self.remove_server(*key);
        }
        for token in known.forwarding {
            if let Some(request) = self.tokens.get(&token).copied() {
                self.end(request, Refusal::BodyBroken);
            }
        }
        if let Some(gateway) = known.inbox {
            self.lose_inbox(gateway);
            if said_goodbye {
                self.close_inbox(gateway);
            }
        }
    }

    pub(super) fn tell_worker(&mut self, connection: ConnectionId, token: u64, refusal: Refusal) {
        let ended = RequestEffect::Ended {
            side: Side::Worker(token),
            refusal,
            holder: None,
        };
        self.output.push((connection, ended));
    }

    /// Takes a request out of every list.
    pub(super) fn remove(&mut self, request: RequestId) -> Option<Open> {
        self.leave_line(request);
        let open = self.open.remove(&request)?;
        self.deadlines.remove(&(open.deadline_us, request));
        self.forget_tokens(&open.links);
        if let Some(lease) = open.lease() {
            self.release(lease);
        }
        if let Some(inbox) = self.inboxes.get_mut(&open.gateway) {
            inbox.requests.remove(&request);
        }
        Some(open)
    }

    /// Nobody brings parts over these any more; tells all but the one who knows.
    pub(super) fn forget_links(&mut self, links: &[Link], knows: Option<Source>) {
        self.forget_tokens(links);
        self.tell_forwarders(links, knows, Refusal::Cancelled);
    }

    fn forget_tokens(&mut self, links: &[Link]) {
        for link in links {
            if let Source::Forwarder(connection, token) = link.from {
                self.tokens.remove(&token);
                if let Some(known) = self.connections.get_mut(&connection) {
                    known.forwarding.remove(&token);
                }
            }
        }
    }

    fn tell_forwarders(&mut self, links: &[Link], knows: Option<Source>, refusal: Refusal) {
        for link in links.iter().filter(|link| Some(link.from) != knows) {
            if let Source::Forwarder(connection, token) = link.from {
                self.tell_worker(connection, token, refusal);
            }
        }
    }

    /// The worker has room for another request.
    pub(super) fn release(&mut self, lease: &Lease) {
        self.tokens.remove(&lease.token);
        self.change_server(lease.server, |server| {
            server.leases.remove(&lease.token);
            server.held_bytes -= lease.bytes;
        });
    }

    /// A worker that was waiting for its last lease to end goes.
    pub(super) fn reap(&mut self, lease: Option<&Lease>) {
        let Some(lease) = lease else { return };
        let server = self.servers.get(&lease.server);
        if server.is_some_and(|server| server.leaving && server.leases.is_empty()) {
            self.remove_server(lease.server);
        }
    }
}
