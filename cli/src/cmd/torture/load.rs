//! The load: producers and workers, how it is brought to its end, and begun again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use verteilt_client::{Client, ClientError, Credit, JobState};
use verteilt_history::{Event, QueueEnd, TopicRecord};

use super::flow::{Counts, Flow};
use super::random::Random;
use super::topics::Topics;
use super::witness::Witness;
use super::work::Worker;
use super::{produce, session};
use crate::failure::Failure;

/// Where jobs go; the last one gets those that are in memory only.
pub(super) const QUEUES: [&str; 3] = ["torture.main", "torture.side", MEMORY];
pub(super) const MEMORY: &str = "torture.memory";

/// How many push at one time.
const PRODUCERS: u32 = 4;

/// Which queue each worker subscribes to, and from which one takes by asking.
const SUBSCRIBERS: [&str; 4] = [QUEUES[0], QUEUES[0], QUEUES[1], MEMORY];
const RESERVER: &str = QUEUES[1];

/// Unsettled jobs of a subscription.
const CREDIT: Credit = Credit::jobs(256);

/// Jobs that wait, or are held, at which producers wait. Bounds the data folder.
const WAITING_MAX: u64 = 4_000;

/// Between two looks at how many wait.
const GAUGE_INTERVAL: Duration = Duration::from_millis(20);

/// Once nothing is killed any more, everything has to be done after this.
pub(super) const DRAIN_MAX: Duration = Duration::from_secs(60);

/// Between two looks at the queues while they drain.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Dead jobs of a queue that can be looked at, far more than a section has.
const DEAD_MAX: u32 = 1_000;

/// What producers and workers share.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) witness: Arc<Witness>,
    pub(super) flow: Flow,
    /// What workers do with their jobs, each in a task of its own.
    pub(super) deeds: TaskTracker,
    /// Bodies that said of themselves that they are not whole.
    pub(super) torn: AtomicU64,
    /// Nothing more is pushed, everything is acked.
    calm: AtomicBool,
    /// More than enough jobs wait.
    full: AtomicBool,
    bodies: AtomicU64,
}

/// The load while it runs.
#[derive(Debug)]
pub(super) struct Running {
    load: Arc<Load>,
    /// For checkpoints and numbers; holds no jobs.
    pub(super) admin: Client,
    producers: Vec<(u32, Client)>,
    pushing: JoinSet<()>,
    topics: Topics,
}

impl Load {
    pub(super) fn is_calm(&self) -> bool {
        self.calm.load(Ordering::SeqCst)
    }

    pub(super) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// A number for a body; never the same again.
    pub(super) fn number(&self) -> u64 {
        self.bodies.fetch_add(1, Ordering::Relaxed)
    }
}

/// Connects everybody and begins.
pub(super) async fn start(
    url: &str,
    witness: &Arc<Witness>,
    random: &mut Random,
) -> Result<Running, Failure> {
    let load = Arc::new(Load {
        witness: Arc::clone(witness),
        flow: Flow::default(),
        deeds: TaskTracker::new(),
        torn: AtomicU64::new(0),
        calm: AtomicBool::new(false),
        full: AtomicBool::new(false),
        bodies: AtomicU64::new(0),
    });
    let mut numbers = 0..;
    let mut connect = async || {
        let (number, hands) = (numbers.next().unwrap_or_default(), Arc::default());
        let client = session::connect(url, number, witness, Arc::clone(&hands)).await?;
        Ok::<_, Failure>((number, hands, client))
    };
    let (_, _, admin) = connect().await?;
    tokio::spawn(gauge(Arc::clone(&load), admin.clone()));
    let mut producers = Vec::new();
    for _ in 0..PRODUCERS {
        let (number, _, client) = connect().await?;
        producers.push((number, client));
    }
    for queue in SUBSCRIBERS {
        let (number, hands, client) = connect().await?;
        let worker = Worker::new(Arc::clone(&load), number, hands, random.fork());
        let jobs = answer(client.subscribe(queue, CREDIT).await)?;
        tokio::spawn(worker.take_what_comes(jobs));
    }
    let (number, hands, client) = connect().await?;
    let worker = Worker::new(Arc::clone(&load), number, hands, random.fork());
    tokio::spawn(worker.ask_for_more(client, RESERVER));
    let topics = Topics::start(url, &admin, witness, random).await?;
    let mut running = Running {
        load,
        topics,
        admin,
        producers,
        pushing: JoinSet::new(),
    };
    running.push(random);
    Ok(running)
}

/// Tells producers whether too much waits, until the client is closed.
async fn gauge(load: Arc<Load>, admin: Client) {
    loop {
        match admin.queue_stats(None).await {
            Ok(all) => {
                let of = |stats: &verteilt_client::QueueStats| {
                    stats.scheduled + stats.ready + stats.leased + stats.failed
                };
                let waiting: u64 = all.iter().map(of).sum();
                load.full.store(waiting >= WAITING_MAX, Ordering::Relaxed);
            }
            Err(ClientError::Closed) => return,
            Err(_) => {}
        }
        tokio::time::sleep(GAUGE_INTERVAL).await;
    }
}

/// Without it there is no going on.
fn answer<T>(answer: Result<T, ClientError>) -> Result<T, Failure> {
    answer.map_err(|error| Failure::work(error.to_string()))
}

impl Running {
    pub(super) fn counts(&self) -> Counts {
        self.load.flow.counts()
    }

    /// Bodies that came changed.
    pub(super) fn torn(&self) -> u64 {
        self.load.torn.load(Ordering::Relaxed)
    }

    /// Begins again, after [`Self::drain`]. The dead have been looked at and make room.
    pub(super) async fn resume(&mut self, random: &mut Random) -> Result<(), Failure> {
        for queue in QUEUES {
            answer(self.admin.purge(queue).await)?;
        }
        self.load.calm.store(false, Ordering::SeqCst);
        self.topics.resume(random).await?;
        self.push(random);
        Ok(())
    }

    fn push(&mut self, random: &mut Random) {
        for (number, client) in &self.producers {
            let load = Arc::clone(&self.load);
            let producer = produce::run(load, client.clone(), *number, random.fork());
            self.pushing.spawn(producer);
        }
    }

    /// Pushes nothing more and waits until everything is done, or the time is up; either way the
    /// history says what is left. Returns the history of topics.
    pub(super) async fn drain(&mut self) -> Result<Vec<TopicRecord>, Failure> {
        let end = Instant::now() + DRAIN_MAX;
        let recorder = &self.load.witness.recorder;
        recorder.record(Event::FaultsStopped);
        self.load.calm.store(true, Ordering::SeqCst);
        let producers = &mut self.pushing;
        let joined = async { while producers.join_next().await.is_some() {} };
        // Those that are open beyond it are for the checker.
        let _open = tokio::time::timeout_at(end, joined).await;
        let is_done = |queues: &[QueueEnd]| {
            self.load.deeds.is_empty() && queues.iter().all(|queue| queue.unfinished() == 0)
        };
        let mut queues = self.look().await?;
        while !is_done(&queues) && Instant::now() < end {
            tokio::time::sleep(LOOK_INTERVAL).await;
            queues = self.look().await?;
        }
        // A delivery whose lease has run out may be on its way still.
        tokio::time::sleep(LOOK_INTERVAL).await;
        recorder.record(Event::Drained { queues });
        self.topics.drain().await
    }

    async fn look(&self) -> Result<Vec<QueueEnd>, Failure> {
        let mut ends = Vec::new();
        for stats in answer(self.admin.queue_stats(None).await)? {
            let mut dead = Vec::new();
            if stats.dead > 0 {
                let peeked = self.admin.peek(&stats.queue, JobState::Dead, DEAD_MAX);
                dead.extend(answer(peeked.await)?.iter().map(|job| job.id));
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
        Ok(ends)
    }
}
