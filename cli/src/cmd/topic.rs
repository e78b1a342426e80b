//! `verteilt topic`: make topics, publish to them, read them, look at their groups.

mod manage;
mod publish;
mod stats;
mod tail;

use clap::{Args, Subcommand};

use crate::connect::BrokerAddress;
use crate::failure::{Exit, Failure};

/// Make topics, publish to them and read them
#[derive(Debug, Args)]
pub(crate) struct Topic {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a topic; fine if it is there with the same settings
    Create(manage::Create),
    /// List the topics, or one with its partitions
    Ls(stats::Ls),
    /// Publish a record, or one for each line of standard input
    Publish(publish::Publish),
    /// Print records as they come
    Tail(tail::Tail),
    /// Show how far the consumer groups of a topic are
    Groups(stats::Groups),
    /// Keep more or less from now on
    Retain(manage::Retain),
    /// Delete a topic with its records and groups
    Rm(manage::Rm),
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

impl Topic {
    pub(crate) async fn run(&self) -> Result<Exit, Failure> {
        match &self.action {
            Action::Create(create) => create.run().await,
            Action::Ls(ls) => ls.run().await,
            Action::Publish(publish) => publish.run().await,
            Action::Tail(tail) => return tail.run().await,
            Action::Groups(groups) => groups.run().await,
            Action::Retain(retain) => retain.run().await,
            Action::Rm(rm) => rm.run().await,
        }?;
        Ok(Exit::Done)
    }
}
