//! `verteilt bench`: how fast is a broker, yours or one on this disk?
//!
//! | file | what it knows |
//! |---|---|
//! | [`target`] | the broker: named, or one of its own that is gone afterwards |
//! | [`figures`] | the result, for people and as JSON |
//!
//! The load itself is `verteilt_benches::load`.

mod figures;
mod target;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use verteilt_benches::gateway::Gateway;
use verteilt_benches::load::{self, Keep, Kind, Outcome, Plan, Watch};
use verteilt_benches::program;
use verteilt_client::ClientError;
use verteilt_protocol::limits;

use crate::connect;
use crate::failure::{Exit, Failure};
use crate::progress;
use crate::signals::StopSignals;
use crate::units::Size;
use figures::Figures;
use target::Target;

/// What a load comes to an end by if nothing is said.
const JOBS: u64 = 1_000_000;
const SECONDS: u32 = 30;

/// Between two looks at how far the load is.
const LOOK: Duration = Duration::from_millis(100);

/// Measure a broker: throughput, and latency as percentiles
///
/// Without --url it starts a broker of its own on a new folder in DIR and removes both at the end.
/// With it, the queue must be empty and without workers, and the topic of publish and consume must not
/// be there; what the load leaves there is removed. For publish and consume, jobs are records.
///
/// Closed loop by default: a request leaves when an earlier one is answered. With --rate requests
/// leave at fixed times whatever the broker does, and their latency counts from those times.
///
/// Ctrl-C ends it early, with what there is by then; a second one at once.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// The load
    #[arg(value_enum)]
    load: Kind,
    /// The broker, as verteilt://HOST:PORT. VERTEILT_URL is not looked at: a load should reach no
    /// broker by accident
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Where its own broker has its data: a folder on the disk to be measured
    #[arg(long, value_name = "DIR", default_value = ".", conflicts_with = "url")]
    data: PathBuf,
    /// A queue that nobody else uses, the name of a topic that is not there, or of requests the service
    #[arg(long, value_name = "NAME", default_value = "bench")]
    queue: String,
    /// Partitions of the topic
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=limits::PARTITIONS_MAX as i64))]
    partitions: u32,
    /// Connections; a cycle has as many again for its consumers, requests for their workers; of HTTP
    /// those to the gateway
    #[arg(short, long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    connections: u16,
    /// Jobs that may be unanswered at one time on each connection; of HTTP always 1
    #[arg(short = 'n', long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=16_384))]
    in_flight: u16,
    /// End after so many jobs [default: 1000000, if --seconds is not given]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    jobs: Option<u64>,
    /// End after so many seconds [default: 30, if --jobs is not given]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    seconds: Option<u32>,
    /// Length of a body, such as 256 or 4KiB
    #[arg(long, value_name = "BYTES", default_value = "256")]
    size: Size,
    /// Jobs of one request; 1: single calls, which the client gathers into frames by itself
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=limits::BATCH_JOBS_MAX as i64))]
    batch: u16,
    /// Jobs a second in all, instead of a closed loop
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Threads of the load; 1 leaves the most to a broker on the same machine
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: u16,
    /// Leave in the queue what is left of the load
    #[arg(long, requires = "url")]
    keep: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Bench {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        let mut plan = self.plan();
        plan.check(self.load)
            .map_err(|error| Failure::usage(format!("{error:#}")))?;
        let signals = StopSignals::listen()?;
        let target = tokio::select! {
            target = Target::find(self.url.clone(), &self.data, self.load, &self.queue) => target?,
            () = signals.gently.cancelled() => return Ok(signals.exit()),
        };
        plan.url = target.url().to_owned();
        let gateway = self.gateway(&plan.url).await?;
        plan.gateway = gateway.as_ref().map(|gateway| gateway.address().to_owned());
        let outcome = tokio::select! {
            outcome = self.put_on(plan, &signals) => outcome?,
            () = signals.at_once.cancelled() => return Ok(signals.exit()),
        };
        let used = target.used();
        if !self.keep {
            target.tidy_up(self.load, &self.queue).await?;
        }
        let interrupted = outcome.interrupted;
        Figures {
            outcome,
            target,
            used,
        }
        .print(self.json)?;
        if interrupted {
            return Ok(signals.exit());
        }
        Ok(Exit::Done)
    }

    /// The one that HTTP goes through, gone when it is dropped.
    async fn gateway(&self, url: &str) -> Result<Option<Gateway>, Failure> {
        if self.load != Kind::Http {
            return Ok(None);
        }
        let binary = std::env::current_exe()
            .map_err(|error| Failure::work(format!("cannot find this program: {error}")))?;
        let gateway = Gateway::start(&binary, url).await;
        gateway
            .map(Some)
            .map_err(|error| Failure::work(format!("{error:#}")))
    }

    fn plan(&self) -> Plan {
        let says_nothing = self.jobs.is_none() && self.seconds.is_none();
        let seconds = self.seconds.or(says_nothing.then_some(SECONDS));
        // What is reserved is pushed before, so there is always a number of it.
        let needs_jobs = says_nothing || matches!(self.load, Kind::Reserve | Kind::Consume);
        Plan {
            url: String::new(),
            gateway: None,
            queue: self.queue.clone(),
            partitions: self.partitions,
            connections: self.connections.into(),
            in_flight: if self.load == Kind::Http {
                1
            } else {
                self.in_flight.into()
            },
            batch: self.batch.into(),
            body_bytes: usize::try_from(self.size.0).unwrap_or(usize::MAX),
            jobs: self.jobs.or(needs_jobs.then_some(JOBS)),
            time: seconds.map(|seconds| Duration::from_secs(seconds.into())),
            rate: self.rate.map(f64::from),
            keep: Keep::Times,
        }
    }

    /// On threads of its own, as a program that uses the client would be.
    async fn put_on(&self, plan: Plan, signals: &StopSignals) -> Result<Outcome, Failure> {
        let watch = Watch::new(signals.gently.clone());
        let (kind, threads, url) = (self.load, self.threads.into(), plan.url.clone());
        let watched = watch.clone();
        let load = tokio::task::spawn_blocking(move || {
            program::runtime(threads)?.block_on(load::run(kind, &plan, &watched))
        });
        let outcome = tokio::select! {
            outcome = load => outcome,
            never = show(&watch) => never,
        };
        let outcome = outcome.map_err(|panic| Failure::work(format!("the load: {panic}")))?;
        outcome.map_err(|error| explain(&url, &error))
    }
}

/// Draws how far the load is. Never returns.
async fn show<T>(watch: &Watch) -> T {
    let mut drawn = None;
    loop {
        tokio::time::sleep(LOOK).await;
        let Some((phase, done)) = watch.look() else {
            continue;
        };
        let (_, bar) = match drawn.take() {
            Some((drawing, bar)) if drawing == phase => drawn.insert((phase, bar)),
            _ => drawn.insert((phase, progress::bar(phase.what, phase.total))),
        };
        bar.set_position(done);
    }
}

fn explain(url: &str, error: &anyhow::Error) -> Failure {
    match error.downcast_ref::<ClientError>() {
        Some(error) => connect::explain(url, error),
        None => Failure::work(format!("{error:#}")),
    }
}
