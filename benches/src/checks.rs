//! Acknowledged = found, after a kill and a restart.

use anyhow::{Result, ensure};
use verteilt_client::{Client, QueueStats};

use crate::QUEUE;

async fn stats(client: &Client) -> Result<QueueStats> {
    let queues = client.queue_stats(Some(QUEUE)).await?;
    let queue = queues.into_iter().next();
    queue.ok_or_else(|| anyhow::anyhow!("the queue is gone"))
}

/// Every push that was acknowledged is there to be delivered, and nothing else.
///
/// # Errors
/// If not.
pub async fn pushed_is_found(client: &Client, pushed: &[u64]) -> Result<()> {
    let acknowledged = pushed.len() as u64;
    let twice = pushed.windows(2).any(|pair| pair[0] == pair[1]);
    ensure!(!twice, "two pushes were answered with one id");
    let found = stats(client).await?;
    ensure!(
        found.ready == acknowledged && found.pushed == acknowledged,
        "{acknowledged} pushes were acknowledged, found after the kill: {found:?}"
    );
    Ok(())
}

/// Every job was acked once, the acks survived, and nothing is left.
///
/// # Errors
/// If not.
pub async fn acked_is_gone(client: &Client, pushed: &[u64], acked: &[u64]) -> Result<()> {
    ensure!(
        pushed == acked,
        "the jobs that were acked are not those that were pushed"
    );
    let found = stats(client).await?;
    let left = found.scheduled + found.ready + found.leased + found.failed + found.dead;
    ensure!(
        left == 0 && found.done == acked.len() as u64,
        "{} acks were acknowledged, found after the kill: {found:?}",
        acked.len()
    );
    Ok(())
}
