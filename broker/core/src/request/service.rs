//! Who serves what: services, their workers, and the requests that wait for one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::command::{Health, ServerInfo};
use super::stats::{Histogram, ServerCounts};
use crate::command::QueueName;
use crate::id::{ConnectionId, RequestId};

/// A SERVE of this run of the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ServerKey(pub(super) u64);

/// One worker: a subscription of a connection.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) connection: ConnectionId,
    pub(super) subscription: u64,
    pub(super) service: QueueName,
    pub(super) info: Arc<ServerInfo>,
    pub(super) credit_requests: u32,
    pub(super) credit_bytes: u64,
    pub(super) health: Health,
    /// Its connection has taken too little of what waits for it.
    pub(super) held_back: bool,
    /// It takes no more, and goes with its last lease.
    pub(super) leaving: bool,
    /// Leases by token.
    pub(super) leases: BTreeSet<u64>,
    pub(super) held_bytes: u64,
    /// When it was given its last request, in turns of the service.
    pub(super) turn: u64,
    pub(super) counts: ServerCounts,
    pub(super) wait_us: Histogram,
    pub(super) run_us: Histogram,
}

impl Server {
    /// New requests may be meant for it, now or once it has credit.
    pub(super) fn takes(&self) -> bool {
        self.health == Health::Healthy && !self.leaving
    }

    /// It may be given a request now.
    pub(super) fn is_free(&self) -> bool {
        self.takes()
            && !self.held_back
            && self.leases.len() < self.credit_requests as usize
            && (self.leases.is_empty() || self.held_bytes < self.credit_bytes)
    }
}

/// Fewest in flight first, then whoever waits longest.
type Place = (usize, u64, ServerKey);

/// A service with at least one worker, or with requests of durability `disk` that wait for one.
#[derive(Debug, Default)]
pub(super) struct Service {
    pub(super) name: Arc<str>,
    pub(super) servers: BTreeSet<ServerKey>,
    /// Workers that take new requests, by version.
    takers: BTreeMap<Arc<str>, usize>,
    /// Of those, the ones with room, by version.
    free: BTreeMap<Arc<str>, BTreeSet<Place>>,
    /// Requests by the version that they ask for and the order in which they came.
    waiting: BTreeMap<Arc<str>, BTreeMap<u64, RequestId>>,
    pub(super) waiting_len: usize,
    pub(super) waiting_bytes: u64,
    turn: u64,
    pub(super) refused: u64,
    pub(super) expired: u64,
    pub(super) cancelled: u64,
}

impl Service {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: Arc::from(name),
            ..Self::default()
        }
    }

    /// Whether somebody takes requests for this version; empty: any.
    pub(super) fn is_served(&self, version: &Arc<str>) -> bool {
        if version.is_empty() {
            return !self.takers.is_empty();
        }
        self.takers.contains_key(version)
    }

    /// Before a worker changes: it is taken out of the lists that it stands in.
    pub(super) fn lift(&mut self, key: ServerKey, server: &Server) {
        let version = &server.info.version;
        if server.takes()
            && let Some(count) = self.takers.get_mut(version)
        {
            *count -= 1;
            if *count == 0 {
                self.takers.remove(version);
            }
        }
        if let Some(free) = self.free.get_mut(version) {
            free.remove(&(server.leases.len(), server.turn, key));
            if free.is_empty() {
                self.free.remove(version);
            }
        }
    }

    /// After a worker has changed: it is put where it belongs now.
    pub(super) fn put(&mut self, key: ServerKey, server: &Server) {
        let version = &server.info.version;
        if server.takes() {
            match self.takers.get_mut(version) {
                Some(count) => *count += 1,
                None => drop(self.takers.insert(Arc::clone(version), 1)),
            }
        }
        if server.is_free() {
            let place = (server.leases.len(), server.turn, key);
            match self.free.get_mut(version) {
                Some(free) => drop(free.insert(place)),
                None => drop(
                    self.free
                        .insert(Arc::clone(version), BTreeSet::from([place])),
                ),
            }
        }
    }

    /// Whose turn it is.
    pub(super) fn next_free(&self, version: &Arc<str>) -> Option<ServerKey> {
        if version.is_empty() {
            let firsts = self.free.values().filter_map(BTreeSet::first);
            return firsts.min().map(|place| place.2);
        }
        self.free.get(version)?.first().map(|place| place.2)
    }

    pub(super) fn next_turn(&mut self) -> u64 {
        self.turn += 1;
        self.turn
    }

    pub(super) fn wait(&mut self, version: &Arc<str>, order: u64, request: RequestId, bytes: u64) {
        let line = self.waiting.entry(Arc::clone(version)).or_default();
        line.insert(order, request);
        self.waiting_len += 1;
        self.waiting_bytes += bytes;
    }

    pub(super) fn unwait(&mut self, version: &Arc<str>, order: u64, bytes: u64) {
        let Some(line) = self.waiting.get_mut(version) else {
            return;
        };
        if line.remove(&order).is_some() {
            self.waiting_len -= 1;
            self.waiting_bytes -= bytes;
        }
        if line.is_empty() {
            self.waiting.remove(version);
        }
    }

    /// The request that has waited longest among those that some free worker may take.
    pub(super) fn next_waiting(&self) -> Option<(RequestId, ServerKey)> {
        let heads = self.waiting.iter().filter_map(|(version, line)| {
            let (order, request) = line.first_key_value()?;
            Some((*order, *request, self.next_free(version)?))
        });
        let (_, request, server) = heads.min()?;
        Some((request, server))
    }

    /// Nobody serves it and nobody waits for it.
    pub(super) fn is_idle(&self) -> bool {
        self.servers.is_empty() && self.waiting_len == 0
    }

    /// Requests that wait for a version that nobody takes requests for any more.
    pub(super) fn unserved(&self) -> Vec<RequestId> {
        let lines = self.waiting.iter();
        let unserved = lines.filter(|(version, _)| !self.is_served(version));
        unserved
            .flat_map(|(_, line)| line.values().copied())
            .collect()
    }
}
