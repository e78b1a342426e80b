//! The load: producers and workers, and how it is brought to its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use verteilt_client::{Client, Credit, JobState};
use verteilt_history::{Event, QueueEnd, Recorder};

use super::random::Random;
use super::{produce, session, work};
use crate::failure::Failure;

/// Where jobs go; the last one gets those that are in memory only.
pub(super) const QUEUES: [&str; 3] = ["torture.main", "torture.side", MEMORY];
pub(super) const MEMORY: &str = "torture.memory";

/// How many push at one time.
pub(super) const PRODUCERS: u32 = 4;

/// Which queue each worker takes from.
const WORKERS: [&str; 4] = [QUEUES[0], QUEUES[0], QUEUES[1], MEMORY];

/// Unsettled jobs of a worker.
const CREDIT: Credit = Credit::jobs(32);

/// Acknowledged jobs that are not done, at which producers wait. Bounds the data folder.
const WAITING_MAX: i64 = 1_000;

/// Once nothing is killed any more, everything has to be done after this.
pub(super) const DRAIN_MAX: Duration = Duration::from_secs(60);

/// Between two looks at the queues.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Dead jobs that are looked at, far more than there ever are.
const DEAD_MAX: u32 = 1_000;

/// What producers and workers share.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) recorder: Arc<Recorder>,
    /// Nothing more is pushed, everything is acked.
    pub(super) stopped: CancellationToken,
    /// Between two pushes of one producer, on the average.
    pub(super) pause: Duration,
    /// Acknowledged and not done.
    pub(super) waiting: AtomicI64,
    /// Bodies that said of themselves that they are not whole.
    pub(super) torn: AtomicU64,
    bodies: AtomicU64,
}

/// The load while it runs.
#[derive(Debug)]
pub(super) struct Running {
    load: Arc<Load>,
    /// For checkpoints and numbers; holds no jobs.
    pub(super) admin: Client,
    producers: JoinSet<()>,
}

impl Load {
    pub(super) fn has_room(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) < WAITING_MAX
    }

    /// A number for a body; never the same again.
    pub(super) fn number(&self) -> u64 {
        self.bodies.fetch_add(1, Ordering::Relaxed)
    }
}

/// Connects everybody and begins.
pub(super) async fn start(
    url: &str,
    recorder: &Arc<Recorder>,
    pause: Duration,
    random: &mut Random,
) -> Result<Running, Failure> {
    let load = Arc::new(Load {
        recorder: Arc::clone(recorder),
        stopped: CancellationToken::new(),
        pause,
        waiting: AtomicI64::new(0),
        torn: AtomicU64::new(0),
        bodies: AtomicU64::new(0),
    });
    let admin = session::connect(url, 0, recorder).await?;
    let mut producers = JoinSet::new();
    for number in 1..=PRODUCERS {
        let client = session::connect(url, number, recorder).await?;
        producers.spawn(produce::run(
            Arc::clone(&load),
            client,
            number,
            random.fork(),
        ));
    }
    for (number, queue) in (PRODUCERS + 1..).zip(WORKERS) {
        let client = session::connect(url, number, recorder).await?;
        let jobs = client.subscribe(queue, CREDIT).await;
        let jobs = jobs.map_err(|error| Failure::work(error.to_string()))?;
        tokio::spawn(work::run(Arc::clone(&load), jobs, number, random.fork()));
    }
    Ok(Running {
        load,
        admin,
        producers,
    })
}

impl Running {
    /// Pushes nothing more and waits until everything is done, or the time is up; either way the
    /// history says what is left.
    ///
    /// Returns how many bodies came changed.
    pub(super) async fn drain(mut self) -> Result<u64, Failure> {
        let end = Instant::now() + DRAIN_MAX;
        self.load.recorder.record(Event::FaultsStopped);
        self.load.stopped.cancel();
        let producers = &mut self.producers;
        let joined = async { while producers.join_next().await.is_some() {} };
        // Those that are open beyond it are for the checker.
        let _open = tokio::time::timeout_at(end, joined).await;
        let queues = loop {
            let queues = self.look().await?;
            if queues.iter().all(|queue| queue.unfinished() == 0) || Instant::now() > end {
                break queues;
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        };
        // The last acks are done; their answers are on the way.
        tokio::time::sleep(LOOK_INTERVAL).await;
        self.load.recorder.record(Event::Drained { queues });
        Ok(self.load.torn.load(Ordering::Relaxed))
    }

    async fn look(&self) -> Result<Vec<QueueEnd>, Failure> {
        let told = |error: verteilt_client::ClientError| Failure::work(error.to_string());
        let mut ends = Vec::new();
        for stats in self.admin.queue_stats(None).await.map_err(told)? {
            let mut dead = Vec::new();
            if stats.dead > 0 {
                let peeked = self.admin.peek(&stats.queue, JobState::Dead, DEAD_MAX);
                dead.extend(peeked.await.map_err(told)?.iter().map(|job| job.id));
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
