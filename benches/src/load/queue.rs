//! Whether a queue may be used for a load, and leaving it as it was found.

use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::time::{Instant, sleep};
use verteilt_client::{Client, ClientError, ErrorCode, QueueStats};

/// Jobs in hand come back as their connections say goodbye; so long at most that is waited for.
const RELEASED: Duration = Duration::from_secs(5);

/// Makes sure that nobody's work is mixed with ours: the queue is not there, or holds nothing and has
/// no workers.
///
/// # Errors
/// If it is in use, or what the broker answers.
pub async fn claim(url: &str, queue: &str) -> Result<()> {
    let client = Client::connect(url).await?;
    if let Some(found) = stats(&client, queue).await? {
        let jobs = held(&found);
        ensure!(
            jobs == 0 && found.subscriptions == 0,
            "the queue {queue} is in use ({jobs} jobs, {} subscriptions): name another with --queue, \
             or empty it with `verteilt queue purge`",
            found.subscriptions
        );
    }
    client.close().await?;
    Ok(())
}

/// Removes what a load left in its queue.
///
/// # Errors
/// What the broker answers.
pub async fn empty(url: &str, queue: &str) -> Result<()> {
    let client = Client::connect(url).await?;
    let end = Instant::now() + RELEASED;
    while let Some(found) = stats(&client, queue).await?
        && held(&found) > 0
        && Instant::now() < end
    {
        client.purge(queue).await?;
        sleep(Duration::from_millis(20)).await;
    }
    client.close().await?;
    Ok(())
}

async fn stats(client: &Client, queue: &str) -> Result<Option<QueueStats>> {
    match client.queue_stats(Some(queue)).await {
        Ok(found) => Ok(found.into_iter().next()),
        Err(ClientError::Refused {
            code: Some(ErrorCode::QueueUnknown),
            ..
        }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn held(queue: &QueueStats) -> u64 {
    queue.scheduled + queue.ready + queue.leased + queue.waiting + queue.failed + queue.dead
}
