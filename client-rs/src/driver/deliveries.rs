//! Jobs on their way in: to their subscription or reserve, large bodies put together first.

use std::sync::{Arc, Weak};

use bytes::{Bytes, BytesMut};
use rustc_hash::{FxHashMap, FxHashSet};
use tokio::time::Instant;
use verteilt_protocol::{split_payload, wire};

use super::timer::earlier;
use crate::consumer::RecordInbox;
use crate::error::ClientError;
use crate::lot::Lot;
use crate::subscription::Inbox;

/// Lots that are forgotten are looked for when there are this many, then at twice what is left.
const LOTS_SWEPT_AT: usize = 1_024;

/// A DELIVER frame of which bodies are still to come.
pub(super) struct Assembly {
    pub(super) correlation: u64,
    pub(super) message: wire::Deliver,
    pub(super) payload: Bytes,
    parts: FxHashMap<u64, Part>,
    lost: Vec<u64>,
}

struct Part {
    index: usize,
    body: BytesMut,
    to_come: u64,
}

/// A DELIVER frame that is complete.
pub(super) struct Delivered {
    pub(super) correlation: u64,
    pub(super) message: wire::Deliver,
    pub(super) payload: Bytes,
    pub(super) assembled: Vec<(usize, Bytes)>,
    pub(super) lost: Vec<u64>,
}

/// See the module.
pub(super) struct Deliveries {
    subscriptions: FxHashMap<u64, Arc<Inbox>>,
    consumers: FxHashMap<u64, Arc<RecordInbox>>,
    /// By token.
    lots: FxHashMap<u64, Weak<Lot>>,
    lots_swept_at: usize,
    /// By token.
    assemblies: FxHashMap<u64, Assembly>,
    /// Subscriptions that the broker asked to come again with.
    again: Vec<(Instant, u64)>,
}

impl Deliveries {
    pub(super) fn new() -> Self {
        Self {
            subscriptions: FxHashMap::default(),
            consumers: FxHashMap::default(),
            lots: FxHashMap::default(),
            lots_swept_at: LOTS_SWEPT_AT,
            assemblies: FxHashMap::default(),
            again: Vec::new(),
        }
    }

    pub(super) fn register(&mut self, inbox: Arc<Inbox>) {
        self.subscriptions.insert(inbox.subscription, inbox);
    }

    pub(super) fn unregister(&mut self, subscription: u64) -> Option<Arc<Inbox>> {
        self.subscriptions.remove(&subscription)
    }

    pub(super) fn register_consumer(&mut self, inbox: Arc<RecordInbox>) {
        self.consumers.insert(inbox.subscription, inbox);
    }

    pub(super) fn unregister_consumer(&mut self, subscription: u64) -> Option<Arc<RecordInbox>> {
        self.consumers.remove(&subscription)
    }

    pub(super) fn consumer(&self, subscription: u64) -> Option<&Arc<RecordInbox>> {
        self.consumers.get(&subscription)
    }

    pub(super) fn consumers(&self) -> impl Iterator<Item = &Arc<RecordInbox>> {
        self.consumers.values()
    }

    pub(super) fn inbox(&self, subscription: u64) -> Option<&Arc<Inbox>> {
        self.subscriptions.get(&subscription)
    }

    pub(super) fn inboxes(&self) -> impl Iterator<Item = &Arc<Inbox>> {
        self.subscriptions.values()
    }

    /// A new connection: bodies that were half here are delivered anew.
    pub(super) fn reconnected(&mut self) {
        self.assemblies.clear();
        self.again.clear();
        self.consumers
            .values()
            .for_each(|inbox| inbox.reconnected());
    }

    /// Subscribes again at this time.
    pub(super) fn again_at(&mut self, at: Instant, subscription: u64) {
        self.again.push((at, subscription));
    }

    /// Subscriptions to send again now, and when the next ones are due.
    pub(super) fn take_again(&mut self, now: Instant) -> (Vec<u64>, Option<Instant>) {
        let due = self
            .again
            .extract_if(.., |(at, _)| *at <= now)
            .map(|(_, id)| id)
            .collect();
        (due, self.again_due())
    }

    pub(super) fn again_due(&self) -> Option<Instant> {
        self.again
            .iter()
            .map(|(at, _)| *at)
            .fold(None, |least, at| earlier(least, Some(at)))
    }

    /// A DELIVER frame; `None`: parts of it are still to come.
    pub(super) fn deliver(
        &mut self,
        correlation: u64,
        message: wire::Deliver,
        payload: Bytes,
        body_bytes_max: u64,
    ) -> Result<Option<Delivered>, ClientError> {
        if message.lengths_to_come.iter().all(|length| *length == 0) {
            let (assembled, lost) = (Vec::new(), Vec::new());
            return Ok(Some(Delivered {
                correlation,
                message,
                payload,
                assembled,
                lost,
            }));
        }
        let jobs = message.ids.len();
        if message.lengths_to_come.len() != jobs || message.body_lengths.len() != jobs {
            return Err(ClientError::protocol(
                "the lists of DELIVER differ in length",
            ));
        }
        let slices = split_payload(&payload, &message.header_lengths, &message.body_lengths)?;
        let mut parts = FxHashMap::default();
        for (index, job) in slices.enumerate() {
            let to_come = message.lengths_to_come[index];
            if to_come == 0 {
                continue;
            }
            if to_come.saturating_add(job.body.len() as u64) > body_bytes_max {
                return Err(ClientError::protocol(
                    "a body over the limit is being delivered",
                ));
            }
            let body = BytesMut::from(&job.body[..]);
            parts.insert(
                message.ids[index],
                Part {
                    index,
                    body,
                    to_come,
                },
            );
        }
        let token = message.token;
        let lost = Vec::new();
        let assembly = Assembly {
            correlation,
            message,
            payload,
            parts,
            lost,
        };
        self.assemblies.insert(token, assembly);
        Ok(None)
    }

    /// A DELIVER_PART frame; `Some`: the last one of its DELIVER.
    pub(super) fn part(
        &mut self,
        message: wire::DeliverPart,
        payload: &Bytes,
    ) -> Result<Option<Delivered>, ClientError> {
        let assembly = self.assemblies.get_mut(&message.token);
        let Some(part) = assembly.and_then(|assembly| assembly.parts.get_mut(&message.id)) else {
            // Of a lease that was lost meanwhile.
            return Ok(None);
        };
        if part.to_come.checked_sub(payload.len() as u64) != Some(message.to_come) {
            return Err(ClientError::protocol(
                "a part of a body is not as long as announced",
            ));
        }
        part.body.extend_from_slice(payload);
        part.to_come = message.to_come;
        Ok(self.take_complete(message.token))
    }

    fn take_complete(&mut self, token: u64) -> Option<Delivered> {
        let assembly = self.assemblies.get(&token)?;
        if assembly.parts.values().any(|part| part.to_come > 0) {
            return None;
        }
        let assembly = self.assemblies.remove(&token)?;
        let bodies = assembly.parts.into_values();
        Some(Delivered {
            correlation: assembly.correlation,
            message: assembly.message,
            payload: assembly.payload,
            assembled: bodies
                .map(|part| (part.index, part.body.freeze()))
                .collect(),
            lost: assembly.lost,
        })
    }

    /// Keeps an eye on a lot, so that its holders hear of lost leases.
    pub(super) fn watch(&mut self, lot: &Arc<Lot>) {
        self.lots.insert(lot.token(), Arc::downgrade(lot));
        if self.lots.len() >= self.lots_swept_at {
            self.lots.retain(|_, lot| lot.strong_count() > 0);
            self.lots_swept_at = (self.lots.len() * 2).max(LOTS_SWEPT_AT);
        }
    }

    /// The leases of jobs that are with somebody.
    pub(super) fn held(&self) -> Vec<(u64, u64)> {
        let lots = self.lots.values().filter_map(Weak::upgrade);
        lots.flat_map(|lot| lot.held().collect::<Vec<_>>())
            .collect()
    }

    /// Leases that have ended. Gives the frames that are complete without them.
    pub(super) fn lost(&mut self, leases: &[(u64, u64)]) -> Vec<Delivered> {
        let mut complete = Vec::new();
        let mut touched = FxHashSet::default();
        for (id, token) in leases {
            if let Some(lot) = self.lots.get(token).and_then(Weak::upgrade) {
                lot.mark_id_lost(*id);
            }
            if let Some(assembly) = self.assemblies.get_mut(token) {
                assembly.lost.push(*id);
                // What is not to come is not waited for.
                assembly.parts.remove(id);
                touched.insert(*token);
            }
        }
        complete.extend(
            touched
                .into_iter()
                .filter_map(|token| self.take_complete(token)),
        );
        complete
    }

    /// The client has ended, or is about to.
    pub(super) fn close_all(&mut self, error: Option<&ClientError>) {
        for (_, inbox) in self.subscriptions.drain() {
            inbox.close(error.cloned());
        }
        for (_, inbox) in self.consumers.drain() {
            inbox.close(error.cloned());
        }
    }
}
