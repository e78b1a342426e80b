//! Requests to services on their way through the loop. Nothing of those in memory waits for the
//! journal: what a turn takes in is told in the same turn. What is decided about those of durability
//! `disk` goes the way of all that is journaled.

use tokio::sync::OwnedSemaphorePermit;
use verteilt_core::{
    ConnectionId, Disk, JobId, Refusal, RequestCommand, RequestEffect, Requests, Side,
};

use super::bodies::Found;
use super::failure::Failure;
use super::run::Loop;
use super::step::Engine;
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
        self.decided += asks.len();
        if self.peers.contains_key(&connection) {
            for (correlation, command) in asks {
                let is_durable = matches!(&command, RequestCommand::Send(request)
                    if request.durable.is_some());
                let refusal = is_durable.then(|| self.refuses_more()).flatten();
                self.decide_requests(refusal, |requests, disk| {
                    requests.handle(connection, correlation, command, now_us, disk);
                });
            }
        }
        // Decided: the next read may come.
        drop(permit);
    }

    /// Why nothing more is taken onto the disk now, if so.
    fn refuses_more(&self) -> Option<Refusal> {
        if self.engine.shard().is_disk_full() {
            Some(Refusal::DiskFull)
        } else {
            self.is_overfull().then_some(Refusal::Busy)
        }
    }

    /// Does what time asks for.
    pub(super) fn tick_requests(&mut self) {
        let Some(at_us) = self.requests.next_deadline(disk(&self.engine, None)) else {
            return;
        };
        let now_us = self.clock.now_us();
        if at_us <= now_us {
            self.decide_requests(None, |requests, disk| requests.tick(now_us, disk));
        }
    }

    pub(super) fn hold_requests(&mut self, connection: ConnectionId, held_back: bool) {
        let now_us = self.clock.now_us();
        self.decide_requests(None, |requests, _| {
            requests.hold(connection, held_back, now_us);
        });
    }

    pub(super) fn end_requests_of(&mut self, connection: ConnectionId, said_goodbye: bool) {
        let now_us = self.clock.now_us();
        self.decide_requests(None, |requests, _| {
            requests.disconnect(connection, said_goodbye, now_us);
        });
    }

    pub(super) fn drain_requests(&mut self) {
        let now_us = self.clock.now_us();
        self.decide_requests(None, |requests, _| requests.drain(now_us));
    }

    /// What is decided for the disk is taken in before anything else is decided.
    fn decide_requests(
        &mut self,
        refusal: Option<Refusal>,
        decide: impl FnOnce(&mut Requests, Disk<'_>),
    ) {
        decide(&mut self.requests, disk(&self.engine, refusal));
        let decided = self.requests.take_disk_output();
        if !decided.is_empty() {
            self.engine.take_requests(self.clock.now_ms(), decided);
        }
    }

    /// Tells what was decided.
    pub(super) fn tell_requests(&mut self) {
        for (to, effect) in self.requests.take_output() {
            self.tell_request(to, &effect);
        }
    }

    /// Tells what is complete.
    pub(super) fn tell_request(&mut self, to: ConnectionId, effect: &RequestEffect) {
        let Some(peer) = self.peers.get(&to) else {
            return;
        };
        self.meters.request(effect);
        peer.outbox.append(|out| convert::tell(out, effect));
        if let RequestEffect::Services { correlation, .. }
        | RequestEffect::Trace { correlation, .. }
        | RequestEffect::Refused { correlation, .. } = effect
        {
            peer.outbox.end_look(*correlation);
        }
        self.touched.push(to);
    }

    /// Tells what lay on the disk in part: `body` is what was found there under `id`.
    pub(super) fn tell_stored(
        &mut self,
        to: ConnectionId,
        mut effect: RequestEffect,
        (id, body): (JobId, Option<Found>),
    ) -> Result<(), Failure> {
        let Some((request, content)) = effect.stored_content() else {
            return Ok(());
        };
        if let Some((_, bytes)) = body {
            content.payload = bytes;
        } else {
            let kept = self.engine.shard().ledger().requests().body_of(request);
            if kept.is_some_and(|kept| kept.id == id) {
                return Err(Failure::BodyMissing(id.0));
            }
            // It went while its body was on its way from the disk.
            effect = match effect {
                RequestEffect::Result { correlation, .. } => RequestEffect::Refused {
                    correlation,
                    refusal: Refusal::RequestUnknown,
                },
                RequestEffect::Reply { request, .. } => RequestEffect::Ended {
                    side: Side::Caller(request),
                    refusal: Refusal::RequestUnknown,
                    holder: None,
                },
                // Its worker is told that the lease is over.
                _ => return Ok(()),
            };
        }
        // A worker whose lease has ended meanwhile would work in vain.
        if let RequestEffect::Deliver { token, .. } = &effect
            && !self.requests.is_held(to, *token)
        {
            return Ok(());
        }
        self.tell_request(to, &effect);
        Ok(())
    }
}

pub(super) fn disk(engine: &Engine, refusal: Option<Refusal>) -> Disk<'_> {
    Disk {
        ledger: engine.shard().ledger(),
        refusal,
    }
}
