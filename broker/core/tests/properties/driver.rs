//! Plays steps against a world, with the checker beside it.

use std::sync::Arc;

use bytes::Bytes;
use verteilt_core::{
    Caller, Command, ConnectionId, Event, JobId, JobOptions, Lengths, Millis, ProducerId, Push,
    QueueName, SessionId, Settle, SettleKind,
};

use crate::checker::{Checker, Name};
use crate::steps::{PushStep, Step};
use crate::world::{World, limits};

/// A tick that finds more to do may ask for another at once, but not for ever.
const TICKS_MAX: usize = 20;
/// More than the rounds that any sequence needs to be worked off.
const ROUNDS_MAX: usize = 20_000;

/// Plays the steps, then lets one worker finish everything.
pub(crate) fn run(steps: &[(Step, bool)]) {
    let mut driver = Driver::new();
    for (step, round_ends) in steps {
        driver.step(step);
        if *round_ends {
            driver.settle_down();
        }
    }
    driver.settle_down();
    driver.drain();
}

struct Driver {
    world: World,
    checker: Checker,
    connections: u64,
    correlation: u64,
    /// The connection before the present one, of each session.
    older: [ConnectionId; 256],
}

fn name(queue: u8) -> QueueName {
    QueueName {
        namespace: Arc::from("default"),
        name: format!("q{queue}"),
    }
}

impl Driver {
    fn new() -> Self {
        let now_ms = 1_000_000;
        let (world, output) = World::new(limits(), now_ms);
        let mut checker = Checker::new(limits());
        checker.time(&output, now_ms);
        Self {
            world,
            checker,
            connections: 0,
            correlation: 0,
            older: [ConnectionId(0); 256],
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Connect(session) => self.connect(*session),
            Step::Disconnect { session, stale } => {
                self.ask(*session, *stale, Command::Disconnect);
            }
            Step::Hold(session, held) => self.ask(*session, false, Command::Hold(*held)),
            Step::Push(push) => self.push(push),
            Step::Part {
                session,
                upload,
                bytes,
                wrong,
            } => self.part(*session, *upload, *bytes, *wrong),
            Step::Subscribe {
                session,
                number,
                queue,
                jobs,
                bytes,
                stale,
            } => {
                let command = Command::Subscribe {
                    subscription: *number,
                    queue: name(*queue),
                    credit_jobs: *jobs,
                    credit_bytes: *bytes,
                };
                self.ask(*session, *stale, command);
            }
            Step::Unsubscribe { session, number } => {
                let subscription = *number;
                self.ask(*session, false, Command::Unsubscribe { subscription });
            }
            Step::Reserve {
                session,
                queue,
                jobs,
                wait_ms,
                stale,
            } => {
                let command = Command::Reserve {
                    queue: name(*queue),
                    jobs_max: *jobs,
                    wait_ms: *wait_ms,
                };
                self.ask(*session, *stale, command);
            }
            other => self.rarer(other),
        }
    }

    fn rarer(&mut self, step: &Step) {
        match step {
            Step::Cancel { session, pick } => {
                let pulls = self
                    .checker
                    .takers
                    .keys()
                    .filter_map(|(of, name)| match name {
                        Name::Pull(correlation) if of.0 == u128::from(*session) => {
                            Some(*correlation)
                        }
                        _ => None,
                    });
                let pulls: Vec<u64> = pulls.chain([0]).collect();
                let correlation = pulls[usize::from(*pick) % pulls.len()];
                self.ask(*session, false, Command::Cancel { correlation });
            }
            Step::Settle {
                session,
                kind,
                picks,
                stale,
            } => self.settle(*session, *kind, picks, *stale),
            Step::Pause(queue, paused) => {
                let (queue, paused) = (name(*queue), *paused);
                self.ask(0, false, Command::Pause { queue, paused });
            }
            Step::Purge(queue, jobs_max) => {
                let (queue, jobs_max) = (name(*queue), *jobs_max);
                self.ask(0, false, Command::Purge { queue, jobs_max });
            }
            Step::Advance(by_ms) => self.advance(*by_ms),
            Step::Jump(by_ms) => {
                self.world.now_ms += by_ms;
                self.settle_down();
            }
            Step::Checkpoint => self.world.checkpoint(),
            Step::Crash(down_ms) => {
                self.world.now_ms += down_ms;
                self.checker.crashed();
                let output = self.world.crash();
                self.checker.time(&output, self.world.now_ms);
            }
            Step::Drain => self.ask(0, false, Command::Drain),
            other => unreachable!("{other:?} is played by step"),
        }
    }

    fn connect(&mut self, session: u8) {
        self.connections += 1;
        let id = SessionId(u128::from(session));
        if let Some(older) = self.checker.connections.get(&id) {
            self.older[usize::from(session)] = *older;
        }
        let caller = Caller {
            connection: ConnectionId(self.connections),
            session: id,
            correlation: 0,
        };
        self.handle(caller, Command::Connect { held: None });
    }

    /// A command of this session, which connects first if need be.
    fn ask(&mut self, session: u8, stale: bool, command: Command) {
        let id = SessionId(u128::from(session));
        if !stale && !self.checker.connections.contains_key(&id) {
            self.connect(session);
        }
        let connection = if stale {
            self.older[usize::from(session)]
        } else {
            self.checker.connections[&id]
        };
        self.correlation += 1;
        let caller = Caller {
            connection,
            session: id,
            correlation: self.correlation,
        };
        self.handle(caller, command);
    }

    fn handle(&mut self, caller: Caller, command: Command) {
        let asked = command.clone();
        let output = self.world.handle(caller, command);
        self.checker
            .command(caller, &asked, &output, self.world.now_ms);
    }

    fn push(&mut self, push: &PushStep) {
        let one = push.upload != 0;
        let count = if one { 1 } else { push.lengths.len() };
        let mut ends = Vec::new();
        for length in &push.lengths[..count] {
            ends.push(ends.last().copied().unwrap_or(0) + length);
        }
        let headers = if push.headers {
            push.lengths[..count]
                .iter()
                .map(|length| length / 2)
                .collect()
        } else {
            Vec::new()
        };
        let total = ends.last().copied().unwrap_or(0);
        let payload: Bytes = (0..total).map(|at| at as u8).collect();
        let command = Command::Push(Push {
            queue: name(push.queue),
            producer: push
                .producer
                .map(|(id, sequence)| (ProducerId(id), sequence)),
            options: JobOptions {
                priority: push.priority,
                delay_ms: push.delay_ms,
                attempts_max: push.attempts_max,
                lease_ms: push.lease_ms,
                volatile: push.volatile,
            },
            lengths: Lengths { ends, headers },
            upload: push.upload,
            upload_parts: push.upload_parts,
            payload,
        });
        self.ask(push.session, false, command);
    }

    fn part(&mut self, session: u8, upload: u64, bytes: usize, wrong: bool) {
        let mut index = 0;
        // The next part that the shard takes is found by asking.
        let payload = Bytes::from(vec![7; bytes]);
        loop {
            let lsn = self.world.shard.lsn();
            let payload = payload.clone();
            self.ask(
                session,
                false,
                Command::PushPart {
                    upload,
                    index,
                    payload,
                },
            );
            index += 1;
            if wrong || index > 5 || self.world.shard.lsn() > lsn {
                break;
            }
        }
    }

    fn settle(&mut self, session: u8, kind: SettleKind, picks: &[u8], stale: Option<u8>) {
        let held = self.checker.held_by(SessionId(u128::from(session)));
        let mut leases: Vec<(JobId, u64)> = Vec::new();
        if !held.is_empty() {
            leases.extend(
                picks
                    .iter()
                    .map(|pick| held[usize::from(*pick) % held.len()]),
            );
        }
        if let Some(pick) = stale {
            // A token of before, of somebody else, or of nobody.
            let others = self.checker.leases.iter().map(|(id, lease)| (*id, lease.0));
            let mut stale: Vec<(JobId, u64)> = self.checker.ended.clone();
            stale.extend(others);
            stale.push((JobId(1), 1));
            leases.push(stale[usize::from(pick) % stale.len()]);
        }
        if !leases.is_empty() {
            self.ask(session, false, Command::Settle(Settle { kind, leases }));
        }
    }

    /// From deadline to deadline: nothing happens before one, and something does at it.
    fn advance(&mut self, by_ms: Millis) {
        self.settle_down();
        let target_ms = self.world.now_ms + by_ms;
        while let Some(at_ms) = self.world.shard.next_deadline() {
            if at_ms > target_ms {
                break;
            }
            self.world.now_ms = at_ms - 1;
            let early = self.tick();
            assert!(!early, "something happened before the deadline {at_ms}");
            self.world.now_ms = at_ms;
            self.settle_down();
        }
        self.world.now_ms = target_ms;
        let late = self.tick();
        assert!(!late, "something happened that no deadline announced");
        self.settle_down();
    }

    /// Ticks until the shard waits for a time to come.
    fn settle_down(&mut self) {
        self.tick();
        let mut ticks = 0;
        while let Some(at_ms) = self.world.shard.next_deadline() {
            if at_ms > self.world.now_ms {
                break;
            }
            self.tick();
            ticks += 1;
            assert!(ticks < TICKS_MAX, "a busy loop");
        }
        self.checker.at_rest(&self.world.shard, self.world.now_ms);
    }

    /// Whether anything happened. Silent producers may be forgotten at any tick.
    fn tick(&mut self) -> bool {
        let output = self.world.tick();
        self.checker.time(&output, self.world.now_ms);
        let swept = |event: &Event| matches!(event, Event::ProducersForgotten { .. });
        !output.events.iter().all(swept) || !output.effects.is_empty()
    }

    /// When faults stop, one worker gets everything done, and nothing is left behind.
    fn drain(&mut self) {
        if self.checker.draining {
            self.rarer(&Step::Crash(1));
        }
        for session in 0..3 {
            self.ask(session, false, Command::Disconnect);
        }
        let worker = 99;
        for queue in 0..3 {
            let (queue, paused) = (name(queue), false);
            self.ask(worker, false, Command::Pause { queue, paused });
        }
        for queue in 0..3 {
            let command = Command::Subscribe {
                subscription: u64::from(queue) + 1,
                queue: name(queue),
                credit_jobs: 1_000,
                credit_bytes: 0,
            };
            self.ask(worker, false, command);
        }
        for round in 0.. {
            assert!(round < ROUNDS_MAX, "it does not drain");
            self.settle_down();
            let leases = self.checker.held_by(SessionId(u128::from(worker)));
            if !leases.is_empty() {
                let kind = SettleKind::Ack;
                self.ask(worker, false, Command::Settle(Settle { kind, leases }));
                continue;
            }
            let Some(at_ms) = self.world.shard.next_deadline() else {
                break;
            };
            self.world.now_ms = at_ms;
        }
        let shard = &self.world.shard;
        assert!(
            shard
                .jobs()
                .all(|(_, job)| matches!(job.place, verteilt_core::Place::Dead(_)))
        );
        for queue in 0..3 {
            let (queue, jobs_max) = (name(queue), u32::MAX);
            self.ask(worker, false, Command::Purge { queue, jobs_max });
        }
        assert_eq!(self.world.shard.jobs_len(), 0);
        assert_eq!(
            self.world.shard.ledger().parts(),
            [],
            "parts that nobody needs"
        );
    }
}
