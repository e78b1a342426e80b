//! Verteilt and other brokers under the same load, in turns, on the same disk: single pushes, reserve
//! and ack, the latency of one push; every acknowledgement after its sync, every part ended by a kill
//! whose restart must find what was acknowledged.

use std::fmt::Write as _;
use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use verteilt_benches::disk::percentile;
use verteilt_benches::peers::{
    Beanstalkd, Home, Load, Nats, Peer, RabbitMq, Redis, Verteilt, latency, syncs_of_awaited_pushes,
};
use verteilt_benches::process::processor_time;
use verteilt_benches::program::{Common, Stage};
use verteilt_benches::report::{Report, shown};
use verteilt_benches::scratch::settle;
use verteilt_benches::{CONNECTIONS, WINDOW, body, frames};

/// What is compared, and its unit.
const COMPARED: [(&str, &str); 3] = [
    ("push", "jobs/s"),
    ("reserve+ack", "jobs/s"),
    ("push to delivery, median", "us"),
];

/// Awaited pushes whose syncs are counted before anything is measured.
const SYNC_PUSHES: u64 = 200;

/// Verteilt next to other brokers
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Bytes of a body
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=65_000))]
    body_bytes: u32,
    /// Jobs of each part of a peer that syncs once for each job (beanstalkd, NATS), which takes minutes
    /// [default: as --jobs]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    slow_jobs: Option<u64>,
    /// Rounds; in each, every peer has a turn right after one of ours
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Samples of the latency in each turn
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    samples: u32,
    /// Who
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Other::value_variants())]
    peers: Vec<Other>,
    /// Leave out what stands beside the comparison: batches and raw frames
    #[arg(long)]
    short: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Other {
    /// Redis, a stream
    Redis,
    /// beanstalkd, a tube
    Beanstalkd,
    /// RabbitMQ, a quorum queue
    Rabbitmq,
    /// NATS JetStream, a work queue
    Nats,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    arguments
        .common
        .run(async |stage| run(&arguments, &stage).await)
}

async fn run(arguments: &Arguments, stage: &Stage) -> Result<()> {
    let mut report = arguments.common.report(stage);
    let body = body(arguments.body_bytes as usize);
    report.note("bytes of a body", body.len().to_string());
    report.note(
        "connections, unanswered on each",
        format!("{CONNECTIONS}, {WINDOW}"),
    );
    let slow_jobs = arguments.slow_jobs.unwrap_or(arguments.common.jobs);
    report.note("jobs where each is synced", slow_jobs.to_string());
    let load = Load {
        jobs: arguments.common.jobs,
        connections: CONNECTIONS,
        in_flight: WINDOW,
        body,
    };
    let mut contest = Contest {
        samples: arguments.samples as usize,
        slow_jobs,
        stage,
        load,
        report,
    };
    let mut others = contest.introduce(&arguments.peers).await?;
    for number in 1..=arguments.rounds {
        eprintln!("round {number} of {}", arguments.rounds);
        let mut still_there = Vec::new();
        for other in others {
            if contest.turns(other).await? {
                still_there.push(other);
            }
        }
        others = still_there;
        if !arguments.short {
            contest.beside().await?;
            stage.scratch.clear().await?;
        }
    }
    contest.demands();
    arguments.common.show(&contest.report)?;
    println!("{}", comparison(&contest.report));
    Ok(())
}

/// The medians side by side; behind each of another's the median of the rounds' ratios to ours.
fn comparison(report: &Report) -> String {
    let mut out = String::from("| |");
    for (what, unit) in COMPARED {
        // Writing to a string does not fail.
        let _ = write!(out, " {what}, {unit} | Verteilt to it |");
    }
    out.push_str("\n|---|---|---|---|---|---|---|\n");
    let names = [Verteilt::NAME, Redis::NAME, Beanstalkd::NAME];
    for name in names.into_iter().chain([RabbitMq::NAME, Nats::NAME]) {
        let _ = write!(out, "| {name} |");
        for (what, _) in COMPARED {
            let median = |metric: String| report.median(&metric).map(shown);
            let none = || "unproven".to_owned();
            let figure = median(format!("{what}: {name}")).unwrap_or_else(none);
            let ratio = median(format!("{what}: Verteilt to {name}")).unwrap_or_default();
            let _ = write!(out, " {figure} | {ratio} |");
        }
        out.push('\n');
    }
    out
}

struct Contest<'a> {
    samples: usize,
    slow_jobs: u64,
    stage: &'a Stage,
    load: Load,
    report: Report,
}

/// Of one turn of one broker.
struct Figures {
    pushes_a_second: f64,
    acks_a_second: f64,
    delivery: Duration,
    sync: Duration,
}

impl Contest<'_> {
    /// Who is there, and whether each syncs. Those that are not are told of, and left out from here on.
    async fn introduce(&mut self, others: &[Other]) -> Result<Vec<Other>> {
        self.meet::<Verteilt>().await?;
        let mut there = Vec::new();
        for other in others.iter().copied() {
            let met = match other {
                Other::Redis => self.meet_other::<Redis>().await,
                Other::Beanstalkd => self.meet_other::<Beanstalkd>().await,
                Other::Rabbitmq => self.meet_other::<RabbitMq>().await,
                Other::Nats => self.meet_other::<Nats>().await,
            };
            if met {
                there.push(other);
            }
        }
        self.stage.scratch.clear().await?;
        Ok(there)
    }

    async fn meet_other<P: Peer>(&mut self) -> bool {
        let met = self.meet::<P>().await;
        if let Err(reason) = &met {
            self.report.unproven(P::NAME, reason);
        }
        met.is_ok()
    }

    async fn meet<P: Peer>(&mut self) -> Result<()> {
        let about = P::about(&self.stage.broker).await?;
        let how = format!("{about}; push is {}, work is {}", P::PUSH, P::WORK);
        self.report.note(P::NAME, how);
        let data = self.stage.scratch.fresh("syncs")?;
        let (program, body) = (&self.stage.broker, &self.load.body);
        let proof = syncs_of_awaited_pushes::<P>(program, data, SYNC_PUSHES, body);
        let name = format!("{}: syncs", P::NAME);
        let syncs = self.stage.part(&name, proof).await?;
        let name = format!("{}: syncs behind {SYNC_PUSHES} awaited pushes", P::NAME);
        self.report.note(&name, syncs.to_string());
        Ok(())
    }

    /// Ours, then theirs. Whether they are still there.
    async fn turns(&mut self, other: Other) -> Result<bool> {
        let ours = self.turn::<Verteilt>().await?;
        self.stage.scratch.clear().await?;
        self.report.add(
            "delivery median to one fdatasync: Verteilt",
            "x",
            ours.delivery.as_secs_f64() / ours.sync.as_secs_f64(),
        );
        let is_there = match other {
            Other::Redis => self.turn_of_other::<Redis>(&ours).await,
            Other::Beanstalkd => self.turn_of_other::<Beanstalkd>(&ours).await,
            Other::Rabbitmq => self.turn_of_other::<RabbitMq>(&ours).await,
            Other::Nats => self.turn_of_other::<Nats>(&ours).await,
        };
        self.stage.scratch.clear().await?;
        Ok(is_there)
    }

    async fn turn_of_other<P: Peer>(&mut self, ours: &Figures) -> bool {
        let theirs = match self.turn::<P>().await {
            Ok(theirs) => theirs,
            Err(reason) => {
                self.report.unproven(P::NAME, &reason);
                return false;
            }
        };
        let ratios = [
            ours.pushes_a_second / theirs.pushes_a_second,
            ours.acks_a_second / theirs.acks_a_second,
            ours.delivery.as_secs_f64() / theirs.delivery.as_secs_f64(),
        ];
        for ((what, _), ratio) in COMPARED.iter().zip(ratios) {
            let name = format!("{what}: Verteilt to {}", P::NAME);
            self.report.add(&name, "x", ratio);
        }
        true
    }

    /// Push, kill, count, reserve and ack, kill, count, latency.
    async fn turn<P: Peer>(&mut self) -> Result<Figures> {
        let home = Home {
            program: self.stage.broker.clone(),
            data: self.stage.scratch.fresh("data")?,
            trace: None,
        };
        let (name, mut load) = (P::NAME, self.load.clone());
        if P::SYNCS_EACH {
            load.jobs = self.slow_jobs;
        }
        let mut peer = P::start(home).await?;
        let id = peer.id()?;
        let part = format!("push: {name}");
        let pushes_a_second = self.speed(&part, load.jobs, id, peer.push(&load)).await?;
        peer.kill().await?;
        let begun = Instant::now();
        peer.start_again().await?;
        self.milliseconds(&format!("restart after push: {name}"), begun.elapsed());
        peer.check_pushed(&load).await?;

        let id = peer.id()?;
        let part = format!("reserve+ack: {name}");
        let acks_a_second = self.speed(&part, load.jobs, id, peer.work(&load)).await?;
        peer.kill().await?;
        peer.start_again().await?;
        let returned = peer.count_returned(&load).await?;
        if returned > 0 {
            let name = format!("acked jobs that came back after the kill: {name}");
            self.report.add(&name, "jobs", returned as f64);
        }

        settle().await?;
        let folder = self.stage.scratch.path();
        let measured = latency(&mut peer, folder, self.samples, &load.body);
        let part = format!("latency: {name}");
        let samples = self.stage.part(&part, measured).await?;
        let (delivery, sync) = (&samples.delivery, &samples.sync);
        self.microseconds(&format!("push to delivery, median: {name}"), delivery, 50);
        self.microseconds(&format!("push to delivery, p99: {name}"), delivery, 99);
        let beside = format!("4 KiB write+fdatasync, median, beside {name}");
        self.microseconds(&beside, sync, 50);
        peer.kill().await?;
        Ok(Figures {
            pushes_a_second,
            acks_a_second,
            delivery: percentile(delivery, 50),
            sync: percentile(sync, 50),
        })
    }

    /// What has no counterpart and tells more: batches of the client, frames past the client.
    async fn beside(&mut self) -> Result<()> {
        let load = self.load.clone();
        let mut broker = self.fresh_broker().await?;
        let id = broker.id()?;
        let part = broker.push_batches(&load, WINDOW);
        self.speed("push_batch of 256: Verteilt", load.jobs, id, part)
            .await?;
        broker.kill().await?;
        broker.start_again().await?;
        broker.check_pushed(&load).await?;
        broker.kill().await?;

        let mut broker = self.fresh_broker().await?;
        let (id, url) = (broker.id()?, broker.url().to_owned());
        let mut ids = Vec::new();
        let part = async {
            let took;
            (took, ids) = frames::push(&url, load.jobs, &load.body).await?;
            Ok(took)
        };
        self.speed("frames of one job: Verteilt", load.jobs, id, part)
            .await?;
        broker.note_pushed(ids);
        broker.kill().await?;
        broker.start_again().await?;
        broker.check_pushed(&load).await?;
        broker.kill().await
    }

    async fn fresh_broker(&self) -> Result<Verteilt> {
        let home = Home {
            program: self.stage.broker.clone(),
            data: self.stage.scratch.fresh("data")?,
            trace: None,
        };
        Verteilt::start(home).await
    }

    /// A part whose speed counts, and what it cost on both sides. Jobs a second.
    async fn speed(
        &mut self,
        name: &str,
        jobs: u64,
        server: u32,
        part: impl Future<Output = Result<Duration>>,
    ) -> Result<f64> {
        settle().await?;
        let spent = |id| processor_time(id).context("reading what a process took");
        let before = (spent(server)?, spent(std::process::id())?);
        let took = self.stage.part(name, part).await?;
        let after = (spent(server)?, spent(std::process::id())?);
        let jobs = jobs as f64;
        let a_second = jobs / took.as_secs_f64();
        self.report.add(name, "jobs/s", a_second);
        let each = |spent: Duration| spent.as_secs_f64() * 1e6 / jobs;
        for (side, spent) in [("server", after.0 - before.0), ("load", after.1 - before.1)] {
            let name = format!("{name}, processor time of the {side}");
            self.report.add(&name, "us/job", each(spent));
        }
        Ok(a_second)
    }

    fn milliseconds(&mut self, name: &str, took: Duration) {
        self.report.add(name, "ms", took.as_secs_f64() * 1e3);
    }

    fn microseconds(&mut self, name: &str, samples: &[Duration], percent: usize) {
        let took = percentile(samples, percent);
        self.report.add(name, "us", took.as_secs_f64() * 1e6);
    }

    fn demands(&mut self) {
        let report = &mut self.report;
        let ratio = "push: Verteilt to Redis";
        report.demand("push at least 6 times Redis", ratio, |x| x >= 6.0);
        let ratio = "reserve+ack: Verteilt to Redis";
        report.demand("reserve+ack at least 4 times Redis", ratio, |x| x >= 4.0);
        let ratio = "delivery median to one fdatasync: Verteilt";
        report.demand("delivery at most 1.4 fdatasync", ratio, |x| x <= 1.4);
    }
}
