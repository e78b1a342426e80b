//! `verteilt queue ls` and `verteilt queue stats`: jobs counted by state.

use clap::Args;
use verteilt_gateway::QueueCounts;

use super::Common;
use crate::failure::{Exit, Failure};
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct Ls {
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct Stats {
    /// The queue
    queue: String,
    #[command(flatten)]
    common: Common,
}

impl Ls {
    pub(super) async fn run(&self) -> Result<(), Failure> {
        let connection = self.common.broker.connect().await?;
        let answer = connection.client.queue_stats(None).await;
        let queues = answer.map_err(|error| connection.explain(&error))?;
        let mut queues: Vec<QueueCounts> = queues.into_iter().map(QueueCounts::from).collect();
        queues.sort_by(|a, b| a.queue.cmp(&b.queue));
        if self.common.json {
            output::json(&queues)?;
        } else if queues.is_empty() {
            output::line("no queues yet; `verteilt push QUEUE BODY` makes one")?;
        } else {
            let rows: Vec<_> = queues.iter().map(row).collect();
            let heading = [
                "queue",
                "ready",
                "leased",
                "scheduled",
                "failed",
                "dead",
                "done",
                "",
            ];
            output::table(heading, &rows)?;
        }
        connection.close().await;
        Ok(())
    }
}

fn row(stats: &QueueCounts) -> [String; 8] {
    [
        stats.queue.clone(),
        stats.ready.to_string(),
        stats.leased.to_string(),
        stats.scheduled.to_string(),
        stats.failed.to_string(),
        stats.dead.to_string(),
        stats.done.to_string(),
        if stats.paused {
            "paused".to_owned()
        } else {
            String::new()
        },
    ]
}

impl Stats {
    pub(super) async fn run(&self) -> Result<(), Failure> {
        let connection = self.common.broker.connect().await?;
        let answer = connection.client.queue_stats(Some(&self.queue)).await;
        let queues = answer.map_err(|error| connection.explain(&error))?;
        let stats = queues
            .into_iter()
            .next()
            .ok_or_else(|| unknown(&self.queue))?;
        let stats = QueueCounts::from(stats);
        if self.common.json {
            output::json(&stats)?;
        } else {
            print(&stats)?;
        }
        connection.close().await;
        Ok(())
    }
}

fn unknown(queue: &str) -> Failure {
    Failure::new(Exit::Refused, format!("there is no queue {queue}"))
        .advise("it comes into being at its first push; `verteilt queue ls` lists what is there")
}

fn print(stats: &QueueCounts) -> Result<(), Failure> {
    let paused = if stats.paused { " (paused)" } else { "" };
    output::line(&format!("{}{paused}", stats.queue))?;
    for (state, jobs) in [
        ("ready", stats.ready),
        ("leased", stats.leased),
        ("scheduled", stats.scheduled),
        ("waiting", stats.waiting),
        ("failed", stats.failed),
        ("done", stats.done),
        ("dead", stats.dead),
        ("cancelled", stats.cancelled),
        ("expired", stats.expired),
        ("pushed", stats.pushed),
        ("subscriptions", stats.subscriptions),
    ] {
        output::line(&format!("  {state:<13} {jobs:>12}"))?;
    }
    Ok(())
}
