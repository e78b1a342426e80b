//! One run from its seed to its verdict.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use verteilt_broker::BrokerConfig;
use verteilt_client::{Client, JobState};
use verteilt_history::{
    Counts, Event, History, Options, QueueEnd, RequestRecord, TopicRecord, Violation, check,
    check_requests, check_topics, write_requests, write_topics,
};

use crate::client::{self, Hands};
use crate::dice::Dice;
use crate::ground::Machine;
use crate::house::{Keeper, Order};
use crate::network::{Break, Network};
use crate::panics;
use crate::plan::{Fault, FaultPlan, Plan, Setting};
use crate::producer;
use crate::request_stage::RequestStage;
use crate::topic_stage::TopicStage;
use crate::trace::Fingerprint;
use crate::worker::Worker;
use crate::world::{Shared, World};

/// Once nothing is broken any more, everything has to be done after this (virtual) time.
const DRAIN_MAX: Duration = Duration::from_secs(120);
/// Between two looks at the queues.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// Dead jobs that are looked at, more than there ever are.
const DEAD_MAX: u32 = 1_000;
/// Findings that are described.
const DESCRIBED_MAX: usize = 5;
/// The client of those who look.
const ADMIN: u32 = 0;
/// Workers that take the place of others have numbers from here.
const LATER_WORKERS: u32 = 1_000;

/// What became of a run.
#[derive(Debug)]
pub struct Outcome {
    /// What is wrong, if anything: a broken promise, a panic, something that never ended.
    pub findings: Vec<String>,
    /// The kinds of what is wrong: rules and the beginnings of panics, without the numbers.
    pub kinds: BTreeSet<String>,
    /// Of everything that went over the network and into the history.
    pub fingerprint: u64,
    /// Operations that clients began: pushes and settlings.
    pub operations: u64,
    /// What the history was about.
    pub counts: Counts,
    /// What clients did and saw of jobs.
    pub history: History,
    /// What they did and saw of topics.
    pub topics: Vec<TopicRecord>,
    /// And of requests.
    pub requests: Vec<RequestRecord>,
}

impl Outcome {
    /// All of its history, one record a line.
    ///
    /// # Errors
    /// What the output says.
    pub fn write(&self, mut output: impl Write) -> std::io::Result<()> {
        self.history.write(&mut output)?;
        write_topics(&self.topics, &mut output)?;
        write_requests(&self.requests, &mut output)
    }
}

/// Plays a plan.
#[must_use]
pub fn run(plan: &Plan) -> Outcome {
    let notes = panics::begin();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O needs nothing of the system");
    let fingerprint = Fingerprint::default();
    let world = runtime.block_on(play(plan, fingerprint.clone()));
    // Tasks that are dropped may still panic, and record.
    drop(runtime);
    let history = world.history();
    let topics = world.chronicle.finish();
    let report = check(&history, &options(plan));
    let broken_topics = check_topics(&topics);
    let requests = world.requests.finish();
    let broken_requests = check_requests(&requests, plan.lag_ms());
    let mut findings: Vec<String> = notes.lock().drain(..).collect();
    panics::share(None);
    let panicked = findings
        .iter()
        .map(|panic| panic.chars().take(60).collect());
    let broken = report
        .violations
        .iter()
        .chain(&broken_topics)
        .chain(&broken_requests)
        .map(|found| format!("{:?}", found.rule));
    let kinds = panicked.chain(broken).collect();
    if !report.holds() {
        findings.push(report.to_string());
    }
    describe("topics", &broken_topics, &mut findings);
    describe("requests", &broken_requests, &mut findings);
    let mut outcome = Outcome {
        findings,
        kinds,
        fingerprint: 0,
        operations: world.operations(),
        counts: report.counts,
        history,
        topics,
        requests,
    };
    let mut lines = Vec::new();
    outcome
        .write(&mut lines)
        .expect("a vector takes everything");
    fingerprint.add(&[outcome.history.records.len() as u64], &lines);
    outcome.fingerprint = fingerprint.value();
    outcome
}

fn describe(what: &str, broken: &[Violation], findings: &mut Vec<String>) {
    let described = broken.iter().take(DESCRIBED_MAX);
    findings.extend(described.map(|found| format!("{what}: {found}")));
}

fn options(plan: &Plan) -> Options {
    Options {
        lag_ms: plan.lag_ms(),
        drain_ms: DRAIN_MAX.as_millis() as u64,
        resume_grace_ms: plan.setting.resume_grace_ms,
        unseen_deliveries: true,
        described_max: DESCRIBED_MAX,
        ..Options::default()
    }
}

fn config(setting: &Setting) -> BrokerConfig {
    let mut config = BrokerConfig::new("nowhere", SocketAddr::from(([127, 0, 0, 1], 0)));
    config.segment_bytes = setting.segment_bytes;
    config.disk_reserve_bytes = 2 * u64::from(setting.segment_bytes);
    config.checkpoint_bytes = setting.checkpoint_bytes;
    config.checkpoint_interval_ms = setting.checkpoint_interval_ms;
    config.journal_bytes_max = setting.journal_bytes_max;
    config.cache_bytes = setting.cache_bytes;
    config.push_credit_bytes = setting.push_credit_bytes;
    config.heartbeat_ms = setting.heartbeat_ms;
    config.resume_grace_ms = setting.resume_grace_ms;
    config
}

async fn play(plan: &Plan, fingerprint: Fingerprint) -> World {
    let setting = &plan.setting;
    let network = Network::new(plan.seed, setting.manners, fingerprint);
    let world = Shared::new(plan.clone(), network);
    let mut dice = Dice::of(plan.seed, 4);
    let machine = Machine::new(
        config(setting),
        setting.write_ms_max,
        plan.is_bounded(),
        Dice::new(dice.next()),
    );
    let (orders, taken) = mpsc::channel(16);
    let keeper = Keeper::new(world.clone(), machine, Dice::new(dice.next()));
    let keeping = AbortOnDropHandle::new(tokio::spawn(keeper.keep(taken)));
    // In a run of its own, so that a panic here is noted like any other.
    let playing = tokio::spawn(drama(world.clone(), orders, dice));
    let _ = playing.await;
    drop(keeping);
    world
}

/// The load and the faults, then the end of both.
async fn drama(world: World, orders: mpsc::Sender<Order>, mut dice: Dice) {
    let setting = &world.plan.setting;
    let admin = client::connect(&world, ADMIN, ADMIN, Hands::default()).await;
    let admin = admin.expect("nothing is broken yet");
    let mut producers = Vec::new();
    for number in 0..setting.producers {
        let pushes = world.plan.pushes.iter();
        let own = pushes.filter(|push| push.producer == number).cloned();
        let (world, own) = (world.clone(), own.collect());
        producers.push(AbortOnDropHandle::new(tokio::spawn(async move {
            // Only a world that ends leaves a client without a connection.
            if let Ok(client) =
                client::connect(&world, number + 1, number + 1, Hands::default()).await
            {
                producer::run(world, client, number + 1, own).await;
            }
        })));
    }
    let topics = TopicStage::set(&world, &admin).await;
    producers.extend(topics.publishers());
    let requests = RequestStage::set(&world);
    producers.extend(requests.callers());
    let mut stage = Stage {
        topics,
        requests,
        workers: Vec::new(),
        later: LATER_WORKERS,
        world: world.clone(),
        orders,
        admin,
    };
    for (plan, wire) in setting.workers.iter().zip(setting.producers + 1..) {
        stage.workers.push(Worker::start(&world, *plan, wire, wire));
    }
    for fault in world.plan.faults.clone() {
        tokio::time::sleep_until(world.at(fault.at_ms)).await;
        stage.strike(fault.fault).await;
    }
    tokio::time::sleep_until(world.at(setting.load_ms)).await;
    stage.make_room().await;
    world.heal();
    // A queue without a worker of its own gets one now; and nobody has too little room any more.
    for queue in 0..setting.queues {
        stage.add_worker(queue);
    }
    stage.drain(producers).await;
    if dice.percent(50) {
        // What is done stays done.
        let power = dice.percent(50);
        stage.crash(power).await;
        stage.drain(Vec::new()).await;
    }
}

struct Stage {
    world: World,
    orders: mpsc::Sender<Order>,
    admin: Client,
    topics: TopicStage,
    requests: RequestStage,
    workers: Vec<Worker>,
    later: u32,
}

impl Stage {
    async fn order(&self, order: Order) {
        // The keeper ends with the world only.
        let _ = self.orders.send(order).await;
    }

    async fn crash(&self, power: bool) {
        self.order(Order::Crash {
            power,
            down_ms: 5,
            again_in_start: None,
        })
        .await;
    }

    /// A disk that was filled for a while only is so no more.
    async fn make_room(&self) {
        let for_a_while =
            |plan: &FaultPlan| matches!(plan.fault, Fault::FullDisk { ms: Some(_), .. });
        if self.world.plan.faults.iter().any(for_a_while) {
            self.order(Order::Release).await;
        }
    }

    async fn strike(&mut self, fault: Fault) {
        let network = &self.world.network;
        self.topics.look();
        match fault {
            Fault::Crash {
                power,
                down_ms,
                again_in_start,
            } => {
                self.order(Order::Crash {
                    power,
                    down_ms,
                    again_in_start,
                })
                .await;
            }
            Fault::Stop { grace_ms, down_ms } => {
                self.order(Order::Stop { grace_ms, down_ms }).await;
            }
            Fault::Journal { after, sync } => {
                self.order(Order::FailJournal { after, sync }).await;
            }
            Fault::FullDisk { how, ms } => {
                self.order(Order::Squeeze(how)).await;
                if let Some(ms) = ms {
                    let (orders, until) = (self.orders.clone(), Duration::from_millis(ms));
                    tokio::spawn(async move {
                        tokio::time::sleep(until).await;
                        let _ = orders.send(Order::Release).await;
                    });
                }
            }
            Fault::Store { after } => self.order(Order::FailStore { after }).await,
            Fault::Clock { by_ms } => self.order(Order::SetClock { by_ms }).await,
            Fault::Break { client, how } => network.break_links(client, how),
            Fault::Stall {
                client,
                up,
                down,
                ms,
            } => network.stall(client, up, down, Duration::from_millis(ms)),
            Fault::SlowReader { client } => network.slow_down(client),
            Fault::ReaderDies { reader } => self.topics.replace_reader(reader),
            Fault::ServerDies { server } => self.requests.replace_server(server),
            Fault::Keeps { topic, keeps } => self.topics.keep(topic, keeps),
            Fault::Delete { topic } => self.topics.delete(topic),
            Fault::WorkerDies { worker } => self.replace_worker(worker),
            Fault::Checkpoint => {
                let (world, admin) = (self.world.clone(), self.admin.clone());
                tokio::spawn(async move {
                    if admin.checkpoint().await.is_ok() {
                        world.record(Event::CheckpointDone);
                    }
                });
            }
        }
    }

    /// What its process had sent still arrives.
    fn replace_worker(&mut self, worker: u32) {
        let setting = &self.world.plan.setting;
        let plan = setting.workers[worker as usize];
        let wire = setting.producers + 1 + worker;
        let old = self.workers.remove(worker as usize);
        self.world
            .network
            .break_links(wire, Break::ClientFirst { lag_ms: 20 });
        self.world
            .record(Event::Disconnected { client: old.number });
        drop(old);
        self.later += 1;
        let next = Worker::start(&self.world, plan, self.later, wire);
        self.workers.insert(worker as usize, next);
    }

    fn add_worker(&mut self, queue: u64) {
        let plan = crate::plan::WorkerPlan {
            queue,
            credit: 16,
            credit_bytes: 8 * 1024 * 1024,
        };
        self.later += 1;
        let worker = Worker::start(&self.world, plan, self.later, self.later);
        self.workers.push(worker);
    }

    /// Waits until everything is done, or the time is up; the history says what is left.
    async fn drain(&self, producers: Vec<AbortOnDropHandle<()>>) {
        let end = Instant::now() + DRAIN_MAX;
        for producer in producers {
            // Those that are open beyond it are for the checker.
            let _ = tokio::time::timeout_at(end, producer).await;
        }
        self.requests.drain(&self.admin, end).await;
        self.topics.drain(end).await;
        let queues = loop {
            let queues = self.look().await;
            let is_done = queues.iter().all(|queue| queue.unfinished() == 0);
            if is_done && self.world.settlings_open() == 0 || Instant::now() > end {
                break queues;
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        };
        // The last acks are done; their answers are on the way.
        tokio::time::sleep(LOOK_INTERVAL).await;
        self.world.record(Event::Drained { queues });
        let open = self.world.settlings_open();
        assert!(open == 0, "settlings that nobody answers: {open}");
    }

    async fn look(&self) -> Vec<QueueEnd> {
        let mut ends = Vec::new();
        let all = self.admin.queue_stats(None).await;
        for stats in all.expect("the broker serves") {
            let mut dead = Vec::new();
            if stats.dead > 0 {
                let peeked = self.admin.peek(&stats.queue, JobState::Dead, DEAD_MAX);
                let peeked = peeked.await.expect("the broker serves");
                dead.extend(peeked.iter().map(|job| job.id));
            }
            ends.push(QueueEnd {
                queue: stats.queue,
                scheduled: stats.scheduled,
                ready: stats.ready,
                leased: stats.leased,
                failed: stats.failed,
                dead,
            });
        }
        ends
    }
}
