//! The broker's machine and who keeps it running: starts, crashes, and starts again.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use verteilt_broker::Failure;
use verteilt_broker::bare::{BareBroker, Door};
use verteilt_history::{Event, RequestRecord, TopicRecord};

use crate::dice::Dice;
use crate::ground::Machine;
use crate::restless::Restless;
use crate::room::Squeeze;
use crate::world::World;

/// What is done to the broker.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    Crash {
        power: bool,
        down_ms: u64,
        again_in_start: Option<u64>,
    },
    Stop {
        grace_ms: u64,
        down_ms: u64,
    },
    FailJournal {
        after: u64,
        sync: bool,
    },
    FailStore {
        after: u64,
    },
    SetClock {
        by_ms: i64,
    },
    /// The disk fills.
    Squeeze(Squeeze),
    /// There is room on it again.
    Release,
}

/// After the engine has ended, its connections get so long to say last things.
const LAST_FRAMES: Duration = Duration::from_secs(2);
/// A broker that failed is started again after this.
const AFTER_FAILURE: Duration = Duration::from_millis(20);

struct Running {
    door: Door,
    task: AbortOnDropHandle<Result<(), Failure>>,
}

/// Keeps the broker running until the orders end.
pub(crate) struct Keeper {
    world: World,
    machine: Machine,
    dice: Dice,
    running: Option<Running>,
    lives: u64,
    /// A failure was asked for, so one may be seen.
    may_fail: bool,
}

impl Keeper {
    pub(crate) fn new(world: World, machine: Machine, dice: Dice) -> Self {
        Self {
            world,
            machine,
            dice,
            running: None,
            lives: 0,
            may_fail: false,
        }
    }

    pub(crate) async fn keep(mut self, mut orders: mpsc::Receiver<Order>) {
        self.start(None);
        loop {
            let ended = async {
                match &mut self.running {
                    Some(running) => (&mut running.task).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                result = ended => {
                    let result = result.expect("nobody aborts it but us");
                    self.failed(result).await;
                }
                order = orders.recv() => match order {
                    Some(order) => self.obey(order).await,
                    None => return,
                },
            }
        }
    }

    /// Until it runs: a start that is cut short is tried again, as a supervisor does.
    fn start(&mut self, cut_short: Option<u64>) {
        let mut cut_short = cut_short;
        loop {
            let elapsed_ms = self.world.elapsed_ms();
            // If the start does not get so far, the failure is still to come.
            self.may_fail |= cut_short.is_some();
            match self.machine.start(elapsed_ms, cut_short.take()) {
                Ok(bare) => return self.run(bare),
                Err(error) if !self.may_fail => panic!("the broker does not start: {error}"),
                Err(_) => {
                    self.may_fail = false;
                    let power = self.dice.percent(50);
                    self.machine.crash(power);
                }
            }
        }
    }

    fn run(&mut self, bare: BareBroker) {
        self.lives += 1;
        let door = bare.door();
        self.world.network.open(door.clone());
        let task = AbortOnDropHandle::new(tokio::spawn(Restless::new(bare.run())));
        self.running = Some(Running { door, task });
        self.world
            .record(Event::BrokerStarted { epoch: self.lives });
        if self.lives > 1 {
            self.world.tell_request(RequestRecord::Restarted);
        }
    }

    async fn obey(&mut self, order: Order) {
        match order {
            Order::Crash {
                power,
                down_ms,
                again_in_start,
            } => {
                self.crash(power);
                tokio::time::sleep(Duration::from_millis(down_ms)).await;
                self.start(again_in_start);
            }
            Order::Stop { grace_ms, down_ms } => self.stop(grace_ms, down_ms).await,
            Order::FailJournal { after, sync } => {
                self.may_fail = true;
                self.machine.fail_journal(after, sync);
            }
            Order::FailStore { after } => {
                self.may_fail = true;
                self.machine.fail_store(after);
            }
            Order::Squeeze(how) => self.machine.room.squeeze(how),
            Order::Release => self.machine.room.release(),
            Order::SetClock { by_ms } => {
                self.machine.wall_offset_ms += by_ms;
                self.world.record(Event::ClockSet { by_ms });
                self.world.tell(TopicRecord::ClockSet);
                self.world.tell_request(RequestRecord::ClockSet);
            }
        }
    }

    fn crash(&mut self, power: bool) {
        self.world.network.shut();
        self.machine.crash(power);
        // What was to fail is forgotten with the rest of the machine.
        self.machine.room.ran_out();
        self.may_fail = false;
        self.running = None;
        let silent = power && self.dice.percent(50);
        self.world.network.broker_gone(silent);
        self.world.record(if power {
            Event::PowerCut
        } else {
            Event::BrokerKilled
        });
    }

    async fn stop(&mut self, grace_ms: u64, down_ms: u64) {
        let Some(running) = self.running.take() else {
            return;
        };
        self.world.network.shut();
        running.door.stop(Duration::from_millis(grace_ms)).await;
        let result = running.task.await.expect("nobody aborts it but us");
        self.last_frames(result).await;
        tokio::time::sleep(Duration::from_millis(down_ms)).await;
        self.start(None);
    }

    /// It ended without being told to.
    async fn failed(&mut self, result: Result<(), Failure>) {
        self.running = None;
        self.world.network.shut();
        self.last_frames(result).await;
        tokio::time::sleep(AFTER_FAILURE).await;
        self.start(None);
    }

    async fn last_frames(&mut self, result: Result<(), Failure>) {
        let event = match result {
            Ok(()) => Event::BrokerStopped,
            Err(failure) => {
                let is_excused = self.machine.room.ran_out() || self.may_fail;
                assert!(is_excused, "the broker failed by itself: {failure}");
                Event::BrokerKilled
            }
        };
        self.world.network.served(LAST_FRAMES).await;
        let power = matches!(event, Event::BrokerKilled) && self.dice.percent(30);
        self.machine.crash(power);
        self.may_fail = false;
        self.world.network.broker_gone(false);
        self.world.record(event);
    }
}
