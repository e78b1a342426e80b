//! `verteilt work`: a durable xargs. Runs a command for each job of a queue.
//!
//! | file | what it knows |
//! |---|---|
//! | [`template`] | the command, and how a body gets into its arguments |
//! | [`child`] | one run of the command: input, output, end, being broken off |
//! | [`echo`] | a job's output, kept until the end and printed whole |
//! | [`job`] | one job: run, print, then ack; or nack, or hand back |
//! | [`crew`] | all jobs at once, and how the command ends |

mod child;
mod crew;
mod echo;
mod job;
mod template;

use std::ffi::OsString;

use clap::Args;

use crate::connect::BrokerAddress;
use crate::failure::{Exit, Failure};
use crate::signals::StopSignals;
use crate::units::Span;

/// Run a command for each job of a queue: a durable xargs
///
/// Runs CMD for each job, with the job's body on its standard input and in place of every {} in
/// its arguments, as it is: no shell reads it, nothing is quoted.
///
/// If CMD exits with 0 its output is printed whole, then the job is acknowledged. If not, the job
/// is tried again later (nack), and what it printed goes to standard error. The job stays leased
/// while CMD runs. CMD finds VERTEILT_QUEUE, VERTEILT_JOB_ID and VERTEILT_JOB_ATTEMPT in its
/// environment.
///
/// The first SIGINT or SIGTERM takes no new jobs and gives running ones the grace time; then, or
/// at the second signal, they are ended and their jobs handed back.
#[derive(Debug, Args)]
pub(crate) struct Work {
    /// The queue
    pub(super) queue: String,
    /// Most jobs to run at one time
    #[arg(long, short, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(super) concurrency: u32,
    /// End once nothing is ready, leased or waiting for a retry: with 0, or 1 if any job died.
    /// Jobs that are scheduled for later do not count
    #[arg(long)]
    pub(super) drain: bool,
    /// How long running commands may go on after a signal
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    pub(super) grace: Span,
    #[command(flatten)]
    broker: BrokerAddress,
    /// The command, after `--`
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(super) command: Vec<OsString>,
}

impl Work {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        let signals = StopSignals::listen()?;
        let connection = self.broker.connect().await?;
        connection.narrate();
        let end = crew::run(&connection, &self, &signals).await;
        connection.close().await;
        end
    }
}
