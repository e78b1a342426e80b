//! What a broker holds: memory and disk with many jobs waiting, how long it takes to start with them,
//! and what is left of it when they are gone; then what it takes while nobody does anything.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use tokio::time::sleep;
use verteilt_benches::load::{Keep, Kind, Outcome, Plan, Watch, drive};
use verteilt_benches::process::{Broker, Launch, processor_time_of_threads};
use verteilt_benches::program::{Common, Stage};
use verteilt_benches::report::Report;
use verteilt_benches::scratch::disk_bytes;
use verteilt_benches::{CONNECTIONS, QUEUE, WINDOW, checks};

/// What a broker holds in memory and on the disk
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    /// A configuration file for the broker
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Bytes of a body
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    body_bytes: u32,
    /// Connections of those who do nothing; this process needs as many open files, and the broker too
    #[arg(long, default_value_t = 9_000)]
    idle_connections: u32,
}

/// How long it is looked at while nothing happens.
const IDLE: Duration = Duration::from_secs(20);

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    arguments
        .common
        .run(async |stage| run(&arguments, &stage).await)
}

async fn run(arguments: &Arguments, stage: &Stage) -> Result<()> {
    let config = match &arguments.config {
        Some(path) => Some(
            path.canonicalize()
                .context("looking for the configuration")?,
        ),
        None => None,
    };
    let data = stage.scratch.fresh("verteilt")?;
    let mut report = arguments.common.report(stage);
    report.note("bytes of a body", arguments.body_bytes.to_string());
    let broker = Broker::start(Launch {
        binary: stage.broker.clone(),
        data: data.clone(),
        config,
        trace: None,
    })
    .await?;
    let mut house = House {
        arguments,
        stage,
        data,
        broker,
        report,
    };
    house.measure().await?;
    house.start_anew().await?;
    house.idle().await?;
    arguments.common.show(&house.report)
}

struct House<'a> {
    arguments: &'a Arguments,
    stage: &'a Stage,
    data: PathBuf,
    broker: Broker,
    report: Report,
}

impl House<'_> {
    async fn measure(&mut self) -> Result<()> {
        self.weigh("empty")?;
        let pushed = self.push("push").await?;
        self.weigh("all pushed")?;
        let live = self.arguments.common.jobs * u64::from(self.arguments.body_bytes);
        self.report.add("live bodies", "MB", megabytes(live));
        self.checkpoint("with all jobs").await?;
        self.weigh("all pushed, after a checkpoint")?;

        let restart = self.broker.kill_and_restart().await?;
        self.milliseconds("restart with all jobs in the store", restart);
        self.weigh("after that restart")?;
        checks::pushed_is_found(&self.broker.client().await?, &pushed.ids).await?;

        let acked = self.drain("drain from the store").await?;
        self.weigh("drained")?;
        self.checkpoint("drained").await?;
        self.weigh("drained, after a checkpoint")?;
        let restart = self.broker.kill_and_restart().await?;
        self.milliseconds("restart drained", restart);
        checks::acked_is_gone(&self.broker.client().await?, &pushed.ids, &acked.ids).await?;

        self.push("push again").await?;
        self.drain("drain again").await?;
        self.checkpoint("drained again").await?;
        self.weigh("drained again, after a checkpoint")
    }

    /// An empty broker, so that nothing it gave out before is used again.
    async fn start_anew(&mut self) -> Result<()> {
        self.broker.kill().await?;
        self.data = self.stage.scratch.fresh("idle")?;
        let launch = self.broker.launch().clone();
        self.broker = Broker::start(Launch {
            data: self.data.clone(),
            ..launch
        })
        .await?;
        Ok(())
    }

    async fn idle(&mut self) -> Result<()> {
        sleep(Duration::from_secs(2)).await;
        self.look("idle").await?;
        let before = self.broker.memory()?.now_bytes;
        let mut clients = Vec::new();
        for _ in 0..self.arguments.idle_connections {
            clients.push(self.broker.client().await?);
        }
        let after = self.broker.memory()?.now_bytes;
        let each = after.saturating_sub(before) as f64 / clients.len().max(1) as f64;
        let name = format!("memory of one of {} idle connections", clients.len());
        self.report.add(&name, "KiB", each / 1024.0);
        self.look(&format!("with {} idle connections", clients.len()))
            .await
    }

    async fn look(&mut self, when: &str) -> Result<()> {
        let id = self.broker.id()?;
        let before = processor_time_of_threads(id)?;
        sleep(IDLE).await;
        let took = processor_time_of_threads(id)?.saturating_sub(before);
        let share = took.as_secs_f64() / IDLE.as_secs_f64() * 100.0;
        self.report
            .add(&format!("processor time, {when}"), "% of a core", share);
        Ok(())
    }

    async fn push(&mut self, name: &str) -> Result<Outcome> {
        self.put_on(Kind::Push, name).await
    }

    async fn drain(&mut self, name: &str) -> Result<Outcome> {
        self.put_on(Kind::Reserve, name).await
    }

    async fn put_on(&mut self, kind: Kind, name: &str) -> Result<Outcome> {
        let plan = Plan {
            url: self.broker.url().to_owned(),
            gateway: None,
            queue: QUEUE.to_owned(),
            partitions: 8,
            connections: CONNECTIONS,
            in_flight: WINDOW,
            batch: 1,
            body_bytes: self.arguments.body_bytes as usize,
            jobs: Some(self.arguments.common.jobs),
            time: None,
            rate: None,
            keep: Keep::Ids,
        };
        let watch = Watch::default();
        let load = drive(kind, &plan, &watch);
        let done = self.stage.part(name, load).await?;
        self.report.add(name, "jobs/s", done.jobs_per_second);
        Ok(done)
    }

    async fn checkpoint(&mut self, when: &str) -> Result<()> {
        let client = self.broker.client().await?;
        let begun = Instant::now();
        let checkpoint = async { Ok(client.checkpoint().await?) };
        self.stage.part("checkpoint", checkpoint).await?;
        self.milliseconds(&format!("checkpoint {when}"), begun.elapsed());
        // What was let go of is deleted and recycled beside it.
        sleep(Duration::from_secs(2)).await;
        Ok(())
    }

    fn weigh(&mut self, when: &str) -> Result<()> {
        let memory = self.broker.memory()?;
        let (now, peak) = (memory.now_bytes, memory.peak_bytes);
        self.report
            .add(&format!("memory, {when}"), "MB", megabytes(now));
        self.report.add(
            &format!("most memory so far, {when}"),
            "MB",
            megabytes(peak),
        );
        let folder = disk_bytes(&self.data)?;
        self.report
            .add(&format!("data folder, {when}"), "MB", megabytes(folder));
        for part in ["journal", "store"] {
            let path = self.data.join(part);
            if Path::new(&path).is_dir() {
                let name = format!("{part}, {when}");
                self.report.add(&name, "MB", megabytes(disk_bytes(&path)?));
            }
        }
        Ok(())
    }

    fn milliseconds(&mut self, name: &str, took: Duration) {
        self.report.add(name, "ms", took.as_secs_f64() * 1e3);
    }
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
