//! Requests through Verteilt and through core NATS, in turns: one at a time, and many in flight. Core NATS has
//! two turns: as bytes on a socket, which is the most that its server can do, and through its own Rust client.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use tokio::process::Command;
use verteilt_benches::body;
use verteilt_benches::disk::percentile;
use verteilt_benches::peers::Home;
use verteilt_benches::peers::requests::{CoreNats, OurRequests, Replies};
use verteilt_benches::process::processor_time;
use verteilt_benches::program::{Common, Stage, tools_folder};
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
    report.note(OurRequests::NAME, OurRequests::about(&stage.broker).await?);
    let nats = CoreNats::about(&stage.broker).await;
    match &nats {
        Ok(about) => report.note(CoreNats::NAME, about.as_str()),
        Err(reason) => report.unproven(CoreNats::NAME, reason),
    }
    let client = AsyncNats::find();
    if let Err(reason) = &client {
        report.unproven(AsyncNats::NAME, reason);
    }
    for number in 1..=arguments.rounds {
        eprintln!("round {number} of {}", arguments.rounds);
        let ours = turn::<OurRequests>(arguments, stage, &mut report).await?;
        if nats.is_err() {
            continue;
        }
        let theirs = turn::<CoreNats>(arguments, stage, &mut report).await?;
        compare(&mut report, &ours, CoreNats::NAME, &theirs);
        if let Ok(client) = &client {
            let theirs = client.turn(arguments, stage, &mut report).await?;
            compare(&mut report, &ours, AsyncNats::NAME, &theirs);
        }
    }
    let name = AsyncNats::NAME;
    let (ratio, text) = (
        format!("{ONE}: Verteilt to {name}"),
        "one at a time at most as long as NATS between two clients",
    );
    report.demand(text, &ratio, |x| x <= 1.0);
    let (ratio, text) = (
        format!("{MANY}: Verteilt to {name}"),
        "many in flight at least the rate of NATS between two clients",
    );
    report.demand(text, &ratio, |x| x >= 1.0);
    arguments.common.show(&report)
}

fn compare(report: &mut Report, ours: &Figures, name: &str, theirs: &Figures) {
    let times = ours.one.as_secs_f64() / theirs.one.as_secs_f64();
    report.add(&format!("{ONE}: Verteilt to {name}"), "x", times);
    let times = ours.a_second / theirs.a_second;
    report.add(&format!("{MANY}: Verteilt to {name}"), "x", times);
}

/// The same between two clients of NATS's own library, which is a program of its own
/// (`benches/async-nats`).
struct AsyncNats(PathBuf);

impl AsyncNats {
    const NAME: &str = "async-nats";

    fn find() -> Result<Self> {
        let folder = tools_folder()?.join("async-nats/release");
        let program = folder.join("verteilt-bench-async-nats");
        ensure!(program.exists(), "make bench-requests builds it");
        Ok(Self(program))
    }

    async fn turn(
        &self,
        arguments: &Arguments,
        stage: &Stage,
        report: &mut Report,
    ) -> Result<Figures> {
        let name = Self::NAME;
        let server = CoreNats::start(home(stage)?).await?;
        settle().await?;
        let numbers = [
            u64::from(arguments.samples),
            arguments.common.jobs,
            arguments.in_flight.into(),
            arguments.body_bytes.into(),
        ];
        let mut command = Command::new(&self.0);
        command.arg(server.url()).kill_on_drop(true);
        command.args(numbers.map(|number| number.to_string()));
        let part = async { Ok(command.output().await?) };
        let output = stage.part(&format!("all of it: {name}"), part).await?;
        let printed = String::from_utf8(output.stdout)?;
        let figures = printed.trim().split_once(' ');
        let Some((one_us, a_second)) = figures.filter(|_| output.status.success()) else {
            bail!("{name}: {}", String::from_utf8_lossy(&output.stderr));
        };
        let (one_us, a_second) = (one_us.parse::<f64>()?, a_second.parse()?);
        report.add(&format!("{ONE}: {name}"), "us", one_us);
        report.add(&format!("{MANY}: {name}"), "requests/s", a_second);
        drop(server);
        stage.scratch.clear().await?;
        let one = Duration::from_secs_f64(one_us / 1e6);
        Ok(Figures { one, a_second })
    }
}

fn home(stage: &Stage) -> Result<Home> {
    Ok(Home {
        program: stage.broker.clone(),
        data: stage.scratch.fresh("data")?,
        trace: None,
    })
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
    let mut broker = R::start(home(stage)?).await?;
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
