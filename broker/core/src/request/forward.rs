//! A request that goes on to another service: same ids, same caller, what is left of its deadline.

use super::Requests;
use super::command::{Content, Forward};
use super::open::{Link, Source, Stage};
use super::trace::TraceKind;
use crate::effect::Refusal;
use crate::id::ConnectionId;

impl Requests {
    /// Refused, the lease stays with the worker, which may answer itself. Gives whether it is a
    /// request of durability `disk`.
    pub(super) fn forward(
        &mut self,
        connection: ConnectionId,
        mut forward: Forward,
    ) -> Result<bool, Refusal> {
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
        let asked = open.links.first().is_some_and(|link| link.asked);
        if forward.rest_from_caller && (asked || forward.content.more) {
            return Err(Refusal::BadArgument);
        }
        let is_on_disk = open.on_disk.is_some();
        let bytes = forward.content.payload.len() as u64;
        if !is_on_disk {
            self.may_enter(&forward.service, &forward.version, bytes)?;
        } else if forward.content.more {
            return Err(Refusal::BodyTooLarge);
        }

        if let Some(server) = self.servers.get_mut(&lease.server) {
            server.counts.forwarded += 1;
            let ran_us = self.now_us - lease.since_us;
            server.run_us.record(ran_us);
            self.totals.count(&server.service, |totals| {
                totals.counts.forwarded += 1;
                totals.run_us.record(ran_us);
            });
        }
        self.release(&lease);
        let Some(open) = self.open.get_mut(&request) else {
            return Ok(false);
        };
        let mut over = Vec::new();
        if forward.rest_from_caller {
            forward.content.more = !open.links.is_empty();
        } else if forward.content.more {
            // What it still reads itself may go into what it sends on.
            open.links
                .insert(0, Link::new(Source::Forwarder(connection, token)));
        } else {
            over = std::mem::take(&mut open.links);
        }
        let old = std::mem::replace(&mut open.service, forward.service);
        open.version = forward.version;
        open.endpoint = forward.endpoint;
        open.forwards += 1;
        open.stage = Stage::Waiting {
            order: 0,
            since_us: self.now_us,
            content: Content::default(),
        };
        if forward.content.more && !forward.rest_from_caller {
            self.tokens.insert(token, request);
            let known = self.connections.get_mut(&connection);
            known.map(|known| known.forwarding.insert(token));
        }
        self.forget_links(&over, None);
        if is_on_disk {
            self.pass_on_disk(request, &forward.content);
        }
        self.trace(request, TraceKind::Forwarded);
        self.enter(request, forward.content);
        self.reap(Some(&lease));
        self.dispatch(&old);
        Ok(is_on_disk)
    }
}
