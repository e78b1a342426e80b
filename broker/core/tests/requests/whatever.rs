//! Random commands of callers and workers that keep the rules, break them, come and go.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use verteilt_core::{
    ConnectionId, Durable, Forward, GatewayId, Health, Part, Reply, RequestCommand, RequestEffect,
    RequestId, Serve, ServerInfo, Side,
};

use crate::broker::Broker;
use crate::model::Model;
use crate::world::{content, name, request};

#[derive(Clone, Debug)]
enum Step {
    Send {
        service: u8,
        deadline_s: u64,
        bytes: usize,
        more: bool,
        disk: bool,
    },
    SendAgain(usize),
    Result {
        request: usize,
        wait_s: u64,
    },
    Restart,
    Cancel(usize),
    Reply {
        lease: usize,
        more: bool,
        stranger: bool,
    },
    Part {
        lease: usize,
        bytes: usize,
        last: bool,
    },
    BodyPart {
        request: usize,
        bytes: usize,
        last: bool,
    },
    Credit {
        lease: usize,
    },
    Forward {
        lease: usize,
        service: u8,
        more: bool,
        rest: bool,
    },
    Serve {
        worker: u8,
        service: u8,
        credit: u32,
        health: u8,
    },
    Unserve {
        worker: u8,
        service: u8,
    },
    Hold {
        worker: u8,
        held: bool,
    },
    WorkerGone(u8),
    CallerGone,
    CallerBack,
    Advance(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let any_lease = 0..9_usize;
    prop_oneof![
        6 => (0..3_u8, 0..40_u64, 0..300_usize, any::<bool>(), any::<bool>()).prop_map(
            |(service, deadline_s, bytes, more, disk)| {
                Step::Send { service, deadline_s, bytes, more, disk }
            }
        ),
        1 => any_lease.clone().prop_map(Step::SendAgain),
        2 => (any_lease.clone(), 0..20_u64)
            .prop_map(|(request, wait_s)| Step::Result { request, wait_s }),
        1 => Just(Step::Restart),
        1 => any_lease.clone().prop_map(Step::Cancel),
        5 => (any_lease.clone(), any::<bool>(), prop::bool::weighted(0.1)).prop_map(
            |(lease, more, stranger)| Step::Reply { lease, more, stranger }
        ),
        4 => (any_lease.clone(), 0..60_usize, any::<bool>()).prop_map(
            |(lease, bytes, last)| Step::Part { lease, bytes, last }
        ),
        3 => (any_lease.clone(), 0..60_usize, any::<bool>()).prop_map(
            |(request, bytes, last)| Step::BodyPart { request, bytes, last }
        ),
        2 => any_lease.clone().prop_map(|lease| Step::Credit { lease }),
        3 => (any_lease, 0..3_u8, any::<bool>(), any::<bool>()).prop_map(
            |(lease, service, more, rest)| Step::Forward { lease, service, more, rest }
        ),
        4 => (0..3_u8, 0..3_u8, 0..4_u32, 0..6_u8).prop_map(
            |(worker, service, credit, health)| Step::Serve { worker, service, credit, health }
        ),
        1 => (0..3_u8, 0..3_u8).prop_map(|(worker, service)| Step::Unserve { worker, service }),
        1 => (0..3_u8, any::<bool>()).prop_map(|(worker, held)| Step::Hold { worker, held }),
        1 => (0..3_u8).prop_map(Step::WorkerGone),
        1 => Just(Step::CallerGone),
        2 => Just(Step::CallerBack),
        3 => (1..15_u64).prop_map(Step::Advance),
    ]
}

struct World {
    broker: Broker,
    model: Model,
    now_us: u64,
    next_connection: u64,
    next_request: u128,
    caller: Option<ConnectionId>,
    workers: [ConnectionId; 3],
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            broker: Broker::new(0),
            model: Model::default(),
            now_us: 0,
            next_connection: 10,
            next_request: 1,
            caller: None,
            workers: [ConnectionId(1), ConnectionId(2), ConnectionId(3)],
        };
        world.come_back();
        world
    }

    fn ask(&mut self, connection: ConnectionId, command: RequestCommand) -> Vec<RequestEffect> {
        let now_us = self.now_us;
        self.broker.decide(now_us, |requests, disk| {
            requests.handle(connection, 5, command, now_us, disk);
        });
        self.look()
    }

    fn look(&mut self) -> Vec<RequestEffect> {
        let told = std::mem::take(&mut self.broker.told);
        let told = told.into_iter().map(|(to, effect)| {
            self.model.see(to, &effect);
            effect
        });
        told.collect()
    }

    fn fresh_connection(&mut self) -> ConnectionId {
        self.next_connection += 1;
        ConnectionId(self.next_connection)
    }

    fn come_back(&mut self) {
        if self.caller.is_none() {
            let connection = self.fresh_connection();
            let waiting = self.model.waiting();
            let gateway = GatewayId(9);
            self.caller = Some(connection);
            let namespace = Arc::from("default");
            let inbox = RequestCommand::Inbox {
                namespace,
                gateway,
                waiting,
            };
            self.ask(connection, inbox);
        }
    }

    fn lease(&self, at: usize) -> Option<(u64, ConnectionId, RequestId)> {
        let count = self.model.leases.len().max(1);
        let mut leases = self.model.leases.iter();
        leases
            .nth(at % count)
            .map(|(token, (holder, request))| (*token, *holder, *request))
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Send {
                service,
                deadline_s,
                bytes,
                more,
                disk,
            } => {
                let Some(caller) = self.caller else { return };
                let id = self.next_request;
                self.next_request += 1;
                let mut new = request(id, &format!("s{service}"));
                new.deadline_ms = deadline_s * 1_000;
                new.content = content(*bytes, *more && !disk);
                new.durable = disk.then(Durable::default);
                self.model.sent(RequestId(id), *disk);
                self.ask(caller, RequestCommand::Send(Box::new(new)));
            }
            Step::SendAgain(_) | Step::Result { .. } | Step::Restart => self.come_to_disk(step),
            Step::Reply {
                lease,
                more,
                stranger,
            } => self.reply(*lease, *more, *stranger),
            Step::Forward {
                lease,
                service,
                more,
                rest,
            } => {
                self.forward(*lease, *service, *more, *rest);
            }
            Step::Serve {
                worker,
                service,
                credit,
                health,
            } => {
                let serve = Serve {
                    subscription: u64::from(*service) + 1,
                    service: name(&format!("s{service}")),
                    credit_requests: *credit,
                    credit_bytes: 400,
                    health: match health {
                        0 => Health::Unhealthy,
                        1 => Health::Draining,
                        _ => Health::Healthy,
                    },
                    info: ServerInfo::default(),
                };
                let worker = self.workers[usize::from(*worker)];
                self.ask(worker, RequestCommand::Serve(Box::new(serve)));
            }
            Step::Unserve { worker, service } => {
                let worker = self.workers[usize::from(*worker)];
                self.ask(worker, RequestCommand::Unserve(u64::from(*service) + 1));
            }
            Step::Cancel(_) | Step::Part { .. } | Step::BodyPart { .. } | Step::Credit { .. } => {
                self.talk(step)
            }
            _ => self.come_and_go(step),
        }
    }

    fn come_to_disk(&mut self, step: &Step) {
        match step {
            Step::SendAgain(at) => {
                let (Some(caller), Some(id)) = (self.caller, self.model.on_disk(*at)) else {
                    return;
                };
                let mut new = request(id.0, "s0");
                new.durable = Some(Durable::default());
                self.model.asks_again(id);
                self.ask(caller, RequestCommand::Send(Box::new(new)));
            }
            Step::Result { request, wait_s } => {
                let Some(request) = self.model.on_disk(*request) else {
                    return;
                };
                let by = self.workers[0];
                let result = RequestCommand::Result {
                    namespace: Arc::from("default"),
                    request,
                    wait_ms: wait_s * 1_000,
                };
                self.ask(by, result);
            }
            _ => {
                self.broker.restart(self.now_us);
                for worker in 0..3 {
                    let fresh = self.fresh_connection();
                    let gone = std::mem::replace(&mut self.workers[worker], fresh);
                    self.model.disconnected(gone);
                }
                if let Some(gone) = self.caller.take() {
                    self.model.disconnected(gone);
                }
            }
        }
    }

    fn talk(&mut self, step: &Step) {
        match step {
            Step::Cancel(at) => {
                let waiting = self.model.waiting();
                let Some(request) = waiting.get(at % waiting.len().max(1)) else {
                    return;
                };
                let Some(caller) = self.caller else { return };
                self.model.cancelled(*request);
                self.ask(caller, RequestCommand::Cancel(*request));
            }
            Step::Part { lease, bytes, last } => {
                let Some((token, holder, _)) = self.lease(*lease) else {
                    return;
                };
                self.ask(
                    holder,
                    RequestCommand::Part(Side::Worker(token), part(*bytes, !last)),
                );
                if *last {
                    self.model.released(token);
                }
            }
            Step::BodyPart {
                request,
                bytes,
                last,
            } => {
                let waiting = self.model.waiting();
                let Some(request) = waiting.get(request % waiting.len().max(1)) else {
                    return;
                };
                let Some(caller) = self.caller else { return };
                let part = part(*bytes, !last);
                self.ask(caller, RequestCommand::Part(Side::Caller(*request), part));
            }
            Step::Credit { lease } => {
                let Some((token, holder, request)) = self.lease(*lease) else {
                    return;
                };
                self.ask(holder, RequestCommand::Credit(Side::Worker(token), 50));
                if let Some(caller) = self.caller {
                    self.ask(caller, RequestCommand::Credit(Side::Caller(request), 50));
                }
            }
            _ => {}
        }
    }

    fn come_and_go(&mut self, step: &Step) {
        match step {
            Step::Hold { worker, held } => {
                let worker = self.workers[usize::from(*worker)];
                let now_us = self.now_us;
                self.broker
                    .decide(now_us, |requests, _| requests.hold(worker, *held, now_us));
                self.look();
            }
            Step::WorkerGone(worker) => {
                let fresh = self.fresh_connection();
                let gone = std::mem::replace(&mut self.workers[usize::from(*worker)], fresh);
                self.disconnect(gone);
            }
            Step::CallerGone => {
                if let Some(gone) = self.caller.take() {
                    self.disconnect(gone);
                }
            }
            Step::CallerBack => self.come_back(),
            Step::Advance(seconds) => {
                self.now_us += seconds * 1_000_000;
                let now_us = self.now_us;
                self.broker
                    .decide(now_us, |requests, disk| requests.tick(now_us, disk));
                self.look();
            }
            _ => {}
        }
    }

    fn disconnect(&mut self, gone: ConnectionId) {
        let now_us = self.now_us;
        self.broker.decide(now_us, |requests, _| {
            requests.disconnect(gone, false, now_us);
        });
        self.see_without(gone);
    }

    /// What was told to a connection in the moment in which it went reaches nobody.
    fn see_without(&mut self, gone: ConnectionId) {
        self.model.disconnected(gone);
        for (to, effect) in std::mem::take(&mut self.broker.told) {
            if to == gone {
                assert!(
                    matches!(
                        effect,
                        RequestEffect::Ended {
                            side: Side::Worker(_),
                            ..
                        }
                    ),
                    "{effect:?}"
                );
            } else {
                self.model.see(to, &effect);
            }
        }
    }

    fn reply(&mut self, lease: usize, more: bool, stranger: bool) {
        let Some((token, holder, request)) = self.lease(lease) else {
            return;
        };
        let reply = |token| {
            RequestCommand::Reply(Reply {
                token,
                status: 200,
                content: content(10, more),
            })
        };
        if stranger {
            let other = self.workers.into_iter().find(|worker| *worker != holder);
            let told = self.ask(other.expect("three workers"), reply(token));
            assert!(
                told.iter()
                    .all(|effect| !matches!(effect, RequestEffect::Reply { .. }))
            );
            return;
        }
        let was_over = self.model.is_over(request);
        if !more {
            self.model.released(token);
        }
        self.ask(holder, reply(token));
        assert!(!was_over || self.model.is_over(request));
        // A lease that has been used is stale.
        if !more {
            let told = self.ask(holder, reply(token));
            assert!(matches!(
                told[..],
                [RequestEffect::Ended {
                    side: Side::Worker(_),
                    ..
                }]
            ));
        }
    }

    fn forward(&mut self, lease: usize, service: u8, more: bool, rest: bool) {
        let Some((token, holder, request)) = self.lease(lease) else {
            return;
        };
        let forward = Forward {
            token,
            service: name(&format!("s{service}")),
            version: Arc::default(),
            endpoint: Arc::default(),
            rest_from_caller: rest,
            content: content(20, more),
        };
        // It comes with the answer, and before it where it is given to somebody at once.
        self.model.released(token);
        let told = self.ask(holder, RequestCommand::Forward(Box::new(forward)));
        let refused = told
            .iter()
            .any(|effect| matches!(effect, RequestEffect::Refused { .. }));
        let ended = told.iter().any(|effect| {
            matches!(effect, RequestEffect::Ended { side: Side::Worker(of), .. } if *of == token)
        });
        if refused && !ended {
            self.model.leases.insert(token, (holder, request));
        }
    }

    /// Everybody goes; nothing may be left.
    fn end(mut self) {
        self.come_back();
        for worker in 0..3 {
            self.take(&Step::WorkerGone(worker));
        }
        self.take(&Step::Advance(3_700));
        assert_eq!(
            self.model.waiting(),
            [],
            "without workers everything is over"
        );
        self.take(&Step::Advance(61));
        assert_eq!(self.broker.requests.open_len(), 0);
        assert!(self.broker.requests.is_at_rest());
        assert_eq!(self.broker.book().results_len(), 0, "results are forgotten");
    }
}

fn part(bytes: usize, more: bool) -> Part {
    Part {
        payload: Bytes::from(vec![7; bytes]),
        more,
        broken: false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(debug_assertions) { 200 } else { 3_000 },
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happens(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
        }
        world.end();
    }
}
