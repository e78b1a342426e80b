//! What the tasks of one load share.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use verteilt_client::Client;

use super::pace::{Pace, Turn};
use super::plan::{Keep, Kind, Plan};
use super::timer::{Latency, Timer};
use super::watch::Watch;

/// Bounds the goodbye of a client whose broker may be gone.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections that serve what comes through a gateway.
const HTTP_WORKERS: usize = 2;

/// A load while it runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) plan: Plan,
    pub(super) clients: Vec<Client>,
    pub(super) body: Bytes,
    pub(super) watch: Watch,
    /// Nothing is begun any more: the limits are reached, or somebody stopped it.
    pub(super) over: CancellationToken,
    pace: OnceLock<Arc<Pace>>,
    timers: Mutex<Vec<Arc<Timer>>>,
    ids: Mutex<Vec<u64>>,
}

impl Running {
    pub(super) async fn connect(kind: Kind, plan: &Plan, watch: &Watch) -> Result<Self> {
        let connections = match kind {
            Kind::Push | Kind::Reserve | Kind::Publish | Kind::Consume => plan.connections,
            // Producers or callers, then consumers or workers.
            Kind::Cycle | Kind::Request => 2 * plan.connections,
            // The workers; callers speak HTTP.
            Kind::Http => HTTP_WORKERS,
        };
        let mut clients = Vec::with_capacity(connections);
        for _ in 0..connections {
            let client = Client::builder()
                .url(&plan.url)
                .name("verteilt-bench")
                .close_timeout(CLOSE_TIMEOUT)
                .connect();
            clients.push(client.await?);
        }
        Ok(Self {
            plan: plan.clone(),
            clients,
            // Kept for good, once a load: nobody counts references to it for each job.
            body: Bytes::from_static(crate::body(plan.body_bytes).to_vec().leak()),
            watch: watch.clone(),
            over: watch.stop.child_token(),
            pace: OnceLock::new(),
            timers: Mutex::default(),
            ids: Mutex::default(),
        })
    }

    /// A timer of one step, if times are kept.
    pub(super) fn timer(&self, step: &'static str) -> Arc<Timer> {
        let timer = Arc::new(Timer::new(step, self.plan.keep == Keep::Times));
        self.timers.lock().push(Arc::clone(&timer));
        timer
    }

    /// Begins to give out turns.
    pub(super) fn pace(&self) -> Result<Arc<Pace>> {
        let lateness = self.plan.rate.map(|_| self.timer("send delay"));
        let pace = Pace::start(&self.plan, lateness, self.over.clone())?;
        Ok(Arc::clone(self.pace.get_or_init(|| pace)))
    }

    /// A request was answered.
    pub(super) fn answered(&self, timer: &Timer, turn: &Turn) {
        self.watch.add(turn.jobs);
        if let Some(now) = timer.record(turn.due, turn.jobs) {
            self.watch.answered(now);
        }
    }

    /// Nothing is begun any more.
    pub(super) fn end_turns(&self) {
        if let Some(pace) = self.pace.get() {
            pace.end();
        }
    }

    /// Whether the ids of the jobs are wanted.
    pub(super) fn keeps_ids(&self) -> bool {
        self.plan.keep == Keep::Ids
    }

    pub(super) fn keep(&self, mut ids: Vec<u64>) {
        self.ids.lock().append(&mut ids);
    }

    pub(super) fn take_ids(&self) -> Vec<u64> {
        let mut ids = std::mem::take(&mut *self.ids.lock());
        ids.sort_unstable();
        ids
    }

    pub(super) fn latencies(&self) -> Vec<Latency> {
        let timers = self.timers.lock();
        timers.iter().filter_map(|timer| timer.latency()).collect()
    }

    pub(super) fn unsent(&self) -> u64 {
        self.pace.get().map_or(0, |pace| pace.unsent())
    }

    /// Says goodbye, so that the broker gives the jobs in hand to others at once.
    pub(super) async fn close(&self) {
        // Whether it heard it changes nothing about what was measured.
        let _goodbyes = join_all(self.clients.iter().map(Client::close)).await;
    }
}
