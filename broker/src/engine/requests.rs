//! Requests to services on their way through the loop. Nothing of them waits for the journal: what
//! a turn takes in is told in the same turn.

use tokio::sync::OwnedSemaphorePermit;
use verteilt_core::{ConnectionId, RequestCommand, RequestEffect};

use super::run::Loop;
use crate::convert;

impl Loop {
    /// Decides what one read of a connection brought.
    pub(super) fn ask(
        &mut self,
        connection: ConnectionId,
        asks: Vec<(u64, RequestCommand)>,
        permit: OwnedSemaphorePermit,
    ) {
        let now_us = self.clock.now_us();
        if self.peers.contains_key(&connection) {
            for (correlation, command) in asks {
                self.requests
                    .handle(connection, correlation, command, now_us);
            }
        }
        // Decided: the next read may come.
        drop(permit);
    }

    /// Does what time asks for.
    pub(super) fn tick_requests(&mut self) {
        let Some(at_us) = self.requests.next_deadline() else {
            return;
        };
        let now_us = self.clock.now_us();
        if at_us <= now_us {
            self.requests.tick(now_us);
        }
    }

    pub(super) fn hold_requests(&mut self, connection: ConnectionId, held_back: bool) {
        let now_us = self.clock.now_us();
        self.requests.hold(connection, held_back, now_us);
    }

    pub(super) fn end_requests_of(&mut self, connection: ConnectionId, said_goodbye: bool) {
        let now_us = self.clock.now_us();
        self.requests.disconnect(connection, said_goodbye, now_us);
    }

    /// Tells what was decided.
    pub(super) fn tell_requests(&mut self) {
        for (to, effect) in self.requests.take_output() {
            let Some(peer) = self.peers.get(&to) else {
                continue;
            };
            self.meters.request(&effect);
            peer.outbox.append(|out| convert::tell(out, &effect));
            if let RequestEffect::Services { correlation, .. }
            | RequestEffect::Trace { correlation, .. }
            | RequestEffect::Refused { correlation, .. } = effect
            {
                peer.outbox.end_look(correlation);
            }
            self.touched.push(to);
        }
    }
}
