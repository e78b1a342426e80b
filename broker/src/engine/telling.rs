//! What goes out: effects that have become durable, to whom they concern.

use verteilt_core::{Command, ConnectionId, Effect, Job, JobId, Refusal, Shard};

use super::failure::Failure;
use super::parcels::Parcel;
use super::run::{Goodbye, Loop};
use crate::convert;
use crate::net::OUTBOX_HIGH_BYTES;

impl Loop {
    /// Tells everything that has become durable.
    pub(super) fn tell(&mut self) -> Result<(), Failure> {
        let effects: Vec<_> = self.engine.released().collect();
        for addressed in effects {
            self.meters.effect(&addressed.effect);
            self.tell_one(addressed.to, addressed.effect)?;
        }
        self.tell_requests();
        self.flush()?;
        let durable = self.engine.durable_lsn();
        if matches!(self.goodbye, Goodbye::After(lsn) if lsn <= durable) {
            self.say_goodbye(None);
        }
        let answered = self.leaving.partition_point(|(lsn, _)| *lsn <= durable);
        let answered: Vec<_> = self.leaving.drain(..answered).collect();
        for (_, connection) in answered {
            if let Some(peer) = self.drop_peer(connection) {
                peer.outbox.close();
            }
        }
        Ok(())
    }

    fn tell_one(&mut self, to: ConnectionId, effect: Effect) -> Result<(), Failure> {
        let Some(peer) = self.peers.get_mut(&to) else {
            return Ok(());
        };
        self.touched.push(to);
        match effect {
            Effect::Deliver { .. } | Effect::Peeked { .. } => {
                let packed = self.parcels.pack(to, effect, &self.engine.bodies);
                return packed.map_or(Ok(()), |parcel| self.hand_out(vec![(to, parcel)]));
            }
            Effect::Connected { leases_held } => {
                let (hello, epoch) = (peer.hello, self.engine.shard().epoch());
                let welcome = &self.welcome;
                peer.outbox
                    .append(|out| welcome.put(out, hello, epoch, leases_held));
                if self.goodbye == Goodbye::Said {
                    peer.outbox.append(|out| convert::goodbye(out, None));
                }
            }
            Effect::Replaced => {
                peer.tell(&effect);
                peer.outbox.close();
            }
            Effect::Topic(effect) => self.tell_topic(to, effect),
            Effect::Request {
                effect,
                stored: None,
            } => self.tell_request(to, &effect),
            Effect::Request { .. } => {
                let packed = self.parcels.pack(to, effect, &self.engine.bodies);
                return packed.map_or(Ok(()), |parcel| self.hand_out(vec![(to, parcel)]));
            }
            Effect::Refused {
                correlation,
                refusal: Refusal::DiskFull,
            } if let Some(room) = &self.room => {
                let text = room.explain();
                peer.outbox
                    .append(|out| convert::disk_full(out, correlation, &text));
            }
            other => peer.tell(&other),
        }
        Ok(())
    }

    /// Sends answers whose bodies are at hand.
    pub(super) fn hand_out(&mut self, parcels: Vec<(ConnectionId, Parcel)>) -> Result<(), Failure> {
        for (to, mut parcel) in parcels {
            if let Effect::Request { effect, .. } = parcel.effect {
                let body = parcel.bodies.pop().flatten();
                self.tell_stored(to, *effect, (parcel.ids[0], body))?;
                continue;
            }
            let Some(peer) = self.peers.get_mut(&to) else {
                continue;
            };
            let shard = self.engine.shard();
            let token = match &parcel.effect {
                Effect::Deliver { token, .. } => *token,
                _ => 0,
            };
            let ids = parcel.ids.clone();
            if !peer.hand_out(parcel, |at| holds(shard, ids[at], token)) {
                let lost = ids.first().map_or(0, |id| id.0);
                return Err(Failure::BodyMissing(lost));
            }
            self.touched.push(to);
        }
        Ok(())
    }

    /// Ends the turn for everyone something was gathered for.
    fn flush(&mut self) -> Result<(), Failure> {
        let give_credit = self.log.used_bytes() <= self.settings.journal_bytes_max;
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        let mut held = Vec::new();
        for connection in touched.drain(..) {
            let Some(peer) = self.peers.get_mut(&connection) else {
                continue;
            };
            peer.flush(give_credit);
            match peer.pump(&self.engine.bodies) {
                Ok(Some(source)) => self.parcels.want(source),
                Ok(None) => {}
                Err((id, token)) if holds(self.engine.shard(), id, token) => {
                    return Err(Failure::BodyMissing(id.0));
                }
                Err(_) => {}
            }
            self.send_records(connection);
            let Some(peer) = self.peers.get_mut(&connection) else {
                continue;
            };
            peer.give_up_if_overfull();
            if !peer.held && peer.outbox.len() > OUTBOX_HIGH_BYTES {
                peer.held = true;
                held.push((peer.caller(connection), Command::Hold(true)));
                self.hold_requests(connection, true);
            }
        }
        self.touched = touched;
        if !held.is_empty() {
            self.engine.step(self.clock.now_ms(), held);
        }
        Ok(())
    }

    /// Parts of large bodies that are not sent yet are tried again.
    pub(super) fn touch_streams(&mut self) {
        let streaming = self.peers.iter().filter(|(_, peer)| peer.is_streaming());
        self.touched
            .extend(streaming.map(|(connection, _)| *connection));
    }

    /// Tells every client, once.
    pub(super) fn say_goodbye(&mut self, failure: Option<&Failure>) {
        if self.goodbye != Goodbye::Said {
            self.goodbye = Goodbye::Said;
            for peer in self.peers.values() {
                let reason = failure.map(ToString::to_string);
                peer.outbox.append(|out| convert::goodbye(out, reason));
            }
        }
    }
}

/// Whether the lease is still good, so that its job's body must be there.
fn holds(shard: &Shard, id: JobId, token: u64) -> bool {
    let lease = shard.job(id).and_then(Job::lease);
    lease.is_some_and(|lease| lease.token == token)
}
