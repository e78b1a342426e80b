//! Workers that come, change and go, and the list of them.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use super::Requests;
use super::command::Serve;
use super::effect::{InstanceStats, ServiceStats};
use super::service::{Server, ServerKey, Service};
use super::stats::{Histogram, ServerCounts};
use crate::command::QueueName;
use crate::effect::Refusal;
use crate::id::{ConnectionId, Micros};

impl Requests {
    /// A worker comes, or changes its credit and health.
    pub(super) fn serve(&mut self, connection: ConnectionId, serve: Serve) -> Result<(), Refusal> {
        let known = self.connections.entry(connection).or_default();
        let held_back = known.held_back;
        if let Some(key) = known.servers.get(&serve.subscription).copied() {
            if self.servers[&key].service != serve.service {
                return Err(Refusal::SubscriptionExists);
            }
            self.change_server(key, |server| {
                server.credit_requests = serve.credit_requests;
                server.credit_bytes = serve.credit_bytes;
                server.health = serve.health;
            });
            self.settle(&serve.service);
            return Ok(());
        }
        if serve.subscription == 0 {
            return Err(Refusal::BadArgument);
        }
        if self.draining {
            return Err(Refusal::ShuttingDown);
        }
        if self.servers.len() >= self.limits.services_max {
            return Err(Refusal::ServiceLimit);
        }
        let key = ServerKey(self.next_server);
        self.next_server += 1;
        known.servers.insert(serve.subscription, key);
        let server = Server {
            connection,
            subscription: serve.subscription,
            service: serve.service.clone(),
            info: Arc::new(serve.info),
            credit_requests: serve.credit_requests,
            credit_bytes: serve.credit_bytes,
            health: serve.health,
            held_back,
            leaving: false,
            leases: BTreeSet::new(),
            held_bytes: 0,
            turn: 0,
            counts: ServerCounts::default(),
            wait_us: Histogram::default(),
            run_us: Histogram::default(),
        };
        let name = serve.service;
        let service = self.service_of(&name);
        service.servers.insert(key);
        service.put(key, &server);
        self.servers.insert(key, server);
        self.settle(&name);
        Ok(())
    }

    /// The service of this name, which comes into being.
    pub(super) fn service_of(&mut self, name: &QueueName) -> &mut Service {
        let service = self.services.entry(name.clone());
        service.or_insert_with_key(|name| Service::new(&name.name))
    }

    /// A worker takes no more requests. What it holds it may still answer.
    pub(super) fn unserve(
        &mut self,
        connection: ConnectionId,
        subscription: u64,
    ) -> Result<(), Refusal> {
        let known = self.connections.get_mut(&connection);
        let known = known.ok_or(Refusal::SubscriptionUnknown)?;
        let key = known.servers.remove(&subscription);
        let key = key.ok_or(Refusal::SubscriptionUnknown)?;
        known.leaving.insert(key);
        self.change_server(key, |server| server.leaving = true);
        let name = self.servers[&key].service.clone();
        if self.servers[&key].leases.is_empty() {
            self.remove_server(key);
        }
        self.settle(&name);
        Ok(())
    }

    /// Too much waits for this connection already (true), or no longer.
    pub fn hold(&mut self, connection: ConnectionId, held_back: bool, now_us: Micros) {
        self.advance(now_us);
        let Some(known) = self.connections.get_mut(&connection) else {
            return;
        };
        known.held_back = held_back;
        for key in known.servers.values().copied().collect::<Vec<_>>() {
            self.change_server(key, |server| server.held_back = held_back);
            if !held_back {
                let name = self.servers[&key].service.clone();
                self.dispatch(&name);
            }
        }
    }

    /// Changes a worker, and its place among those of its service.
    pub(super) fn change_server(&mut self, key: ServerKey, change: impl FnOnce(&mut Server)) {
        let Some(server) = self.servers.get_mut(&key) else {
            return;
        };
        let Some(service) = self.services.get_mut(&server.service) else {
            return;
        };
        service.lift(key, server);
        change(server);
        service.put(key, server);
    }

    /// A worker without leases goes; the last one takes its service along.
    pub(super) fn remove_server(&mut self, key: ServerKey) {
        let Some(server) = self.servers.remove(&key) else {
            return;
        };
        if let Some(known) = self.connections.get_mut(&server.connection) {
            // The number may stand for a newer one already.
            if known.servers.get(&server.subscription) == Some(&key) {
                known.servers.remove(&server.subscription);
            }
            known.leaving.remove(&key);
        }
        let name = server.service.clone();
        if let Some(service) = self.services.get_mut(&name) {
            service.lift(key, &server);
            service.servers.remove(&key);
        }
        self.settle(&name);
        self.drop_idle_service(&name);
    }

    pub(super) fn drop_idle_service(&mut self, name: &QueueName) {
        if self.services.get(name).is_some_and(Service::is_idle) {
            self.services.remove(name);
        }
    }

    /// After workers have changed: whoever waits for nobody is told so, others get a worker.
    fn settle(&mut self, name: &QueueName) {
        let unserved = self.services.get(name).map(Service::unserved);
        for request in unserved.unwrap_or_default() {
            // One that was accepted waits for a worker until its deadline.
            if !self.is_on_disk(request) {
                self.end(request, Refusal::NoWorker);
            }
        }
        self.dispatch(name);
    }

    /// The services of a namespace in the order of their names, and whether there are more.
    pub(super) fn services(
        &self,
        namespace: &Arc<str>,
        only: Option<&str>,
        after: &str,
    ) -> (Vec<ServiceStats>, bool) {
        let name = |name: &str| QueueName {
            namespace: Arc::clone(namespace),
            name: name.to_owned(),
        };
        if let Some(only) = only {
            let service = self.services.get(&name(only));
            return (
                service
                    .map(|service| self.stats_of(service))
                    .into_iter()
                    .collect(),
                false,
            );
        }
        let behind = (Bound::Excluded(name(after)), Bound::Unbounded);
        let mut services = self.services.range(behind);
        let max = self.limits.stats_services_max;
        let found = services
            .by_ref()
            .take_while(|(name, _)| name.namespace == *namespace)
            .take(max)
            .map(|(_, service)| self.stats_of(service))
            .collect::<Vec<_>>();
        let more = found.len() == max
            && services
                .next()
                .is_some_and(|(name, _)| name.namespace == *namespace);
        (found, more)
    }

    fn stats_of(&self, service: &Service) -> ServiceStats {
        let servers = service
            .servers
            .iter()
            .filter_map(|key| self.servers.get(key));
        ServiceStats {
            service: service.name.to_string(),
            waiting: service.waiting_len as u64,
            waiting_bytes: service.waiting_bytes,
            refused: service.refused,
            expired: service.expired,
            cancelled: service.cancelled,
            instances: servers.map(Server::stats).collect(),
        }
    }
}

impl Server {
    fn stats(&self) -> InstanceStats {
        InstanceStats {
            info: Arc::clone(&self.info),
            health: if self.leaving {
                super::Health::Draining
            } else {
                self.health
            },
            credit_requests: self.credit_requests,
            in_flight: self.leases.len() as u64,
            counts: self.counts,
            wait_us: self.wait_us.clone(),
            run_us: self.run_us.clone(),
        }
    }
}
