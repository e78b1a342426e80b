//! Runs a handler on the jobs of a queue until Ctrl-C.
//!
//! `cargo run --example worker -- verteilt://127.0.0.1:7450`

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use verteilt_client::{Client, Job};

async fn handle(job: Job) -> anyhow::Result<()> {
    let text = std::str::from_utf8(job.body())?;
    println!("run {} of job {}: {text}", job.attempt(), job.id());
    tokio::time::sleep(Duration::from_millis(20)).await;
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "verteilt://127.0.0.1:7450".to_owned());
    let client = Client::builder()
        .url(url)
        .name("example-worker")
        .connect()
        .await?;

    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            stop.cancel();
        }
    });

    let summary = client
        .worker("example")
        .concurrency(16)
        .run(handle, shutdown)
        .await?;
    println!("{} jobs done, {} failed", summary.done, summary.failed);
    client.close().await?;
    Ok(())
}
