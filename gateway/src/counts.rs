//! The numbers of a queue as JSON: the one shape in which programs read them.

use serde::Serialize;
use verteilt_client::QueueStats;

/// One flat object: a number for each state a job can be in, and totals since the queue came into
/// being.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct QueueCounts {
    /// Its name.
    pub queue: String,
    /// Whether its deliveries are stopped.
    pub paused: bool,
    /// Jobs not due yet.
    pub scheduled: u64,
    /// Jobs that could be delivered now.
    pub ready: u64,
    /// Jobs in the hands of workers.
    pub leased: u64,
    /// Jobs that wait for another job.
    pub waiting: u64,
    /// Jobs that failed and wait for their next run.
    pub failed: u64,
    /// Jobs acked, in all.
    pub done: u64,
    /// Jobs out of attempts.
    pub dead: u64,
    /// Jobs cancelled, in all.
    pub cancelled: u64,
    /// Jobs not run in time, in all.
    pub expired: u64,
    /// Jobs pushed, in all.
    pub pushed: u64,
    /// Subscriptions now.
    pub subscriptions: u64,
}

impl From<QueueStats> for QueueCounts {
    fn from(stats: QueueStats) -> Self {
        Self {
            queue: stats.queue,
            paused: stats.paused,
            scheduled: stats.scheduled,
            ready: stats.ready,
            leased: stats.leased,
            waiting: stats.waiting,
            failed: stats.failed,
            done: stats.done,
            dead: stats.dead,
            cancelled: stats.cancelled,
            expired: stats.expired,
            pushed: stats.pushed,
            subscriptions: stats.subscriptions,
        }
    }
}
