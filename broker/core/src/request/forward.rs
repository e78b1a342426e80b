//! A request that goes on to another service: same ids, same caller, what is left of its deadline.

use super::Requests;
use super::command::{Content, Forward};
use super::open::{Source, Stage};
use super::trace::TraceKind;
use crate::effect::Refusal;
use crate::id::ConnectionId;

impl Requests {
    /// Refused, the lease stays with the worker, which may answer itself.
    pub(super) fn forward(
        &mut self,
        connection: ConnectionId,
        mut forward: Forward,
    ) -> Result<(), Refusal> {
        let token = forward.token;
        let request = self.held_by(connection, token);
        let request = request.ok_or(Refusal::LeaseLost)?;
        let open = self.open.get(&request).ok_or(Refusal::LeaseLost)?;
        let Stage::Held(lease) = open.stage else {
            return Err(Refusal::LeaseLost);
        };
        if open.forwards >= self.limits.forwards_max {
            return Err(Refusal::ForwardLimit);
        }
        if forward.rest_from_caller && (open.body_asked || forward.content.more) {
            return Err(Refusal::BadArgument);
        }
        let bytes = forward.content.payload.len() as u64;
        self.may_enter(&forward.service, &forward.version, bytes)?;

        if let Some(server) = self.servers.get_mut(&lease.server) {
            server.counts.forwarded += 1;
            server.run_us.record(self.now_us - lease.since_us);
        }
        self.release(&lease);
        let Some(open) = self.open.get_mut(&request) else {
            return Ok(());
        };
        let before = open.source;
        if forward.rest_from_caller {
            forward.content.more = before != Source::Nobody;
        } else if forward.content.more {
            open.source = Source::Forwarder(connection, token);
        } else {
            open.source = Source::Nobody;
        }
        let source = open.source;
        let old = std::mem::replace(&mut open.service, forward.service);
        open.version = forward.version;
        open.endpoint = forward.endpoint;
        open.forwards += 1;
        open.body_credit = 0;
        open.body_asked = false;
        open.stage = Stage::Waiting {
            order: 0,
            since_us: self.now_us,
            content: Content::default(),
        };
        if source != before {
            self.forget_source(before);
            if let Source::Forwarder(connection, token) = before {
                self.tell_worker(connection, token, Refusal::Cancelled);
            }
            if let Source::Forwarder(connection, token) = source {
                self.tokens.insert(token, request);
                let known = self.connections.get_mut(&connection);
                known.map(|known| known.forwarding.insert(token));
            }
        }
        self.trace(request, TraceKind::Forwarded);
        self.enter(request, forward.content);
        self.reap(Some(&lease));
        self.dispatch(&old);
        Ok(())
    }
}
