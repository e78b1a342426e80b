//! Requests through Verteilt and through core NATS, in turns: one at a time, and many in flight.

use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use verteilt_benches::body;
use verteilt_benches::disk::percentile;
use verteilt_benches::peers::Home;
use verteilt_benches::peers::requests::{CoreNats, OurRequests, Replies};
use verteilt_benches::process::processor_time;
use verteilt_benches::program::{Common, Stage};
use verteilt_benches::report::Report;
use verteilt_benches::scratch::settle;

const ONE: &str = "one at a time, median";
const MANY: &str = "many in flight";

/// Requests through Verteilt and through NATS; `--jobs` are requests with many in flight
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Bytes of a body
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=65_000))]
    body_bytes: u32,
    /// Rounds; in each, NATS has a turn right after ours
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Requests one at a time in each turn
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    samples: u32,
    /// Unanswered requests where many are in flight
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    in_flight: u32,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    arguments
        .common
        .run(async |stage| run(&arguments, &stage).await)
}

async fn run(arguments: &Arguments, stage: &Stage) -> Result<()> {
    let mut report = arguments.common.report(stage);
    report.note("bytes of a body", arguments.body_bytes.to_string());
    report.note("many in flight", arguments.in_flight.to_string());
    introduce::<OurRequests>(&mut report, stage).await?;
    introduce::<CoreNats>(&mut report, stage).await?;
    for number in 1..=arguments.rounds {
        eprintln!("round {number} of {}", arguments.rounds);
        let ours = turn::<OurRequests>(arguments, stage, &mut report).await?;
        let theirs = turn::<CoreNats>(arguments, stage, &mut report).await?;
        let times = ours.one.as_secs_f64() / theirs.one.as_secs_f64();
        report.add(&format!("{ONE}: Verteilt to NATS"), "x", times);
        let times = ours.a_second / theirs.a_second;
        report.add(&format!("{MANY}: Verteilt to NATS"), "x", times);
    }
    let ratio = format!("{ONE}: Verteilt to NATS");
    report.demand("one at a time at most as long as NATS", &ratio, |x| {
        x <= 1.0
    });
    let ratio = format!("{MANY}: Verteilt to NATS");
    report.demand("at least the rate of NATS", &ratio, |x| x >= 1.0);
    arguments.common.show(&report)
}

async fn introduce<R: Replies>(report: &mut Report, stage: &Stage) -> Result<()> {
    report.note(R::NAME, R::about(&stage.broker).await?);
    Ok(())
}

struct Figures {
    one: Duration,
    a_second: f64,
}

async fn turn<R: Replies>(
    arguments: &Arguments,
    stage: &Stage,
    report: &mut Report,
) -> Result<Figures> {
    let (name, body) = (R::NAME, body(arguments.body_bytes as usize));
    let home = Home {
        program: stage.broker.clone(),
        data: stage.scratch.fresh("data")?,
        trace: None,
    };
    let mut broker = R::start(home).await?;
    settle().await?;
    let part = async {
        let mut samples = Vec::with_capacity(arguments.samples as usize);
        for _ in 0..arguments.samples {
            samples.push(broker.once(&body).await?);
        }
        Ok(samples)
    };
    let samples = stage.part(&format!("{ONE}: {name}"), part).await?;
    let one = percentile(&samples, 50);
    for (what, percent) in [(ONE, 50), ("one at a time, p99", 99)] {
        let took = percentile(&samples, percent).as_secs_f64() * 1e6;
        report.add(&format!("{what}: {name}"), "us", took);
    }

    let spent = |id| processor_time(id).context("reading what a process took");
    let before = spent(broker.id()?)?;
    let requests = arguments.common.jobs;
    let part = broker.many(requests, arguments.in_flight as usize, &body);
    let took = stage.part(&format!("{MANY}: {name}"), part).await?;
    let each = (spent(broker.id()?)? - before).as_secs_f64() * 1e6 / requests as f64;
    let a_second = requests as f64 / took.as_secs_f64();
    report.add(&format!("{MANY}: {name}"), "requests/s", a_second);
    let metric = format!("{MANY}: {name}, processor time of the server");
    report.add(&metric, "us/request", each);
    drop(broker);
    stage.scratch.clear().await?;
    Ok(Figures { one, a_second })
}
