//! Verteilt and Redis under the same load, in turns, on the same disk: single pushes, reserve and ack,
//! every acknowledgement after its sync, every part ended by a kill whose restart must find what was
//! acknowledged.

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use clap::Parser;
use tokio::runtime::Builder;
use tokio::time::timeout;
use verteilt_benches::load::{self, Done};
use verteilt_benches::machine::Machine;
use verteilt_benches::process::{Broker, find_binary, interrupted, processor_time};
use verteilt_benches::redis::{self, Redis};
use verteilt_benches::report::Report;
use verteilt_benches::scratch::{Scratch, settle};
use verteilt_benches::{CONNECTIONS, WINDOW, body, checks, frames, latency};

const ABSENT: &str = "NOT INSTALLED: everything about it is unproven";

/// Verteilt next to Redis
#[derive(Debug, Parser)]
struct Arguments {
    /// The broker's release binary [default: beside this program]
    #[arg(long, value_name = "FILE")]
    verteilt: Option<PathBuf>,
    /// A folder on a real disk for all data; emptied at the end [default: in the build folder]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Jobs of each part
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    jobs: u64,
    /// Bytes of a body
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    body_bytes: u32,
    /// Rounds, each of both systems
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Samples of the latency in each round
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    samples: u32,
    /// Threads of the load; 1 does everything on the main thread
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    threads: u8,
    /// Seconds that one part may take
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    part_seconds: u64,
    /// Leave out what stands beside the demands: batches and raw frames
    #[arg(long)]
    short: bool,
    /// Also write everything as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let runtime = match arguments.threads {
        1 => Builder::new_current_thread().enable_all().build()?,
        threads => Builder::new_multi_thread()
            .worker_threads(threads.into())
            .enable_all()
            .build()?,
    };
    runtime.block_on(async {
        tokio::select! {
            done = run(&arguments) => done,
            // The children are killed as their owners are dropped.
            stopped = interrupted() => stopped,
        }
    })
}

async fn run(arguments: &Arguments) -> Result<()> {
    let binary = find_binary(arguments.verteilt.as_deref())?;
    let scratch = Scratch::new(arguments.data.as_deref())?;
    // A copy: the file may be built anew while we measure.
    let copy = scratch.path().join("broker");
    fs::copy(&binary, &copy).context("copying the broker's binary")?;
    let mut report = Report::new(Machine::look(scratch.filesystem()));
    let redis_version = redis::version().await;
    report.note("jobs of each part", arguments.jobs.to_string());
    report.note("bytes of a body", arguments.body_bytes.to_string());
    report.note(
        "connections, unanswered on each",
        format!("{CONNECTIONS}, {WINDOW}"),
    );
    report.note("threads of the load", arguments.threads.to_string());
    report.note("Redis", redis_version.as_deref().unwrap_or(ABSENT));
    if redis_version.is_none() {
        eprintln!(
            "redis-server is not installed (apt-get install redis-server): its side is UNPROVEN"
        );
    }
    let mut round = Round {
        arguments,
        binary: &copy,
        scratch: &scratch,
        body: body(arguments.body_bytes as usize),
        report,
    };
    for number in 1..=arguments.rounds {
        eprintln!("round {number} of {}", arguments.rounds);
        round.verteilt().await?;
        if redis_version.is_some() {
            round.redis().await?;
        }
        if !arguments.short {
            round.beside().await?;
        }
        scratch.clear().await?;
    }
    finish(round.report, arguments.json.as_deref())
}

fn finish(mut report: Report, json: Option<&Path>) -> Result<()> {
    report.add_ratio(
        "push: Verteilt to Redis",
        "push: Verteilt",
        "push: Redis XADD",
    );
    let acks = (
        "reserve+ack: Verteilt",
        "reserve+ack: Redis XREADGROUP+XACK",
    );
    report.add_ratio("reserve+ack: Verteilt to Redis", acks.0, acks.1);
    let delivery = "delivery median to one fdatasync";
    report.add_ratio(
        delivery,
        "push to delivery, median",
        "4 KiB write+fdatasync, median",
    );
    report.demand(
        "push at least 3 times Redis",
        "push: Verteilt to Redis",
        |x| x >= 3.0,
    );
    report.demand(
        "reserve+ack at least twice Redis",
        "reserve+ack: Verteilt to Redis",
        |x| x >= 2.0,
    );
    report.demand("delivery at most 2 fdatasync", delivery, |x| x <= 2.0);
    println!("{}", report.table());
    if let Some(path) = json {
        let text = serde_json::to_string_pretty(&report)?;
        fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

struct Round<'a> {
    arguments: &'a Arguments,
    binary: &'a Path,
    scratch: &'a Scratch,
    body: Bytes,
    report: Report,
}

impl Round<'_> {
    /// Push, kill, count, reserve and ack, kill, count, latency.
    async fn verteilt(&mut self) -> Result<()> {
        let data = self.scratch.fresh("verteilt")?;
        let mut broker = Broker::start(self.binary, &data, None).await?;
        let (jobs, body) = (self.arguments.jobs, self.body.clone());
        let clients = load::connect(broker.url()).await?;
        let load = load::push(&clients, jobs, &body);
        let pushed = self.speed("push: Verteilt", broker.id()?, load).await?;
        drop(clients);
        let restart = broker.kill_and_restart().await?;
        self.milliseconds("restart after push: Verteilt", restart);
        checks::pushed_is_found(&broker.client().await?, &pushed).await?;

        let clients = load::connect(broker.url()).await?;
        let load = load::work(&clients, jobs, &body);
        let acked = self
            .speed("reserve+ack: Verteilt", broker.id()?, load)
            .await?;
        drop(clients);
        broker.kill_and_restart().await?;
        checks::acked_is_gone(&broker.client().await?, &pushed, &acked).await?;

        let samples = self.arguments.samples as usize;
        let measured = latency::measure(broker.url(), self.scratch.path(), samples, &body);
        let samples = self.part("latency: Verteilt", measured).await?;
        self.microseconds("push to delivery, median", &samples.delivery, 50);
        self.microseconds("push to delivery, p99", &samples.delivery, 99);
        self.microseconds("4 KiB write+fdatasync, median", &samples.sync, 50);
        self.microseconds("4 KiB write+fdatasync, p99", &samples.sync, 99);
        broker.kill().await
    }

    /// What is not demanded and tells more: batches of the client, frames past the client.
    async fn beside(&mut self) -> Result<()> {
        let (jobs, body) = (self.arguments.jobs, self.body.clone());
        let data = self.scratch.fresh("verteilt")?;
        let mut broker = Broker::start(self.binary, &data, None).await?;
        let clients = load::connect(broker.url()).await?;
        let load = load::push_batches(&clients, jobs, &body);
        let pushed = self
            .speed("push_batch of 256: Verteilt", broker.id()?, load)
            .await?;
        drop(clients);
        broker.kill_and_restart().await?;
        checks::pushed_is_found(&broker.client().await?, &pushed).await?;
        broker.kill().await?;

        let data = self.scratch.fresh("verteilt")?;
        let mut broker = Broker::start(self.binary, &data, None).await?;
        let url = broker.url().to_owned();
        let load = frames::push(&url, jobs, &body);
        let pushed = self
            .speed("frames of one job: Verteilt", broker.id()?, load)
            .await?;
        broker.kill_and_restart().await?;
        checks::pushed_is_found(&broker.client().await?, &pushed).await?;
        broker.kill().await
    }

    async fn redis(&mut self) -> Result<()> {
        let data = self.scratch.fresh("redis")?;
        let mut redis = Redis::start(&data).await?;
        let (jobs, body) = (self.arguments.jobs, self.body.clone());
        let load = redis.push(jobs, &body);
        self.speed("push: Redis XADD", redis.id()?, load).await?;
        let restart = redis.kill_and_restart().await?;
        self.milliseconds("restart after push: Redis", restart);
        let found = redis.entries().await?;
        ensure!(
            found == jobs,
            "Redis acknowledged {jobs} and has {found} after the kill"
        );

        redis.prepare_work().await?;
        let name = "reserve+ack: Redis XREADGROUP+XACK";
        self.speed(name, redis.id()?, redis.work(jobs)).await?;
        redis.kill_and_restart().await?;
        let pending = redis.pending().await?;
        ensure!(
            pending == 0,
            "{pending} entries are pending in Redis after the kill"
        );
        Ok(())
    }

    /// A part whose speed counts, and what it cost on both sides.
    async fn speed<T: Took>(
        &mut self,
        name: &str,
        server: u32,
        part: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let before = (processor_time(server)?, processor_time(std::process::id())?);
        let done = self.part(name, part).await?;
        let after = (processor_time(server)?, processor_time(std::process::id())?);
        let jobs = self.arguments.jobs as f64;
        self.report
            .add(name, "jobs/s", jobs / done.took().as_secs_f64());
        let each = |spent: Duration| spent.as_secs_f64() * 1e6 / jobs;
        let (of_server, of_load) = (each(after.0 - before.0), each(after.1 - before.1));
        self.report.add(
            &format!("{name}, processor time of the server"),
            "us/job",
            of_server,
        );
        self.report.add(
            &format!("{name}, processor time of the load"),
            "us/job",
            of_load,
        );
        Ok(done)
    }

    async fn part<T>(&self, name: &str, part: impl Future<Output = Result<T>>) -> Result<T> {
        settle().await?;
        eprintln!("  {name}");
        let limit = Duration::from_secs(self.arguments.part_seconds);
        let done = timeout(limit, part).await;
        done.with_context(|| format!("{name} took longer than {limit:?}"))?
            .with_context(|| name.to_owned())
    }

    fn milliseconds(&mut self, name: &str, took: Duration) {
        self.report.add(name, "ms", took.as_secs_f64() * 1e3);
    }

    fn microseconds(&mut self, name: &str, samples: &[Duration], percent: usize) {
        let took = latency::percentile(samples, percent);
        self.report.add(name, "us", took.as_secs_f64() * 1e6);
    }
}

/// How long a part was measured to take, without what stands around it.
trait Took {
    fn took(&self) -> Duration;
}

impl Took for Done {
    fn took(&self) -> Duration {
        self.took
    }
}

impl Took for Duration {
    fn took(&self) -> Duration {
        *self
    }
}
