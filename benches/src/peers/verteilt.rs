//! Ourselves: every push one call of the client, every ack another.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use verteilt_client::{Client, Credit, Subscription};

use super::{Home, Load, Pair, Peer};
use crate::load::{self, Keep, Kind, Outcome, Plan, Watch};
use crate::process::{Broker, Launch};
use crate::{QUEUE, checks};

/// Our broker.
#[derive(Debug)]
pub struct Verteilt {
    broker: Broker,
    /// The ids of what was pushed.
    pushed: Vec<u64>,
    acked: Vec<u64>,
}

impl Verteilt {
    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> &str {
        self.broker.url()
    }

    /// Pushes batches of so many jobs, as many jobs in flight as the load says.
    ///
    /// # Errors
    /// The first batch that fails.
    pub async fn push_batches(&mut self, load: &Load, batch: usize) -> Result<Duration> {
        let plan = Plan {
            batch,
            ..self.plan(load)
        };
        let done = load::drive(Kind::Push, &plan, &Watch::default()).await?;
        Ok(self.remember(done))
    }

    /// Takes note of pushes that were made past the client.
    pub fn note_pushed(&mut self, ids: Vec<u64>) {
        self.pushed = ids;
    }

    fn plan(&self, load: &Load) -> Plan {
        Plan {
            url: self.url().to_owned(),
            gateway: None,
            queue: QUEUE.to_owned(),
            partitions: 8,
            connections: load.connections,
            in_flight: load.in_flight,
            batch: 1,
            body_bytes: load.body.len(),
            jobs: Some(load.jobs),
            time: None,
            rate: None,
            keep: Keep::Ids,
        }
    }

    fn remember(&mut self, done: Outcome) -> Duration {
        self.pushed = done.ids;
        Duration::from_secs_f64(done.seconds)
    }
}

impl Peer for Verteilt {
    const NAME: &'static str = "Verteilt";
    const PUSH: &'static str = "push";
    const WORK: &'static str = "subscribe, ack";
    type Pair = Idle;

    async fn about(program: &Path) -> Result<String> {
        super::server::printed(program, &["--version"]).await
    }

    async fn start(home: Home) -> Result<Self> {
        let broker = Broker::start(Launch {
            binary: home.program,
            data: home.data,
            config: None,
            trace: home.trace,
        })
        .await?;
        Ok(Self {
            broker,
            pushed: Vec::new(),
            acked: Vec::new(),
        })
    }

    fn id(&self) -> Result<u32> {
        self.broker.id()
    }

    async fn kill(&mut self) -> Result<()> {
        self.broker.kill().await
    }

    async fn start_again(&mut self) -> Result<()> {
        self.broker.start_again().await
    }

    async fn push(&mut self, load: &Load) -> Result<Duration> {
        let done = load::drive(Kind::Push, &self.plan(load), &Watch::default()).await?;
        Ok(self.remember(done))
    }

    async fn check_pushed(&mut self, _load: &Load) -> Result<()> {
        checks::pushed_is_found(&self.broker.client().await?, &self.pushed).await
    }

    async fn work(&mut self, load: &Load) -> Result<Duration> {
        let done = load::drive(Kind::Reserve, &self.plan(load), &Watch::default()).await?;
        self.acked = done.ids;
        Ok(Duration::from_secs_f64(done.seconds))
    }

    async fn count_returned(&mut self, _load: &Load) -> Result<u64> {
        let client = self.broker.client().await?;
        checks::acked_is_gone(&client, &self.pushed, &self.acked).await?;
        Ok(0)
    }

    async fn pair(&mut self) -> Result<Idle> {
        let (producer, consumer) = (self.broker.client().await?, self.broker.client().await?);
        let jobs = consumer.subscribe("latency", Credit::jobs(1)).await?;
        Ok(Idle { producer, jobs })
    }
}

/// Two clients.
#[derive(Debug)]
pub struct Idle {
    producer: Client,
    jobs: Subscription,
}

impl Pair for Idle {
    async fn once(&mut self, body: &Bytes) -> Result<Duration> {
        let begun = Instant::now();
        let delivered = async {
            let job = self.jobs.next().await;
            (job, begun.elapsed())
        };
        let (pushed, (job, took)) =
            tokio::join!(self.producer.push("latency", body.clone()), delivered);
        pushed?;
        job.context("the subscription ended")?.ack().await?;
        Ok(took)
    }
}
