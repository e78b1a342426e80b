//! Records on their way out. A reader is woken when a partition of its has new durable records, when
//! something that it waits for was read, when credit comes back, or when its peer has taken what
//! waited; it sends while there is credit and room, and never waits itself.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;
use verteilt_core::{Assignment, ConnectionId, Ledger, PartitionId, TopicEffect};
use verteilt_protocol::wire;

use super::bodies::Source;
use super::peer::Peer;
use super::reader::{Next, Reader};
use super::records::Records;
use super::run::Loop;
use crate::convert;

/// With more than this waiting, a peer gets no further records.
const OUTBOX_RECORDS_BYTES: usize = 512 * 1024;

/// Who reads what.
#[derive(Debug, Default)]
pub(super) struct Audience {
    /// Connections and their subscriptions.
    readers: FxHashMap<PartitionId, BTreeSet<(ConnectionId, u64)>>,
    /// What is being read, and for which partition of whom.
    asked: FxHashMap<Source, Vec<(ConnectionId, u64, u32)>>,
}

impl Audience {
    fn leave(&mut self, connection: ConnectionId, number: u64, reader: &Reader) {
        for partition in reader.partitions() {
            if let Some(readers) = self.readers.get_mut(&partition) {
                readers.remove(&(connection, number));
                if readers.is_empty() {
                    self.readers.remove(&partition);
                }
            }
        }
    }

    fn join(&mut self, connection: ConnectionId, number: u64, reader: &Reader) {
        for partition in reader.partitions() {
            self.readers
                .entry(partition)
                .or_default()
                .insert((connection, number));
        }
    }
}

impl Loop {
    /// What concerns topics.
    pub(super) fn tell_topic(&mut self, to: ConnectionId, effect: TopicEffect) {
        let Some(peer) = self.peers.get_mut(&to) else {
            return;
        };
        match effect {
            TopicEffect::Assigned {
                subscription,
                topic,
                generation,
                partitions,
                credit_records,
                credit_bytes,
            } => {
                let reader = peer.readers.entry(subscription);
                let reader = reader.or_insert_with(|| Reader::new(topic));
                self.audience.leave(to, subscription, reader);
                reader.assign(&partitions, &self.engine.records);
                reader.set_credit(credit_records, credit_bytes);
                self.audience.join(to, subscription, reader);
                peer.tell_assigned(subscription, generation, &partitions);
            }
            TopicEffect::Credit {
                subscription,
                records,
                bytes,
            } => {
                if let Some(reader) = peer.readers.get_mut(&subscription) {
                    reader.set_credit(records, bytes);
                }
            }
            TopicEffect::Freed {
                subscription,
                partition,
                offset,
            } => {
                if let Some(reader) = peer.readers.get_mut(&subscription) {
                    reader.consumed(partition, offset);
                }
            }
            TopicEffect::Ended {
                subscription,
                deleted,
            } => {
                if let Some(reader) = peer.readers.remove(&subscription) {
                    self.audience.leave(to, subscription, &reader);
                }
                if deleted {
                    peer.tell_ended(subscription);
                }
            }
            answer => peer.answer(answer),
        }
    }

    /// The connection is gone.
    pub(super) fn drop_peer(&mut self, connection: ConnectionId) -> Option<Peer> {
        self.parcels.forget(connection);
        let peer = self.peers.remove(&connection)?;
        for (number, reader) in &peer.readers {
            self.audience.leave(connection, *number, reader);
        }
        Some(peer)
    }

    /// Wakes those who read partitions that have new durable records.
    pub(super) fn wake_readers(&mut self) {
        for partition in self.engine.records.take_fresh() {
            let readers = self.audience.readers.get(&partition);
            for (connection, number) in readers.into_iter().flatten() {
                let peer = self.peers.get_mut(connection);
                if let Some(reader) = peer.and_then(|peer| peer.readers.get_mut(number)) {
                    reader.wake(partition.number);
                    self.touched.push(*connection);
                }
            }
        }
    }

    /// Something was read, or has moved: whoever waited for it goes on at once, before it can fall
    /// out of the cache again.
    pub(super) fn go_on_reading(&mut self, source: Source) {
        for (connection, number, partition) in
            self.audience.asked.remove(&source).unwrap_or_default()
        {
            let peer = self.peers.get_mut(&connection);
            if let Some(reader) = peer.and_then(|peer| peer.readers.get_mut(&number)) {
                reader.wake(partition);
                self.send_records(connection);
            }
        }
    }

    /// Sends what credit and room allow; asks for what has to be read.
    pub(super) fn send_records(&mut self, connection: ConnectionId) {
        let Some(peer) = self.peers.get_mut(&connection) else {
            return;
        };
        if peer.readers.is_empty() || peer.outbox.is_closed() {
            return;
        }
        let (records, ledger) = (&self.engine.records, self.engine.shard().ledger());
        let mut delivered = 0;
        for (number, partition, source, ahead) in peer.send_records(records, ledger, &mut delivered)
        {
            let waiting = self.audience.asked.entry(source).or_default();
            waiting.push((connection, number, partition));
            self.parcels.want(source);
            if let Some(source) = ahead {
                self.parcels.want(source);
            }
        }
        self.meters.records_delivered(delivered);
    }
}

/// Subscription, partition, what it waits for, and what it will need next.
type Waits = (u64, u32, Source, Option<Source>);

impl Peer {
    /// Answers that concern no reader.
    fn answer(&mut self, effect: TopicEffect) {
        match effect {
            TopicEffect::Published {
                correlation,
                partition,
                first_offset,
                count,
                duplicate,
            } => self.published.push(wire::PublishResult {
                correlation,
                partition,
                first_offset,
                count,
                durability: wire::Durability::Disk.into(),
                duplicate,
            }),
            TopicEffect::Topics {
                correlation,
                topics,
                more,
            } => {
                self.outbox
                    .append(|out| convert::topics(out, correlation, &topics, more));
                self.outbox.end_look(correlation);
            }
            TopicEffect::Groups {
                correlation,
                groups,
                more,
            } => {
                self.outbox
                    .append(|out| convert::groups(out, correlation, groups, more));
                self.outbox.end_look(correlation);
            }
            TopicEffect::Assigned { .. }
            | TopicEffect::Credit { .. }
            | TopicEffect::Freed { .. }
            | TopicEffect::Ended { .. } => unreachable!("told where readers are known"),
        }
    }

    fn tell_assigned(&self, subscription: u64, generation: u64, partitions: &[Assignment]) {
        let assigned = wire::TopicAssigned {
            subscription,
            generation,
            partitions: partitions.iter().map(|at| at.partition).collect(),
            offsets: partitions.iter().map(|at| at.offset).collect(),
            ended: false,
        };
        self.outbox.append(|out| convert::assigned(out, &assigned));
    }

    fn tell_ended(&self, subscription: u64) {
        let ended = wire::TopicAssigned {
            subscription,
            ended: true,
            ..wire::TopicAssigned::default()
        };
        self.outbox.append(|out| convert::assigned(out, &ended));
    }

    fn send_records(
        &mut self,
        records: &Records,
        ledger: &Ledger,
        delivered: &mut u64,
    ) -> Vec<Waits> {
        let mut waits = Vec::new();
        for (number, reader) in &mut self.readers {
            while self.outbox.len() <= OUTBOX_RECORDS_BYTES {
                match reader.next(records, ledger) {
                    Next::Send(frame) => {
                        *delivered += frame.tables.count() as u64;
                        self.outbox
                            .append(|out| convert::records(out, *number, frame));
                    }
                    Next::Load(partition, source) => {
                        let ahead = reader.ahead(partition, records);
                        waits.push((*number, partition, source, ahead));
                    }
                    Next::Rest => break,
                }
            }
        }
        waits
    }
}
