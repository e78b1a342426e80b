//! Clients, a network that loses what is on its way, and a broker that is killed: makes histories
//! of a correct broker.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use verteilt_history::{Body, Delivered, Durability, Event, History, Operation, Producer, Push};

use crate::model::{Model, Taker};
use crate::random::Random;

const CLIENTS: u32 = 4;
const QUEUES: [&str; 2] = ["mail", "bills"];
/// Longest way of a frame; the checker is told a lag above it.
const WAY_MS: u64 = 30;
const FAULTS_MS: u64 = 15_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Push(u32),
    /// Client and connection, and which operation.
    Arrive(u32, u64, u64),
    See(u32, u64, usize),
    Settle(u32, usize),
    Break(u32),
    Noticed(u32, u64),
    Reconnect(u32),
    Kill,
    Start,
    Tick,
}

#[derive(Debug, Default)]
struct Client {
    /// The connection that it believes to have.
    connection: Option<u64>,
    open: BTreeMap<u64, Operation>,
    /// Leases that it works on: job and token.
    held: Vec<(u64, u64)>,
    sequence: u64,
    lost_pushes: Vec<Push>,
    /// When the last frame of each direction comes through.
    ways_ms: [u64; 2],
}

#[derive(Debug)]
pub(crate) struct World {
    random: Random,
    now_ms: u64,
    agenda: BinaryHeap<Reverse<(u64, u64, Step)>>,
    steps: u64,
    history: History,
    model: Model,
    up: bool,
    /// By how much the broker's clock and the wall clock are ahead.
    offset_ms: i64,
    wall_ms: i64,
    stopped_ms: i64,
    /// The connection that the broker knows of each client.
    connections: BTreeMap<u32, u64>,
    clients: Vec<Client>,
    takers: Vec<Taker>,
    operations: u64,
    made: u64,
    /// What is on its way to a client.
    mail: Vec<Event>,
    delivered: Vec<Delivered>,
    faults: bool,
    pushing: bool,
    /// Workers are quick and never fail.
    calm: bool,
}

/// The history of a correct broker; the same one for the same seed.
pub(crate) fn history(seed: u64) -> History {
    let mut world = World::new(seed);
    world.play();
    world.history
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut takers = Vec::new();
        // Some seeds have one taker a queue: work in strict order.
        let few = random.percent(30);
        for client in 0..CLIENTS {
            for (number, queue) in QUEUES.iter().enumerate() {
                if !few || client == number as u32 {
                    let (number, queue) = (number as u64 + 1, (*queue).to_string());
                    let credit = random.between(1, 4) as usize;
                    takers.push(Taker {
                        client,
                        number,
                        queue,
                        credit,
                    });
                }
            }
        }
        Self {
            random,
            now_ms: 1_000,
            agenda: BinaryHeap::new(),
            steps: 0,
            history: History::default(),
            model: Model::default(),
            up: false,
            offset_ms: 0,
            wall_ms: 0,
            stopped_ms: 0,
            connections: BTreeMap::new(),
            clients: (0..CLIENTS).map(|_| Client::default()).collect(),
            takers,
            operations: 0,
            made: 0,
            mail: Vec::new(),
            delivered: Vec::new(),
            faults: true,
            pushing: true,
            calm: false,
        }
    }

    fn play(&mut self) {
        self.start();
        self.at(1, Step::Tick);
        for client in 0..CLIENTS {
            self.at(u64::from(client), Step::Reconnect(client));
            self.at(20 + u64::from(client), Step::Push(client));
            let wait_ms = self.random.between(1_000, 6_000);
            self.at(wait_ms, Step::Break(client));
        }
        self.run_until(FAULTS_MS);
        self.faults = false;
        self.pushing = false;
        // Whatever is down comes back by itself.
        let reach_ms = self.now_ms + 6_000;
        self.run_until(reach_ms);
        self.write(Event::FaultsStopped);
        self.run_until_empty();
        self.idle();
        self.run_until_empty();
        let queues = self.model.ends(self.clock_ms());
        self.write(Event::Drained { queues });
    }

    /// A few jobs with a delay, and nothing else to do.
    fn idle(&mut self) {
        self.write(Event::Idle { idle: true });
        self.calm = true;
        for client in 0..CLIENTS {
            let delay_ms = self.random.between(300, 1_500);
            let mut push = self.new_push(client);
            push.bodies.truncate(1);
            push.delay_ms = delay_ms;
            self.send(client, Operation::Push(push));
        }
        self.run_until(self.now_ms + 8_000);
        self.run_until_empty();
        self.write(Event::Idle { idle: false });
    }

    fn run_until(&mut self, end_ms: u64) {
        while self.agenda.peek().is_some_and(|next| next.0.0 <= end_ms) {
            let Reverse((at_ms, _, step)) = self.agenda.pop().expect("it was peeked at");
            self.now_ms = at_ms;
            self.take(step);
        }
    }

    fn run_until_empty(&mut self) {
        let unfinished = |world: &Self| {
            let ends = world.model.ends(world.clock_ms());
            let open = world.clients.iter().any(|client| !client.open.is_empty());
            open || ends.iter().any(|end| end.unfinished() > 0)
        };
        self.run_until(self.now_ms + 100);
        while unfinished(self) {
            self.run_until(self.now_ms + 100);
        }
        self.run_until(self.now_ms + 100);
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Push(client) => self.push(client),
            Step::Arrive(client, connection, operation) => {
                self.arrive(client, connection, operation)
            }
            Step::See(client, connection, mail) => self.see(client, connection, mail),
            Step::Settle(client, delivery) => self.settle(client, delivery),
            Step::Break(client) if self.faults || !self.up => self.break_connection(client),
            Step::Break(_) => {}
            Step::Noticed(client, connection) => {
                if self.up && self.connections.get(&client) == Some(&connection) {
                    self.connections.remove(&client);
                    self.model.disconnect(client);
                }
            }
            Step::Reconnect(client) => self.reconnect(client),
            // The one that was planned when faults stopped does not come any more.
            Step::Kill if self.faults => self.kill(),
            Step::Kill => {}
            Step::Start => self.start(),
            Step::Tick => self.tick(),
        }
    }

    // ---- the broker

    fn tick(&mut self) {
        if self.up {
            let now_ms = self.clock_ms();
            for (client, job, token) in self.model.expire(now_ms) {
                self.mail(client, Event::LeaseLost { client, job, token });
            }
            for delivered in self.model.round(now_ms) {
                self.mail(delivered.client, Event::Delivered(delivered));
            }
        }
        let wait_ms = self.random.between(2, 15);
        self.at(wait_ms, Step::Tick);
    }

    fn arrive(&mut self, client: u32, connection: u64, operation: u64) {
        if !self.up || self.connections.get(&client) != Some(&connection) {
            return;
        }
        let what = self.clients[client as usize].open.get(&operation).cloned();
        let Some(what) = what else { return };
        let now_ms = self.clock_ms();
        let answer = match &what {
            Operation::Push(_) if self.faults && self.random.percent(4) => Event::Fail {
                operation,
                code: 400,
            },
            Operation::Push(push) => {
                let pushed = Some(self.model.push(now_ms, push));
                Event::Ok { operation, pushed }
            }
            _ => {
                let jitter = self.random.below(20);
                let done = self.model.settle(now_ms, client, &what, jitter);
                let refused = Event::Fail {
                    operation,
                    code: 301,
                };
                if done {
                    Event::Ok {
                        operation,
                        pushed: None,
                    }
                } else {
                    refused
                }
            }
        };
        self.mail(client, answer);
    }

    fn kill(&mut self) {
        self.up = false;
        self.stopped_ms = self.clock_ms();
        self.model.stop();
        self.connections.clear();
        let how = [Event::BrokerKilled, Event::BrokerStopped, Event::PowerCut];
        let how = self.random.pick(&how).expect("there are three");
        self.write(how);
        for client in 0..CLIENTS {
            let wait_ms = self.random.below(WAY_MS);
            self.at(wait_ms, Step::Break(client));
        }
        if self.random.percent(20) {
            let by_ms = self.random.between(0, 6_000) as i64 - 3_000;
            self.wall_ms += by_ms;
            self.write(Event::ClockSet { by_ms });
        }
        let down_ms = self.random.between(50, 1_000);
        self.at(down_ms, Step::Start);
    }

    fn start(&mut self) {
        let now_ms = self.now_ms as i64;
        self.offset_ms = self.wall_ms.max(self.stopped_ms - now_ms);
        self.up = true;
        let epoch = self.model.start(self.clock_ms());
        self.write(Event::BrokerStarted { epoch });
        let wait_ms = self.random.between(1_500, 6_000);
        self.at(wait_ms, Step::Kill);
    }

    // ---- clients

    fn push(&mut self, client: u32) {
        if !self.pushing {
            return;
        }
        let lost = self.clients[client as usize].lost_pushes.pop();
        let push = lost.unwrap_or_else(|| self.new_push(client));
        self.send(client, Operation::Push(push));
        let wait_ms = self.random.between(20, 400);
        self.at(wait_ms, Step::Push(client));
    }

    fn new_push(&mut self, client: u32) -> Push {
        let jobs = if self.random.percent(20) {
            self.random.between(2, 5)
        } else {
            1
        };
        let mut bodies = Vec::new();
        for _ in 0..jobs {
            self.made += 1;
            bodies.push(Body::of(format!("job {}", self.made).as_bytes()));
        }
        let random = &mut self.random;
        let memory = random.percent(15);
        let sequence = &mut self.clients[client as usize].sequence;
        *sequence += 1;
        let producer = Producer {
            id: format!("producer-{client}"),
            sequence: *sequence,
        };
        Push {
            queue: QUEUES[random.below(2) as usize].into(),
            bodies,
            priority: if random.percent(80) {
                0
            } else {
                random.below(5) as i32 - 2
            },
            delay_ms: if random.percent(75) {
                0
            } else {
                random.between(100, 2_000)
            },
            attempts: random.below(4) as u32,
            lease_ms: if random.percent(50) {
                0
            } else {
                random.between(400, 3_000)
            },
            durability: if memory {
                Durability::Memory
            } else {
                Durability::Disk
            },
            producer: random.percent(80).then_some(producer),
        }
    }

    fn send(&mut self, client: u32, what: Operation) {
        let Some(connection) = self.clients[client as usize].connection else {
            return;
        };
        self.operations += 1;
        let operation = self.operations;
        self.clients[client as usize]
            .open
            .insert(operation, what.clone());
        self.write(Event::Invoke {
            client,
            operation,
            what,
        });
        let at_ms = self.way(client, 0);
        self.at(at_ms, Step::Arrive(client, connection, operation));
    }

    fn see(&mut self, client: u32, connection: u64, mail: usize) {
        if self.clients[client as usize].connection != Some(connection) {
            return;
        }
        let event = self.mail[mail].clone();
        match &event {
            Event::Ok { operation, .. } | Event::Fail { operation, .. } => {
                self.clients[client as usize].open.remove(operation);
            }
            Event::Delivered(delivered) => {
                self.delivered.push(delivered.clone());
                let lease = (delivered.job, delivered.token);
                self.clients[client as usize].held.push(lease);
                let wait_ms = self.work_ms(delivered.lease_ms);
                self.at(wait_ms, Step::Settle(client, self.delivered.len() - 1));
            }
            Event::LeaseLost { job, token, .. } => self.let_go(client, (*job, *token)),
            _ => {}
        }
        self.write(event);
    }

    /// Mostly quick; sometimes so slow that the lease is over.
    fn work_ms(&mut self, lease_ms: u64) -> u64 {
        if self.calm {
            self.random.below(20)
        } else if self.random.percent(10) {
            lease_ms + self.random.below(500)
        } else {
            self.random.between(1, 300)
        }
    }

    fn settle(&mut self, client: u32, delivery: usize) {
        let Delivered {
            job,
            token,
            lease_ms,
            ..
        } = self.delivered[delivery];
        let what = match if self.calm { 0 } else { self.random.below(100) } {
            0..60 => Operation::Ack { job, token },
            60..70 => Operation::Nack {
                job,
                token,
                delay_ms: None,
            },
            70..75 => Operation::Nack {
                job,
                token,
                delay_ms: Some(self.random.below(900)),
            },
            75..85 => Operation::Release { job, token },
            85..95 => {
                let wait_ms = self.random.between(10, lease_ms);
                self.at(wait_ms, Step::Settle(client, delivery));
                let lease_ms = self.random.pick(&[0, 500, 2_000]).expect("there are three");
                Operation::Touch {
                    job,
                    token,
                    lease_ms,
                }
            }
            _ => return,
        };
        if !matches!(what, Operation::Touch { .. }) {
            self.let_go(client, (job, token));
        }
        self.send(client, what);
    }

    fn let_go(&mut self, client: u32, lease: (u64, u64)) {
        self.clients[client as usize]
            .held
            .retain(|held| *held != lease);
    }

    fn break_connection(&mut self, client: u32) {
        let own = self.up;
        if let Some(connection) = self.clients[client as usize].connection.take() {
            self.write(Event::Disconnected { client });
            for (operation, what) in std::mem::take(&mut self.clients[client as usize].open) {
                self.write(Event::Info { operation });
                match what {
                    Operation::Push(push) if push.producer.is_some() => {
                        self.clients[client as usize].lost_pushes.push(push);
                    }
                    _ => {}
                }
            }
            let wait_ms = self.random.below(WAY_MS);
            self.at(wait_ms, Step::Noticed(client, connection));
            // Now and then too late for its leases.
            let wait_ms = if self.random.percent(20) { 2_500 } else { 50 };
            let wait_ms = wait_ms + self.random.below(400);
            self.at(wait_ms, Step::Reconnect(client));
        }
        if self.faults && own {
            let wait_ms = self.random.between(2_000, 8_000);
            self.at(wait_ms, Step::Break(client));
        }
    }

    fn reconnect(&mut self, client: u32) {
        if self.clients[client as usize].connection.is_some() {
            return;
        }
        if !self.up {
            self.at(100, Step::Reconnect(client));
            return;
        }
        self.steps += 1;
        let connection = self.steps;
        let takers = self.takers.iter().filter(|taker| taker.client == client);
        let takers: Vec<Taker> = takers.cloned().collect();
        let held = self.clients[client as usize].held.clone();
        self.model.connect(client, &takers, &held);
        self.connections.insert(client, connection);
        self.clients[client as usize].connection = Some(connection);
        self.clients[client as usize].ways_ms = [0; 2];
        // Not every client tells the recorder.
        let held = self.random.percent(70).then_some(held);
        self.write(Event::Connected { client, held });
    }

    // ---- time and the way between

    fn clock_ms(&self) -> i64 {
        self.now_ms as i64 + self.offset_ms
    }

    fn at(&mut self, wait_ms: u64, step: Step) {
        self.steps += 1;
        self.agenda
            .push(Reverse((self.now_ms + wait_ms, self.steps, step)));
    }

    /// How long a frame takes now; none overtakes another.
    fn way(&mut self, client: u32, direction: usize) -> u64 {
        let wait_ms = self.random.below(WAY_MS);
        let last_ms = &mut self.clients[client as usize].ways_ms[direction];
        *last_ms = (*last_ms).max(self.now_ms + wait_ms);
        *last_ms - self.now_ms
    }

    fn mail(&mut self, client: u32, event: Event) {
        let Some(connection) = self.connections.get(&client).copied() else {
            return;
        };
        self.mail.push(event);
        let wait_ms = self.way(client, 1);
        self.at(wait_ms, Step::See(client, connection, self.mail.len() - 1));
    }

    fn write(&mut self, event: Event) {
        self.history.push(self.now_ms, event);
    }
}
