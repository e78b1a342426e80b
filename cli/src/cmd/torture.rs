//! `verteilt torture`: does the broker keep its promises on this disk?

mod body;
mod broker;
mod folder;
mod load;
mod plan;
mod produce;
mod random;
mod report;
mod session;
mod work;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use verteilt_history::{Event, Options, Recorder, check};

use crate::failure::{Exit, Failure, note};
use crate::signals::StopSignals;
use broker::Broker;
use folder::Folder;
use load::Running;
use plan::Plan;
use random::Random;
use report::Told;

/// Jobs of a whole run, at most: the history is kept in memory, some hundred bytes a job.
const JOBS_MAX: u32 = 400_000;

/// Jobs a second, at most.
const JOBS_A_SECOND_MAX: f64 = 1_000.0;

/// Violations that are told of each promise; the others are only counted.
const DESCRIBED_MAX: usize = 10;

/// How long after the broker did something a client may record it, on a busy machine.
const LAG: Duration = Duration::from_secs(1);

/// Kill a broker under load again and again, and check that it keeps its promises
///
/// Starts a broker of its own on a free port, with its data in DIR; pushes and works in every way
/// there is; kills the broker with SIGKILL once a round, at a random moment, and starts it again.
/// In the end the history of everything that was asked for and answered is checked against the
/// promises of docs/semantics.md. Exit code 1 if one was broken; DIR/history.jsonl tells all.
///
/// This tries kills of the process, on your disk and file system. A power cut is another matter.
#[derive(Debug, Args)]
pub(crate) struct Torture {
    /// A folder that does not exist, is empty, or is from an earlier torture: that one is emptied
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// How often the broker is killed
    #[arg(long, value_name = "N", default_value_t = 20,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rounds: u32,
    /// Choose the same moments, sizes and deeds as an earlier run; what the machine does in between
    /// is different all the same [default: a random one, which is printed]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// How long the broker is left alive in a round, at most
    #[arg(long, value_name = "T", default_value_t = 2,
          value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds_a_round: u32,
    /// Print one JSON object, and nothing on the way
    #[arg(long)]
    json: bool,
}

impl Torture {
    pub(crate) async fn run(&self) -> Result<Exit, Failure> {
        let signals = StopSignals::listen()?;
        let mut hangup = signal(SignalKind::hangup())
            .map_err(|error| Failure::work(format!("cannot listen for signals: {error}")))?;
        tokio::select! {
            // First: a Ctrl-C at the terminal goes to the broker, too, which then ends by itself.
            biased;
            // The broker dies with what is dropped here.
            () = signals.gently.cancelled() => Ok(signals.exit()),
            _ = hangup.recv() => Ok(Exit::Signal(Signal::HUP.as_raw())),
            ended = self.torment() => ended,
        }
    }

    async fn torment(&self) -> Result<Exit, Failure> {
        let folder = Folder::prepare(&self.data)?;
        let seed = self.seed.unwrap_or_else(any_seed);
        let mut random = Random::new(seed);
        let recorder = Arc::new(Recorder::default());
        let mut broker = Broker::new(folder.clone(), Arc::clone(&recorder), &mut random)?;
        self.say(format_args!("seed {seed}, {} rounds", self.rounds));
        let suffered = self.suffer(&mut broker, &recorder, &mut random).await;
        let history = recorder.finish();
        folder.keep(&history)?;
        let torn = suffered.map_err(|failure| told_seed(failure, seed))?;
        let options = Options {
            // The history has a start where its process was started, not where it served.
            lag_ms: (LAG + broker.longest_start).as_millis() as u64,
            drain_ms: load::DRAIN_MAX.as_millis() as u64,
            resume_grace_ms: folder::RESUME_GRACE_MS,
            // The client gives back by itself what was on its way when the connection broke.
            unseen_deliveries: true,
            described_max: DESCRIBED_MAX,
            ..Options::default()
        };
        let told = Told {
            seed,
            rounds: self.rounds,
            torn,
            history: folder.history(),
        };
        // It takes a second for a long history, and nothing else runs any more.
        let checked = tokio::task::spawn_blocking(move || check(&history, &options)).await;
        let checked = checked.map_err(|panic| Failure::work(format!("the checker: {panic}")))?;
        told.print(&checked, self.json)
    }

    /// All rounds and the end. Returns how many bodies came changed.
    async fn suffer(
        &self,
        broker: &mut Broker,
        recorder: &Arc<Recorder>,
        random: &mut Random,
    ) -> Result<u64, Failure> {
        broker.start()?;
        broker.serves().await?;
        let running = load::start(&broker.url(), recorder, self.pause(), random).await?;
        let round = Duration::from_secs(self.seconds_a_round.into());
        for number in 1..=self.rounds {
            let plan = Plan::random(random, round);
            one_round(broker, &running, plan, recorder).await?;
            self.say(format_args!(
                "round {number} of {}: killed {}",
                self.rounds,
                plan.name()
            ));
        }
        broker.serves().await?;
        self.say(format_args!("waiting until every job is done"));
        running.drain().await
    }

    /// Between two pushes of one producer.
    fn pause(&self) -> Duration {
        let seconds = f64::from(self.rounds) * f64::from(self.seconds_a_round);
        let a_second = (f64::from(JOBS_MAX) / seconds).min(JOBS_A_SECOND_MAX);
        Duration::from_secs_f64(f64::from(load::PRODUCERS) / a_second)
    }

    fn say(&self, text: std::fmt::Arguments<'_>) {
        if !self.json {
            note(text);
        }
    }
}

/// Kills the broker as planned and starts it again, without waiting for it.
async fn one_round(
    broker: &mut Broker,
    running: &Running,
    plan: Plan,
    recorder: &Arc<Recorder>,
) -> Result<(), Failure> {
    match plan {
        Plan::Starting(after_start) => broker.kill_at(after_start).await?,
        Plan::Loaded(after) => {
            broker.serves().await?;
            tokio::time::sleep(after).await;
            broker.kill().await?;
        }
        Plan::Checkpointing(after, into) => {
            broker.serves().await?;
            tokio::time::sleep(after).await;
            let (admin, recorder) = (running.admin.clone(), Arc::clone(recorder));
            // It is asked for again by itself once the broker is back.
            tokio::spawn(async move {
                if admin.checkpoint().await.is_ok() {
                    recorder.record(Event::CheckpointDone);
                }
            });
            tokio::time::sleep(into).await;
            broker.kill().await?;
        }
        Plan::Twice(after, after_start) => {
            broker.serves().await?;
            tokio::time::sleep(after).await;
            broker.kill().await?;
            broker.start()?;
            broker.kill_at(after_start).await?;
        }
    }
    broker.start()
}

/// Different each time; nothing hangs on how random it is.
fn any_seed() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(std::process::id())
}

fn told_seed(mut failure: Failure, seed: u64) -> Failure {
    failure.message = format!("{} (seed {seed})", failure.message);
    failure
}
