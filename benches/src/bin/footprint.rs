//! What a broker holds: memory and disk with many jobs waiting, how long it takes to start with them,
//! and what is left of it when they are gone.

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use clap::Parser;
use tokio::runtime::Builder;
use tokio::time::{sleep, timeout};
use verteilt_benches::machine::Machine;
use verteilt_benches::process::{Broker, find_binary, interrupted};
use verteilt_benches::report::Report;
use verteilt_benches::scratch::{Scratch, disk_bytes};
use verteilt_benches::{body, checks, load};

/// What a broker holds in memory and on the disk
#[derive(Debug, Parser)]
struct Arguments {
    /// The broker's release binary [default: beside this program]
    #[arg(long, value_name = "FILE")]
    verteilt: Option<PathBuf>,
    /// A folder on a real disk for all data; emptied at the end [default: in the build folder]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// A configuration file for the broker
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Jobs
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    jobs: u64,
    /// Bytes of a body
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    body_bytes: u32,
    /// Seconds that one part may take
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    part_seconds: u64,
    /// Also write everything as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            done = run(&arguments) => done,
            // The broker is killed as its owner is dropped.
            stopped = interrupted() => stopped,
        }
    })
}

async fn run(arguments: &Arguments) -> Result<()> {
    let binary = find_binary(arguments.verteilt.as_deref())?;
    let scratch = Scratch::new(arguments.data.as_deref())?;
    let copy = scratch.path().join("broker");
    fs::copy(&binary, &copy).context("copying the broker's binary")?;
    let config = match &arguments.config {
        Some(path) => Some(
            path.canonicalize()
                .context("looking for the configuration")?,
        ),
        None => None,
    };
    let data = scratch.fresh("verteilt")?;
    let mut report = Report::new(Machine::look(scratch.filesystem()));
    report.note("jobs", arguments.jobs.to_string());
    report.note("bytes of a body", arguments.body_bytes.to_string());
    let broker = Broker::start(&copy, &data, config.as_deref()).await?;
    let mut house = House {
        arguments,
        data,
        broker,
        body: body(arguments.body_bytes as usize),
        report,
    };
    house.measure().await?;
    println!("{}", house.report.table());
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string_pretty(&house.report)?;
        fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

struct House<'a> {
    arguments: &'a Arguments,
    data: PathBuf,
    broker: Broker,
    body: Bytes,
    report: Report,
}

impl House<'_> {
    async fn measure(&mut self) -> Result<()> {
        self.weigh("empty")?;
        let pushed = self.push("push").await?;
        self.weigh("all pushed")?;
        let live = self.arguments.jobs * u64::from(self.arguments.body_bytes);
        self.report.add("live bodies", "MB", megabytes(live));
        self.checkpoint("with all jobs").await?;
        self.weigh("all pushed, after a checkpoint")?;

        let restart = self.broker.kill_and_restart().await?;
        self.milliseconds("restart with all jobs in the store", restart);
        self.weigh("after that restart")?;
        checks::pushed_is_found(&self.broker.client().await?, &pushed).await?;

        let acked = self.drain("drain from the store").await?;
        self.weigh("drained")?;
        self.checkpoint("drained").await?;
        self.weigh("drained, after a checkpoint")?;
        let restart = self.broker.kill_and_restart().await?;
        self.milliseconds("restart drained", restart);
        checks::acked_is_gone(&self.broker.client().await?, &pushed, &acked).await?;

        self.push("push again").await?;
        self.drain("drain again").await?;
        self.checkpoint("drained again").await?;
        self.weigh("drained again, after a checkpoint")
    }

    async fn push(&mut self, name: &str) -> Result<load::Done> {
        let clients = load::connect(self.broker.url()).await?;
        let load = load::push(&clients, self.arguments.jobs, &self.body);
        let done = self.part(name, load).await?;
        self.report.add(name, "jobs/s", done.rate());
        Ok(done)
    }

    async fn drain(&mut self, name: &str) -> Result<load::Done> {
        let clients = load::connect(self.broker.url()).await?;
        let load = load::work(&clients, self.arguments.jobs, &self.body);
        let done = self.part(name, load).await?;
        self.report.add(name, "jobs/s", done.rate());
        Ok(done)
    }

    async fn checkpoint(&mut self, when: &str) -> Result<()> {
        let client = self.broker.client().await?;
        let begun = Instant::now();
        let checkpoint = async { Ok(client.checkpoint().await?) };
        self.part("checkpoint", checkpoint).await?;
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

    async fn part<T>(&self, name: &str, part: impl Future<Output = Result<T>>) -> Result<T> {
        eprintln!("  {name}");
        let limit = Duration::from_secs(self.arguments.part_seconds);
        let done = timeout(limit, part).await;
        done.with_context(|| format!("{name} took longer than {limit:?}"))?
            .with_context(|| name.to_owned())
    }

    fn milliseconds(&mut self, name: &str, took: Duration) {
        self.report.add(name, "ms", took.as_secs_f64() * 1e3);
    }
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
