//! One connection as the loop sees it, and the answers of a round that are told in one frame.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::BytesMut;
use verteilt_core::{Caller, ConnectionId, Effect, JobId, SessionId};
use verteilt_protocol::{ErrorCode, FLAG_CUMULATIVE, FrameType, encode, encode_empty, wire};

use super::bodies::{Bodies, Source};
use super::parcels::Parcel;
use super::reader::Reader;
use super::streams::{Progress, Stream};
use crate::convert::{self, DeliveredJob, FRAME_ROOM_BYTES};
use crate::net::{OUTBOX_HIGH_BYTES, OUTBOX_MAX_BYTES, Outbox};

/// Answers to pushes in one frame.
const RESULTS_MAX: usize = 8_192;
/// Credit is given back with the answers; without any, once this much is owed, or half of it all:
/// what is left must always allow a push.
const CREDIT_OWED_BYTES: u64 = 128 * 1024;

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) session: SessionId,
    /// Correlation of its HELLO.
    pub(super) hello: u64,
    pub(super) outbox: Arc<Outbox>,
    /// It gets no more work until it has taken what waits.
    pub(super) held: bool,
    /// Push credit to give back.
    pub(super) credit_owed: u64,
    /// From how much on it is given back without an answer.
    credit_owed_max: u64,
    /// Subscriptions of topics, by the client's number.
    pub(super) readers: BTreeMap<u64, Reader>,
    /// Answers to publishes of this round.
    pub(super) published: Vec<wire::PublishResult>,
    results: Vec<wire::PushResult>,
    settled_upto: u64,
    streams: VecDeque<Stream>,
}

impl Peer {
    pub(super) fn new(
        session: SessionId,
        hello: u64,
        outbox: Arc<Outbox>,
        push_credit_bytes: u64,
    ) -> Self {
        Self {
            credit_owed_max: CREDIT_OWED_BYTES.min(push_credit_bytes / 2),
            session,
            hello,
            outbox,
            held: false,
            credit_owed: 0,
            readers: BTreeMap::new(),
            published: Vec::new(),
            results: Vec::new(),
            settled_upto: 0,
            streams: VecDeque::new(),
        }
    }

    /// Who asks when the connection itself is what a command is about.
    pub(super) fn caller(&self, connection: ConnectionId) -> Caller {
        Caller {
            connection,
            session: self.session,
            correlation: 0,
        }
    }

    /// An answer that needs no bodies. Those to pushes and settles are gathered.
    pub(super) fn tell(&mut self, effect: &Effect) {
        match effect {
            Effect::Pushed {
                correlation,
                first_id,
                count,
                duplicate,
            } => {
                let volatile = first_id.is_volatile();
                let durability = if volatile {
                    wire::Durability::Memory
                } else {
                    wire::Durability::Disk
                };
                self.results.push(wire::PushResult {
                    correlation: *correlation,
                    first_id: first_id.0,
                    count: *count,
                    durability: durability.into(),
                    duplicate: *duplicate,
                });
            }
            Effect::Settled {
                correlation,
                refused,
            } if refused.is_empty() => {
                self.settled_upto = self.settled_upto.max(*correlation);
            }
            other => {
                self.outbox.append(|out| convert::simple(out, other));
                if let Effect::Stats { correlation, .. } | Effect::Refused { correlation, .. } =
                    other
                {
                    self.outbox.end_look(*correlation);
                }
            }
        }
    }

    /// An answer with bodies. `false` if a body that must be there is missing.
    pub(super) fn hand_out(&mut self, parcel: Parcel, is_held: impl Fn(usize) -> bool) -> bool {
        match parcel.effect {
            Effect::Deliver {
                subscription,
                correlation,
                token,
                jobs,
            } => {
                let mut delivered = Vec::with_capacity(jobs.len());
                for (at, (delivery, body)) in jobs.into_iter().zip(parcel.bodies).enumerate() {
                    let Some((header_length, bytes)) = body else {
                        if is_held(at) {
                            return false;
                        }
                        continue;
                    };
                    let lease = (delivery.id, token, correlation);
                    delivered.push(self.pack(delivery, header_length, bytes, lease));
                }
                self.outbox.append(|out| {
                    convert::deliver(out, subscription, correlation, token, &delivered);
                });
            }
            Effect::Peeked { correlation, jobs } => {
                let pairs = jobs.into_iter().zip(parcel.bodies);
                let (jobs, bodies): (Vec<_>, Vec<_>) =
                    pairs.filter_map(|(job, body)| Some((job, body?))).unzip();
                self.outbox
                    .append(|out| convert::peeked(out, correlation, &jobs, &bodies));
                self.outbox.end_look(correlation);
            }
            _ => {}
        }
        true
    }

    fn pack(
        &mut self,
        delivery: verteilt_core::Delivery,
        header_length: u32,
        bytes: bytes::Bytes,
        lease: (JobId, u64, u64),
    ) -> DeliveredJob {
        if delivery.parts.is_empty() && bytes.len() <= FRAME_ROOM_BYTES {
            return DeliveredJob {
                delivery,
                header_length,
                bytes,
                to_come: 0,
            };
        }
        let mut delivery = delivery;
        let parts = std::mem::take(&mut delivery.parts);
        let to_come = u64::from(delivery.length) - u64::from(header_length);
        let last = bytes.slice(header_length as usize..);
        self.streams
            .push_back(Stream::new(lease, parts, last, to_come));
        let bytes = bytes.slice(..header_length as usize);
        DeliveredJob {
            delivery,
            header_length,
            bytes,
            to_come,
        }
    }

    /// Sends parts of large bodies while there is room; returns what has to be read first.
    ///
    /// # Errors
    /// The job and lease token whose next part lies nowhere; its stream is given up.
    pub(super) fn pump(&mut self, bodies: &Bodies) -> Result<Option<Source>, (JobId, u64)> {
        while let Some(stream) = self.streams.front_mut() {
            if self.outbox.is_closed() {
                self.streams.clear();
            } else if self.outbox.len() > OUTBOX_HIGH_BYTES {
                return Ok(None);
            } else {
                let mut progress = Progress::Missing;
                self.outbox
                    .append(|out| progress = stream.go_on(out, bodies));
                match progress {
                    Progress::Sent => {}
                    Progress::Ended => drop(self.streams.pop_front()),
                    Progress::Needs(source) => return Ok(Some(source)),
                    Progress::Missing if self.outbox.is_closed() => self.streams.clear(),
                    Progress::Missing => {
                        let lease = stream.lease();
                        self.streams.pop_front();
                        return Err(lease);
                    }
                }
            }
        }
        Ok(None)
    }

    /// A client that lets its replies wait for ever must not cost the broker its memory.
    pub(super) fn give_up_if_overfull(&self) {
        if self.outbox.len() > OUTBOX_MAX_BYTES {
            let text = "the client takes too little of what it asked for";
            self.outbox
                .append(|out| convert::refused(out, 0, ErrorCode::Busy, text));
            self.outbox.close();
        }
    }

    /// Whether parts of a large body are still to be sent.
    pub(super) fn is_streaming(&self) -> bool {
        !self.streams.is_empty()
    }

    /// Ends a round: what was gathered is told.
    pub(super) fn flush(&mut self, give_credit: bool) {
        let settled = std::mem::take(&mut self.settled_upto);
        let results = std::mem::take(&mut self.results);
        let published = std::mem::take(&mut self.published);
        let has_answers = !results.is_empty() || !published.is_empty();
        let credit_due = give_credit
            && (self.credit_owed >= self.credit_owed_max || (self.credit_owed > 0 && has_answers));
        if settled == 0 && !has_answers && !credit_due {
            return;
        }
        let credit = if credit_due {
            std::mem::take(&mut self.credit_owed)
        } else {
            0
        };
        self.outbox.grant(credit);
        self.outbox.append(|out| {
            if settled > 0 {
                encode_empty(out, FrameType::Ok, FLAG_CUMULATIVE, settled);
            }
            // The credit comes once, with whichever answer there is.
            let with_published = results.is_empty() && !published.is_empty();
            publish_answers(out, published, if with_published { credit } else { 0 });
            push_answers(out, results, if with_published { 0 } else { credit });
        });
    }
}

fn publish_answers(out: &mut BytesMut, mut results: Vec<wire::PublishResult>, credit: u64) {
    while results.len() > RESULTS_MAX {
        let later = results.split_off(RESULTS_MAX);
        convert::published(out, std::mem::replace(&mut results, later), 0);
    }
    if !results.is_empty() {
        convert::published(out, results, credit);
    }
}

fn push_answers(out: &mut BytesMut, mut results: Vec<wire::PushResult>, credit: u64) {
    if results.is_empty() {
        if credit > 0 {
            let message = wire::PushCredit { bytes: credit };
            encode(out, FrameType::PushCredit, 0, 0, &message, &[]);
        }
        return;
    }
    while results.len() > RESULTS_MAX {
        let later = results.split_off(RESULTS_MAX);
        convert::pushed(out, std::mem::replace(&mut results, later), 0);
    }
    convert::pushed(out, results, credit);
}

#[cfg(test)]
mod tests {
    use verteilt_protocol::decode;

    use super::*;

    #[tokio::test]
    async fn a_client_with_little_credit_gets_it_back_without_an_answer() {
        let outbox = Arc::new(Outbox::new(1_000));
        let mut peer = Peer::new(SessionId(1), 1, Arc::clone(&outbox), 1_000);
        assert!(outbox.spend(900));
        peer.credit_owed = 900;
        // The journal was full when the answer left; now it is not.
        peer.flush(false);
        peer.flush(true);
        let mut frames = outbox.take(BytesMut::new()).await.expect("it is open");
        let frame = decode(&mut frames).unwrap().expect("a whole one");
        let credit: wire::PushCredit = frame.message().unwrap();
        assert_eq!(credit.bytes, 900);
        assert!(outbox.spend(900));
    }
}
