//! A command-line program with a durable to-do list inside it: no broker to install or start. What
//! was added is worked off once, however often the program is killed on the way.
//!
//! ```sh
//! cargo run --release --example embedded --features embedded -- ./counts add *.md
//! cargo run --release --example embedded --features embedded -- ./counts work
//! cargo run --release --example embedded --features embedded -- ./counts list
//! ```

use std::time::Duration;

use anyhow::{Context, bail};
use verteilt_client::embedded::Embedded;
use verteilt_client::{Client, Job, JobState, PushOptions};

const QUEUE: &str = "files";

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: embedded FOLDER add FILE... | work | list";
    let folder = arguments.next().context(usage)?;
    let command = arguments.next().context(usage)?;

    let broker = Embedded::open(&folder)?;
    let client = broker.client().await?;
    match command.as_str() {
        "add" => add(&client, arguments).await?,
        "work" => work(&client).await?,
        "list" => list(&client).await?,
        _ => bail!(usage),
    }
    client.close().await?;
    broker.close().await?;
    Ok(())
}

async fn add(client: &Client, files: impl Iterator<Item = String>) -> anyhow::Result<()> {
    let bodies: Vec<_> = files.map(Into::into).collect();
    let ids = client
        .push_batch(QUEUE, bodies, &PushOptions::default())
        .await?;
    println!("{} files are on the list", ids.len());
    Ok(())
}

/// Until nothing is ready any more.
async fn work(client: &Client) -> anyhow::Result<()> {
    loop {
        let jobs = client.reserve(QUEUE, 1, Duration::ZERO).await?;
        let Some(job) = jobs.into_iter().next() else {
            return Ok(());
        };
        match count(&job) {
            Ok(text) => {
                println!("{text}");
                job.ack().await?;
            }
            Err(error) => {
                println!("{error:#}; again in a minute");
                job.nack(Some(Duration::from_secs(60))).await?;
            }
        }
    }
}

fn count(job: &Job) -> anyhow::Result<String> {
    let path = std::str::from_utf8(job.body())?;
    let text = std::fs::read(path).with_context(|| path.to_owned())?;
    let lines = text.split(|byte| *byte == b'\n').count();
    Ok(format!("{lines:>8} {path}"))
}

async fn list(client: &Client) -> anyhow::Result<()> {
    for state in [JobState::Ready, JobState::Failed, JobState::Dead] {
        for job in client.peek(QUEUE, state, 100).await? {
            let path = String::from_utf8_lossy(&job.body);
            println!("{state:?} (runs so far: {}): {path}", job.attempts);
        }
    }
    Ok(())
}
