//! `verteilt queue pause`, `resume` and `purge`.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use clap::Args;
use serde::Serialize;

use super::Common;
use crate::failure::Failure;
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct Pause {
    /// The queue
    queue: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct Resume {
    /// The queue
    queue: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct Purge {
    /// The queue
    queue: String,
    /// Do not ask first (nor is asked where there is no terminal)
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Serialize)]
struct Paused<'a> {
    queue: &'a str,
    paused: bool,
}

#[derive(Serialize)]
struct Purged<'a> {
    queue: &'a str,
    purged: u64,
}

impl Pause {
    pub(super) async fn run(&self) -> Result<(), Failure> {
        set_paused(&self.queue, &self.common, true).await
    }
}

impl Resume {
    pub(super) async fn run(&self) -> Result<(), Failure> {
        set_paused(&self.queue, &self.common, false).await
    }
}

async fn set_paused(queue: &str, common: &Common, paused: bool) -> Result<(), Failure> {
    let connection = common.broker.connect().await?;
    let answer = match paused {
        true => connection.client.pause(queue).await,
        false => connection.client.resume(queue).await,
    };
    answer.map_err(|error| connection.explain(&error))?;
    match (common.json, paused) {
        (true, _) => output::json(&Paused { queue, paused })?,
        (false, true) => output::line(&format!("{queue} is paused"))?,
        (false, false) => output::line(&format!("{queue} goes on"))?,
    }
    connection.close().await;
    Ok(())
}

impl Purge {
    pub(super) async fn run(&self) -> Result<(), Failure> {
        let connection = self.common.broker.connect().await?;
        if !self.yes && !self.common.json && !confirmed(&self.queue)? {
            return Err(Failure::usage("nothing was removed"));
        }
        let answer = connection.client.purge(&self.queue).await;
        let purged = answer.map_err(|error| connection.explain(&error))?;
        if self.common.json {
            output::json(&Purged {
                queue: &self.queue,
                purged,
            })?;
        } else {
            output::line(&format!("removed {purged} jobs from {}", self.queue))?;
        }
        connection.close().await;
        Ok(())
    }
}

/// Asks a person; where none can answer, the command itself is the answer.
fn confirmed(queue: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(true);
    }
    let unread = |error| Failure::usage(format!("cannot read the answer: {error}"));
    let mut screen = io::stderr().lock();
    write!(
        screen,
        "Remove all jobs of {queue} that nobody is working on? [y/N] "
    )
    .and_then(|()| screen.flush())
    .map_err(unread)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(unread)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
