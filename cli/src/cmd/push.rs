//! `verteilt push`: one job, or a job for each line.

mod lines;
mod split;

use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Read as _};
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, ValueEnum};
use serde::Serialize;
use verteilt_client::{Durability, PushOptions};
use verteilt_protocol::limits;

use crate::connect::{BrokerAddress, Connection};
use crate::failure::{Exit, Failure};
use crate::output;
use crate::units::Span;

/// Put jobs into a queue
///
/// Without BODY and --lines the one job's body is standard input, to its end. Bodies are bytes:
/// nothing is decoded, trimmed or skipped. The command ends once every job is acknowledged.
#[derive(Debug, Args)]
pub(crate) struct Push {
    /// The queue; it comes into being at its first push
    queue: String,
    /// The body of the job
    #[arg(conflicts_with = "lines")]
    body: Option<OsString>,
    /// Make each line of FILE a job ("-" or nothing: standard input), an empty line too
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    lines: Option<PathBuf>,
    /// Higher runs first
    #[arg(long, value_name = "N", default_value_t = limits::PRIORITY_DEFAULT, allow_negative_numbers = true)]
    priority: i32,
    /// Not to be run before this time has passed, such as 90s or 1h30m
    #[arg(long, value_name = "DURATION")]
    delay: Option<Span>,
    /// Runs in all before the job is dead [default: 20]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    attempts: Option<u32>,
    /// Where the job has to be before the push is acknowledged [default: disk]
    #[arg(long, value_enum)]
    durability: Option<Level>,
    /// Print {"queue", "pushed", ...}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    broker: BrokerAddress,
}

/// Where an acknowledged job is.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Level {
    /// In the memory of the broker; lost when it stops
    Memory,
    /// On the disk
    Disk,
}

#[derive(Serialize)]
struct PushedOne<'a> {
    queue: &'a str,
    pushed: u64,
    id: u64,
    durability: &'static str,
}

#[derive(Serialize)]
struct PushedLines<'a> {
    queue: &'a str,
    pushed: u64,
}

impl Push {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        let connection = match &self.lines {
            Some(file) => {
                // Opened first: a wrong name should not depend on there being a broker.
                let source = lines::open(file)?;
                let connection = self.broker.connect().await?;
                connection.narrate();
                let pushed = lines::push(&connection, &self.queue, source, &self.options()).await?;
                self.tell_lines(pushed)?;
                connection
            }
            None => {
                let body = self.body()?;
                let connection = self.broker.connect().await?;
                self.push_one(&connection, body).await?;
                connection
            }
        };
        connection.close().await;
        Ok(Exit::Done)
    }

    fn options(&self) -> PushOptions {
        PushOptions {
            priority: self.priority,
            delay: self.delay.map_or(Duration::ZERO, |delay| delay.0),
            attempts: self.attempts,
            durability: match self.durability {
                None => Durability::Default,
                Some(Level::Memory) => Durability::Memory,
                Some(Level::Disk) => Durability::Disk,
            },
            ..PushOptions::default()
        }
    }

    fn body(&self) -> Result<Bytes, Failure> {
        if let Some(body) = &self.body {
            return Ok(body.clone().into_vec().into());
        }
        if io::stdin().is_terminal() {
            return Err(Failure::usage("there is no body").advise(
                "give it as BODY, pipe it into standard input, or use --lines for many jobs",
            ));
        }
        let mut body = Vec::new();
        io::stdin()
            .lock()
            .take(limits::BODY_BYTES_MAX + 1)
            .read_to_end(&mut body)
            .map_err(|error| Failure::work(format!("cannot read standard input: {error}")))?;
        Ok(body.into())
    }

    async fn push_one(&self, connection: &Connection, body: Bytes) -> Result<(), Failure> {
        let answer = connection
            .client
            .push_with(&self.queue, body, &self.options())
            .await;
        let pushed = answer.map_err(|error| connection.explain(&error))?;
        let (queue, id) = (self.queue.as_str(), pushed.id);
        let durability = level_name(pushed.durability);
        if self.json {
            output::json(&PushedOne {
                queue,
                pushed: 1,
                id,
                durability,
            })
        } else {
            output::line(&format!("pushed job {id} to {queue} ({durability})"))
        }
    }

    fn tell_lines(&self, pushed: u64) -> Result<(), Failure> {
        let queue = self.queue.as_str();
        if self.json {
            output::json(&PushedLines { queue, pushed })
        } else {
            output::line(&format!("pushed {pushed} jobs to {queue}"))
        }
    }
}

fn level_name(level: Durability) -> &'static str {
    match level {
        Durability::Memory => "memory",
        Durability::Disk => "disk",
        Durability::Replicated => "replicated",
        // A broker newer than this program; it may not name less than it did.
        Durability::Default => "as asked",
    }
}
