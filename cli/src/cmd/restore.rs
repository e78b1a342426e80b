//! `verteilt restore`: a data folder from a backup.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use verteilt_broker::{RestoreError, restore};

use crate::failure::{Exit, Failure};
use crate::output;

/// Make a new data folder from a backup
///
/// The backup is proven before anything is written, and what was written is proven after it. Then
/// `verteilt serve --data DIR` starts on it. The state is that of the moment of the backup: jobs
/// that were done since are there again, jobs that were pushed since are not.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The file that `verteilt backup` wrote
    backup: PathBuf,
    /// The new data folder; it must not exist or must be empty
    data: PathBuf,
    /// Print {"lsn": N, "bytes": N, "jobs": N, "records": N}
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Done {
    lsn: u64,
    bytes: u64,
    jobs: u64,
    records: u64,
}

impl Restore {
    pub(crate) async fn run(&self) -> Result<Exit, Failure> {
        let (backup, data) = (self.backup.clone(), self.data.clone());
        // A signal ends the process; the unfinished folder says by itself what it is.
        let restored = tokio::task::spawn_blocking(move || restore(&backup, &data)).await;
        let restored = restored
            .map_err(|error| Failure::work(format!("the restore broke off: {error}")))?
            .map_err(|error| match error {
                RestoreError::NotEmpty { .. } | RestoreError::Verify(_) => {
                    Failure::usage(error.to_string())
                }
                other => Failure::work(other.to_string()),
            })?;
        let done = Done {
            lsn: restored.backup_lsn,
            bytes: restored.bytes,
            jobs: restored.jobs,
            records: restored.records,
        };
        if self.json {
            output::json(&done)?;
        } else {
            let data = self.data.display();
            output::line(&format!(
                "{data}: {} jobs and {} records as of log sequence number {}; start it with `verteilt serve \
                 --data {data}`",
                done.jobs, done.records, done.lsn
            ))?;
        }
        Ok(Exit::Done)
    }
}
