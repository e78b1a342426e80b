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
        let Stage::Held(lease) = open.stage else {
            // A second reply to a request that is being answered.
            return self.end(request, Refusal::BodyBroken);
        };
        open.stage = Stage::Replying(lease);
        let (gateway, more) = (open.gateway, reply.content.more);
        self.deadlines.remove(&(open.deadline_us, request));
        if let Some(server) = self.servers.get_mut(&lease.server) {
            server.counts.replied(reply.status);
            server.run_us.record(self.now_us - lease.since_us);
        }
        self.trace(request, TraceKind::Replied(reply.status));
        let bytes = reply.content.payload.len() as u64;
        let effect = RequestEffect::Reply {
            request,
            status: reply.status,
            content: reply.content,
        };
        if !self.tell_caller(gateway, request, effect, bytes) {
            return self.end(request, Refusal::RequestLost);
        }
        if !more {
            self.finish(request);
        }
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
        if let Some(request) = self.source_of(connection, side) {
            return self.body_part(request, part);
        }
        if let Side::Worker(token) = side
            && let Some(request) = self.held_by(connection, token)
        {
            self.reply_part(request, part);
        }
    }

    /// The request whose body comes from there.
    fn source_of(&self, connection: ConnectionId, side: Side) -> Option<RequestId> {
        match side {
            Side::Caller(request) => {
                let open = self.open.get(&request)?;
                let inbox = self.inboxes.get(&open.gateway)?;
                (open.source == Source::Caller && inbox.connection == Some(connection))
                    .then_some(request)
            }
            Side::Worker(token) => {
                let request = *self.tokens.get(&token)?;
                let source = self.open.get(&request)?.source;
                (source == Source::Forwarder(connection, token)).then_some(request)
            }
        }
    }

    fn body_part(&mut self, request: RequestId, part: Part) {
        let Some(open) = self.open.get_mut(&request) else {
            return;
        };
        let bytes = part.payload.len() as u64;
        if part.broken {
            return self.end(request, Refusal::BodyBroken);
        }
        if bytes > open.body_credit {
            return self.end(request, Refusal::StreamCreditExceeded);
        }
        open.body_credit -= bytes;
        let lease = open.lease().copied();
        if !part.more {
            if let Stage::Waiting { content, .. } = &mut open.stage {
                content.more = false;
            }
            let source = std::mem::replace(&mut open.source, Source::Nobody);
            self.forget_source(source);
        }
        // Without a lease nobody has granted anything: the part is empty.
        let Some(lease) = lease else {
            return;
        };
        if let Some(server) = self.servers.get(&lease.server) {
            let effect = RequestEffect::Part(Side::Worker(lease.token), part);
            self.output.push((server.connection, effect));
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

    fn body_credit(&mut self, connection: ConnectionId, token: u64, bytes: u64) {
        let Some(request) = self.held_by(connection, token) else {
            return;
        };
        let Some(open) = self.open.get_mut(&request) else {
            return;
        };
        open.body_credit = open.body_credit.saturating_add(bytes);
        open.body_asked = true;
        let (to, side) = match open.source {
            Source::Nobody => return,
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
