//! `verteilt checkpoint`: make the broker write its state down now.

use clap::Args;
use serde::Serialize;

use crate::connect::BrokerAddress;
use crate::failure::{Exit, Failure};
use crate::output;

/// Write a checkpoint now; returns once it is on the disk and the journal is trimmed
#[derive(Debug, Args)]
pub(crate) struct Checkpoint {
    #[command(flatten)]
    broker: BrokerAddress,
    /// Print {"lsn": N}
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Done {
    lsn: u64,
}

impl Checkpoint {
    pub(crate) async fn run(&self) -> Result<Exit, Failure> {
        let connection = self.broker.connect().await?;
        let answer = connection.client.checkpoint().await;
        let lsn = answer.map_err(|error| connection.explain(&error))?;
        if self.json {
            output::json(&Done { lsn })?;
        } else {
            output::line(&format!(
                "checkpoint on disk: everything up to {lsn} is in the store, the journal is trimmed"
            ))?;
        }
        connection.close().await;
        Ok(Exit::Done)
    }
}
