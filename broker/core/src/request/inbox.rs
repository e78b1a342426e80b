//! Where replies go. An inbox belongs to a client, not to a connection: after a lost connection it
//! waits a while for its client to come back, and keeps what comes meanwhile.

use std::collections::BTreeSet;

use std::sync::Arc;

use super::effect::RequestEffect;
use super::open::{Source, Stage};
use super::{Disk, Requests};
use crate::effect::Refusal;
use crate::id::{ConnectionId, GatewayId, Micros, RequestId};

/// What one thing that is kept takes beside its bytes, about.
const KEPT_BYTES: u64 = 256;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// None: lost.
    pub(super) connection: Option<ConnectionId>,
    /// Those that are open.
    pub(super) requests: BTreeSet<RequestId>,
    /// What came while the connection was lost, and the bytes that it takes.
    kept: Vec<(RequestId, RequestEffect, u64)>,
    grace_us: Micros,
}

impl Requests {
    /// A connection opens an inbox, or comes back to it.
    pub(super) fn claim(
        &mut self,
        connection: ConnectionId,
        gateway: GatewayId,
        (namespace, waiting): (&Arc<str>, &[RequestId]),
        disk: Disk<'_>,
    ) -> Result<(), Refusal> {
        let known = self.connections.entry(connection).or_default();
        if known.inbox.is_some_and(|known| known != gateway) {
            return Err(Refusal::BadArgument);
        }
        known.inbox = Some(gateway);
        let before = self
            .inboxes
            .get(&gateway)
            .and_then(|inbox| inbox.connection);
        if let Some(before) = before.filter(|before| *before != connection) {
            // The one that had it does not know yet that it is gone.
            if let Some(known) = self.connections.get_mut(&before) {
                known.inbox = None;
            }
            self.lose_inbox(gateway);
        }
        let inbox = self.inboxes.entry(gateway).or_default();
        inbox.connection = Some(connection);
        self.graces.remove(&(inbox.grace_us, gateway));
        let wanted: BTreeSet<RequestId> = waiting.iter().copied().collect();
        let given_up: Vec<RequestId> = inbox.requests.difference(&wanted).copied().collect();
        let kept = std::mem::take(&mut inbox.kept);
        let mut known = inbox.requests.clone();
        for request in given_up {
            self.end(request, Refusal::Cancelled);
        }
        for (request, effect, bytes) in kept {
            self.kept_bytes -= bytes;
            known.insert(request);
            if wanted.contains(&request) {
                self.output.push((connection, effect));
            }
        }
        for request in wanted.difference(&known) {
            // What is on the disk is lost with no connection and no broker.
            if disk.find(namespace, *request).is_some() {
                self.attach(connection, *request, false, disk);
            } else {
                self.end_unsent(connection, *request, Refusal::RequestLost);
            }
        }
        debug_assert!(self.inboxes.contains_key(&gateway), "it was opened above");
        Ok(())
    }

    /// Tells the caller, or keeps it for when it is back. False: there is no room for it.
    pub(super) fn tell_caller(
        &mut self,
        gateway: GatewayId,
        request: RequestId,
        effect: RequestEffect,
        bytes: u64,
    ) -> bool {
        let Some(inbox) = self.inboxes.get_mut(&gateway) else {
            return false;
        };
        if let Some(connection) = inbox.connection {
            self.output.push((connection, effect));
            return true;
        }
        let bytes = bytes + KEPT_BYTES;
        if self.kept_bytes + bytes > self.limits.waiting_bytes_max {
            // Half a reply is none: the client is told that it is lost when it comes back.
            let kept = &mut self.kept_bytes;
            inbox.kept.retain(|(of, _, bytes)| {
                if *of == request {
                    *kept -= bytes;
                }
                *of != request
            });
            return false;
        }
        self.kept_bytes += bytes;
        inbox.kept.push((request, effect, bytes));
        true
    }

    /// Its connection is gone. What was on its way in either direction cannot be made whole again,
    /// so those requests end; whole ones that are not answered yet go on.
    pub(super) fn lose_inbox(&mut self, gateway: GatewayId) {
        let grace_us = self.now_us + self.limits.inbox_grace_ms * 1_000;
        let Some(inbox) = self.inboxes.get_mut(&gateway) else {
            return;
        };
        inbox.connection = None;
        inbox.grace_us = grace_us;
        self.graces.insert((grace_us, gateway));
        let requests = inbox.requests.iter().copied();
        let torn = requests.filter(|request| {
            let open = self.open.get(request);
            open.is_some_and(|open| {
                open.link_from(Source::Caller).is_some() || matches!(open.stage, Stage::Replying(_))
            })
        });
        for request in torn.collect::<Vec<_>>() {
            self.end(request, Refusal::RequestLost);
        }
    }

    /// Nobody comes back to it.
    pub(super) fn close_inbox(&mut self, gateway: GatewayId) {
        let Some(inbox) = self.inboxes.get_mut(&gateway) else {
            return;
        };
        let requests = std::mem::take(&mut inbox.requests);
        for request in requests {
            self.end(request, Refusal::Cancelled);
        }
        if let Some(inbox) = self.inboxes.remove(&gateway) {
            let kept: u64 = inbox.kept.iter().map(|(_, _, bytes)| bytes).sum();
            self.kept_bytes -= kept;
            self.graces.remove(&(inbox.grace_us, gateway));
        }
    }
}
