//! When the next request leaves, and whether there is one.
//!
//! In a closed loop it leaves when an earlier one is answered. At a fixed rate it is due at a time that
//! was known before the load began, and its latency counts from then: a broker that stops for a second
//! is charged for everything that was due in that second, although none of it was sent.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::plan::{Keep, Plan};
use super::timer::Timer;

/// The pacer looks this often at least whether it is still wanted.
const SLEEP_MAX: Duration = Duration::from_millis(50);
/// And wakes up no more often than this: requests that are due within it leave together.
const SLEEP_MIN: Duration = Duration::from_micros(20);

/// Leave to send one request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    /// Where its latency counts from.
    pub(super) due: Instant,
    /// Jobs of the request.
    pub(super) jobs: u64,
}

/// Gives out the turns of a load, over all its connections.
#[derive(Debug)]
pub(super) struct Pace {
    begun: Instant,
    /// Jobs that are left to be sent.
    left: AtomicU64,
    batch: u64,
    over: CancellationToken,
    /// As `over` says, where looking costs next to nothing.
    ended: AtomicBool,
    is_timed: bool,
    schedule: Option<Schedule>,
}

/// The due times of a fixed rate.
#[derive(Debug)]
struct Schedule {
    begun: Instant,
    /// Between two requests.
    interval_s: f64,
    /// A permit for each request that has become due and has not been taken.
    due: Semaphore,
    taken: AtomicU64,
    /// From when a request was due to when it was sent.
    lateness: Arc<Timer>,
}

impl Pace {
    /// The clock starts now. There is a timer for the lateness where there is a rate.
    pub(super) fn start(
        plan: &Plan,
        lateness: Option<Arc<Timer>>,
        over: CancellationToken,
    ) -> Result<Arc<Self>> {
        let begun = Instant::now();
        let batch = plan.batch as u64;
        let schedule = plan.rate.zip(lateness).map(|(rate, lateness)| Schedule {
            begun,
            interval_s: batch as f64 / rate,
            due: Semaphore::new(0),
            taken: AtomicU64::new(0),
            lateness,
        });
        let is_paced = schedule.is_some();
        let pace = Arc::new(Self {
            begun,
            left: AtomicU64::new(plan.jobs.unwrap_or(u64::MAX)),
            batch,
            over,
            ended: AtomicBool::new(false),
            is_timed: plan.keep == Keep::Times,
            schedule,
        });
        if is_paced {
            let weak = Arc::downgrade(&pace);
            thread::Builder::new()
                .name("pacer".to_owned())
                .spawn(move || release(&weak))
                .context("starting the thread that keeps the pace")?;
        }
        Ok(pace)
    }

    /// When it started.
    pub(super) fn begun(&self) -> Instant {
        self.begun
    }

    /// There will be no more turns.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Waits until a request is due. None: there will be no more.
    pub(super) async fn next(&self) -> Option<Turn> {
        let due = match &self.schedule {
            Some(schedule) => schedule.next().await?,
            None if self.is_timed => Instant::now(),
            // Any time will do, and a clock is not for nothing.
            None => self.begun,
        };
        if self.ended.load(Ordering::Relaxed) {
            return None;
        }
        let order = Ordering::Relaxed;
        let take = |left: u64| (left > 0).then(|| left.saturating_sub(self.batch));
        let left = self.left.fetch_update(order, order, take).ok()?;
        if let Some(schedule) = &self.schedule {
            schedule.lateness.record(due, left.min(self.batch));
        }
        let jobs = left.min(self.batch);
        Some(Turn { due, jobs })
    }

    /// Jobs that were due when it was over and were never sent.
    pub(super) fn unsent(&self) -> u64 {
        let Some(schedule) = &self.schedule else {
            return 0;
        };
        let turns = schedule.due.available_permits() as u64;
        (turns * self.batch).min(self.left.load(Ordering::Relaxed))
    }
}

impl Schedule {
    async fn next(&self) -> Option<Instant> {
        self.due.acquire().await.ok()?.forget();
        Some(self.due_at(self.taken.fetch_add(1, Ordering::Relaxed)))
    }

    fn due_at(&self, number: u64) -> Instant {
        self.begun + Duration::from_secs_f64(number as f64 * self.interval_s)
    }

    /// How many requests are due by now.
    fn due_by_now(&self) -> u64 {
        (self.begun.elapsed().as_secs_f64() / self.interval_s) as u64 + 1
    }
}

/// Gives a permit for each request as it becomes due. A thread, because the runtime's timers are good
/// to a millisecond, and that would stand in every latency.
fn release(pace: &Weak<Pace>) {
    // Without it a wake-up is about 50 us later; nothing breaks.
    let _coarse = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    let mut given = 0;
    while let Some(pace) = pace.upgrade() {
        let Some(schedule) = &pace.schedule else {
            return;
        };
        if pace.over.is_cancelled() || pace.left.load(Ordering::Relaxed) == 0 {
            // Everybody who waits comes to see that it is over.
            schedule.due.close();
            return;
        }
        let due = schedule.due_by_now();
        schedule.due.add_permits((due - given) as usize);
        given = due;
        let next = schedule.due_at(given);
        drop(pace);
        let wait = next.saturating_duration_since(Instant::now());
        thread::sleep(wait.clamp(SLEEP_MIN, SLEEP_MAX));
    }
}
