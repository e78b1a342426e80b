//! `verteilt queue`: look at queues and manage them.

mod manage;
mod peek;
mod stats;

use clap::{Args, Subcommand};

use crate::connect::BrokerAddress;
use crate::failure::{Exit, Failure};

/// Look at queues and manage them
#[derive(Debug, Args)]
pub(crate) struct Queue {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the queues
    Ls(stats::Ls),
    /// Count a queue's jobs by state
    Stats(stats::Stats),
    /// Show jobs without taking them
    Peek(peek::Peek),
    /// Hand out no more of its jobs until `resume`; pushes go on
    Pause(manage::Pause),
    /// Hand out its jobs again
    Resume(manage::Resume),
    /// Remove its jobs that nobody is working on
    Purge(manage::Purge),
}

/// What every action needs.
#[derive(Debug, Args)]
struct Common {
    #[command(flatten)]
    broker: BrokerAddress,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Queue {
    pub(crate) async fn run(&self) -> Result<Exit, Failure> {
        match &self.action {
            Action::Ls(ls) => ls.run().await,
            Action::Stats(stats) => stats.run().await,
            Action::Peek(peek) => peek.run().await,
            Action::Pause(pause) => pause.run().await,
            Action::Resume(resume) => resume.run().await,
            Action::Purge(purge) => purge.run().await,
        }?;
        Ok(Exit::Done)
    }
}
