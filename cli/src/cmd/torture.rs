//! `verteilt torture`: does the broker keep its promises on this disk?

mod body;
mod broker;
mod flow;
mod folder;
mod load;
mod plan;
mod produce;
mod publish;
mod random;
mod readers;
mod report;
mod run;
mod session;
mod tally;
mod topics;
mod witness;
mod work;

use std::path::PathBuf;

use clap::Args;
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::{Exit, Failure, note};
use crate::signals::StopSignals;
use folder::Folder;
use run::Run;

/// Kill a broker under load again and again, and check that it keeps its promises
///
/// Starts a broker of its own on a free port, with its data in DIR; pushes and works in every way
/// there is, as fast as the broker acknowledges; kills the broker with SIGKILL once a round, at a
/// random moment after the acknowledgements of the round, with work on its way; and starts it
/// again, which in some rounds is killed, too. Every ten rounds or so everything is let come to its
/// end, and the history of everything that was asked for and answered is checked against the
/// promises of docs/semantics.md. Topics are published to and read beside the jobs, with consumer groups
/// whose members come and go. Exit code 1 if a promise was broken; DIR/history.jsonl and
/// DIR/topics.jsonl tell all of it.
///
/// A round takes a second or two. DIR stays below 1 GB, memory, too.
///
/// This tries kills of the process, on your disk and file system. A power cut is another matter.
#[derive(Debug, Args)]
pub(crate) struct Torture {
    /// A folder that does not exist, is empty, or is from an earlier torture: that one is emptied
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// How often the broker is killed under load
    #[arg(long, value_name = "N", default_value_t = 20,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rounds: u32,
    /// Pushes acknowledged in each round before its kill, and jobs acked, at the least
    #[arg(long, value_name = "N", default_value_t = 5_000,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    acknowledged: u32,
    /// Choose the same moments, sizes and deeds as an earlier run; what the machine does in between
    /// is different all the same [default: a random one, which is printed]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
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
        if !self.json {
            note(format_args!("seed {seed}, {} rounds", self.rounds));
        }
        let run = Run::start(self, folder, seed).await;
        let told = match run {
            Ok(run) => run.endure().await,
            Err(failure) => Err(failure),
        };
        told.map_err(|failure| told_seed(failure, seed))?
            .print(self.json)
    }
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
