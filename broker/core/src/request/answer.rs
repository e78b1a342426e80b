//! Replies, bodies in parts, and the credit that parts come under.

use super::Requests;
use super::command::{Part, Reply, Side};
use super::effect::RequestEffect;
use super::open::{Source, Stage};
use super::trace::TraceKind;
use crate::effect::Refusal;
use crate::id::{ConnectionId, RequestId};

impl Requests {
    /// The reply of the worker that holds the request; taken once.
    pub(super) fn reply(&mut self, connection: ConnectionId, reply: Reply) {
        let Some(request) = self.held_by(connection, reply.token) else {
            let effect = RequestEffect::Ended {
                side: Side::Worker(reply.token),
                refusal: Refusal::LeaseLost,
                holder: None,
            };
            return self.output.push((connection, effect));
        };
        let Some(open) = self.open.get_mut(&request) else {
            return;
        };
        let is_on_disk = open.on_disk.is_some();
        let Stage::Held(lease) = open.stage else {
            // A second reply to a request that is being answered.
            return self.end(request, Refusal::BodyBroken);
        };
        open.stage = Stage::Replying(lease);
        let (gateway, more) = (open.gateway, reply.content.more);
        // One that is to be on the disk has begun once it is whole.
        if !is_on_disk {
            self.deadlines.remove(&(open.deadline_us, request));
        }
        if let Some(server) = self.servers.get_mut(&lease.server) {
            server.counts.replied(reply.status);
            let ran_us = self.now_us - lease.since_us;
            server.run_us.record(ran_us);
            self.totals.count(&server.service, |totals| {
                totals.counts.replied(reply.status);
                totals.run_us.record(ran_us);
            });
        }
        self.trace(request, TraceKind::Replied(reply.status));
        if is_on_disk {
            return self.reply_on_disk(request, reply);
        }
        let bytes = reply.content.payload.len() as u64;
        let effect = RequestEffect::Reply {
            request,
            status: reply.status,
            content: reply.content,
            replayed: false,
        };
        if !self.tell_caller(gateway, request, effect, bytes) {
            return self.end(request, Refusal::RequestLost);
        }
        if !more {
            self.finish(request);
        }
    }

    /// Whether this connection holds a lease of this token.
    #[must_use]
    pub fn is_held(&self, connection: ConnectionId, token: u64) -> bool {
        self.held_by(connection, token).is_some()
    }

    /// The request that this connection may still answer under this token.
    pub(super) fn held_by(&self, connection: ConnectionId, token: u64) -> Option<RequestId> {
        let request = *self.tokens.get(&token)?;
        let lease = self.open.get(&request)?.lease()?;
        let server = self.servers.get(&lease.server)?;
        (lease.token == token && server.connection == connection).then_some(request)
    }

    /// The next bytes of a body. What comes late is nobody's business any more.
    pub(super) fn part(&mut self, connection: ConnectionId, side: Side, part: Part) {
        if let Some((request, link)) = self.source_of(connection, side) {
            return self.body_part(request, link, part);
        }
        if let Side::Worker(token) = side
            && let Some(request) = self.held_by(connection, token)
        {
            self.reply_part(request, part);
        }
    }

    /// The request whose body comes from there, and over which link.
    fn source_of(&self, connection: ConnectionId, side: Side) -> Option<(RequestId, usize)> {
        match side {
            Side::Caller(request) => {
                let open = self.open.get(&request)?;
                let inbox = self.inboxes.get(&open.gateway)?;
                let link = open.link_from(Source::Caller)?;
                (inbox.connection == Some(connection)).then_some((request, link))
            }
            Side::Worker(token) => self.forwarder_of(connection, token),
        }
    }

    /// The request that was forwarded under this token, and the link that its forwarder feeds.
    fn forwarder_of(&self, connection: ConnectionId, token: u64) -> Option<(RequestId, usize)> {
        let request = *self.tokens.get(&token)?;
        let open = self.open.get(&request)?;
        let link = open.link_from(Source::Forwarder(connection, token))?;
        Some((request, link))
    }

    fn body_part(&mut self, request: RequestId, at: usize, part: Part) {
        let Some(open) = self.open.get_mut(&request) else {
            return;
        };
        let bytes = part.payload.len() as u64;
        if part.broken {
            return self.end(request, Refusal::BodyBroken);
        }
        if bytes > open.links[at].credit {
            return self.end(request, Refusal::StreamCreditExceeded);
        }
        open.links[at].credit -= bytes;
        let lease = open.lease().copied();
        let to = match at.checked_sub(1).map(|before| open.links[before].from) {
            Some(Source::Forwarder(connection, token)) => Some((connection, token)),
            _ => lease.and_then(|lease| {
                let server = self.servers.get(&lease.server)?;
                Some((server.connection, lease.token))
            }),
        };
        if !part.more {
            if let Stage::Waiting { content, .. } = &mut open.stage
                && at == 0
            {
                content.more = false;
            }
            // Whoever brought it needs no more from those behind it.
            let over = open.links.split_off(at);
            self.forget_links(&over, over.first().map(|link| link.from));
        }
        // Without a lease nobody has granted anything: the part is empty.
        if let Some((connection, token)) = to {
            let effect = RequestEffect::Part(Side::Worker(token), part);
            self.output.push((connection, effect));
        }
    }

    fn reply_part(&mut self, request: RequestId, part: Part) {
        let Some(open) = self.open.get_mut(&request) else {
            return;
        };
        let bytes = part.payload.len() as u64;
        let begun = matches!(open.stage, Stage::Replying(_));
        if part.broken || !begun {
            return self.end(request, Refusal::BodyBroken);
        }
        if bytes > open.reply_credit {
            return self.end(request, Refusal::StreamCreditExceeded);
        }
        open.reply_credit -= bytes;
        if open.on_disk.is_some() {
            return self.collect(request, &part);
        }
        let (gateway, more) = (open.gateway, part.more);
        let effect = RequestEffect::Part(Side::Caller(request), part);
        if !self.tell_caller(gateway, request, effect, bytes) {
            return self.end(request, Refusal::RequestLost);
        }
        if !more {
            self.finish(request);
        }
    }

    /// The receiver of a body asks for more of it.
    pub(super) fn credit(&mut self, connection: ConnectionId, side: Side, bytes: u64) {
        match side {
            Side::Caller(request) => self.reply_credit(connection, request, bytes),
            Side::Worker(token) => self.body_credit(connection, token, bytes),
        }
    }

    fn reply_credit(&mut self, connection: ConnectionId, request: RequestId, bytes: u64) {
        let Some(open) = self.open.get_mut(&request) else {
            return;
        };
        let inbox = self.inboxes.get(&open.gateway);
        if inbox.is_none_or(|inbox| inbox.connection != Some(connection)) {
            return;
        }
        open.reply_credit = open.reply_credit.saturating_add(bytes);
        let lease = open.lease().copied();
        if let Some(server) = lease.and_then(|lease| self.servers.get(&lease.server)) {
            let token = lease.map_or(0, |lease| lease.token);
            let effect = RequestEffect::Credit(Side::Worker(token), bytes);
            self.output.push((server.connection, effect));
        }
    }

    /// From the worker that holds the request, or from a forwarder that still reads of it.
    fn body_credit(&mut self, connection: ConnectionId, token: u64, bytes: u64) {
        let holder = self.held_by(connection, token).map(|request| (request, 0));
        let forwarder = self.forwarder_of(connection, token);
        let Some((request, at)) = holder.or(forwarder.map(|(request, at)| (request, at + 1)))
        else {
            return;
        };
        let Some(open) = self.open.get_mut(&request) else {
            return;
        };
        let Some(link) = open.links.get_mut(at) else {
            return;
        };
        link.credit = link.credit.saturating_add(bytes);
        link.asked = true;
        let (to, side) = match link.from {
            Source::Caller => {
                let inbox = self.inboxes.get(&open.gateway);
                let connection = inbox.and_then(|inbox| inbox.connection);
                (connection, Side::Caller(request))
            }
            Source::Forwarder(connection, token) => (Some(connection), Side::Worker(token)),
        };
        if let Some(to) = to {
            self.output.push((to, RequestEffect::Credit(side, bytes)));
        }
    }
}
