//! When a queue has nothing left to do, as far as workers are concerned.

use std::time::Duration;

use indicatif::ProgressBar;
use verteilt_client::{ClientError, QueueStats};
use verteilt_protocol::ErrorCode;

use crate::connect::Connection;
use crate::failure::{Failure, note};

/// Between two looks at the queue.
const INTERVAL: Duration = Duration::from_millis(100);

/// The queue's numbers; `None` while there is no such queue.
pub(crate) async fn look(
    connection: &Connection,
    queue: &str,
) -> Result<Option<QueueStats>, ClientError> {
    match connection.client.queue_stats(Some(queue)).await {
        Ok(queues) => Ok(queues.into_iter().next()),
        Err(error) if error.code() == Some(ErrorCode::QueueUnknown) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns once nothing is ready, leased (by anyone) or waiting for a retry, with the number of
/// jobs that are dead by then. Jobs that are scheduled for later do not count. Shows on `bar` how
/// much is left.
pub(crate) async fn drained(
    connection: &Connection,
    queue: &str,
    bar: &ProgressBar,
) -> Result<u64, Failure> {
    let mut told_paused = false;
    loop {
        match look(connection, queue).await {
            Ok(None) => return Ok(0),
            Ok(Some(stats)) => {
                let left = stats.ready + stats.leased + stats.failed;
                if left == 0 {
                    return Ok(stats.dead);
                }
                bar.set_length(bar.position() + left);
                if stats.paused && !told_paused {
                    told_paused = true;
                    note(format_args!(
                        "{queue} is paused; `verteilt queue resume {queue}` lets it go on"
                    ));
                }
            }
            Err(error) if error.is_retryable() => {}
            Err(error) => return Err(connection.explain(&error)),
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
