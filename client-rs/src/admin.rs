//! Looking at queues and steering them.

use bytes::Bytes;
use verteilt_protocol::{limits, split_payload_by, wire};

use crate::batch::check_name;
use crate::call::Request;
use crate::client::Client;
use crate::error::ClientError;
use crate::job::decode_headers;
use crate::options::Header;

/// The numbers of a queue: jobs in each state now, and totals since it came into being.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueStats {
    /// Its name.
    pub queue: String,
    /// Whether its deliveries are stopped.
    pub paused: bool,
    /// Not due yet.
    pub scheduled: u64,
    /// Could be delivered now.
    pub ready: u64,
    /// In the hands of workers.
    pub leased: u64,
    /// Waiting for another job.
    pub waiting: u64,
    /// Acked, in all.
    pub done: u64,
    /// Failed, waiting for their next run.
    pub failed: u64,
    /// Out of attempts.
    pub dead: u64,
    /// Cancelled, in all.
    pub cancelled: u64,
    /// Not run in time, in all.
    pub expired: u64,
    /// Pushed, in all.
    pub pushed: u64,
    /// Subscriptions now.
    pub subscriptions: u64,
}

/// The state of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum JobState {
    /// Not due yet.
    Scheduled,
    /// Could be delivered now.
    Ready,
    /// In the hands of a worker.
    Leased,
    /// Waiting for another job.
    Waiting,
    /// Acked.
    Done,
    /// Failed, waiting for its next run.
    Failed,
    /// Out of attempts.
    Dead,
    /// Cancelled.
    Cancelled,
    /// Not run in time.
    Expired,
    /// A state that this client does not know.
    Unknown,
}

impl JobState {
    fn to_wire(self) -> i32 {
        let state = match self {
            Self::Scheduled => wire::JobState::Scheduled,
            Self::Ready => wire::JobState::Ready,
            Self::Leased => wire::JobState::Leased,
            Self::Waiting => wire::JobState::Waiting,
            Self::Done => wire::JobState::Done,
            Self::Failed => wire::JobState::Failed,
            Self::Dead => wire::JobState::Dead,
            Self::Cancelled => wire::JobState::Cancelled,
            Self::Expired => wire::JobState::Expired,
            Self::Unknown => wire::JobState::Unspecified,
        };
        state as i32
    }

    fn from_wire(number: i32) -> Self {
        match wire::JobState::try_from(number).unwrap_or_default() {
            wire::JobState::Unspecified => Self::Unknown,
            wire::JobState::Scheduled => Self::Scheduled,
            wire::JobState::Ready => Self::Ready,
            wire::JobState::Leased => Self::Leased,
            wire::JobState::Waiting => Self::Waiting,
            wire::JobState::Done => Self::Done,
            wire::JobState::Failed => Self::Failed,
            wire::JobState::Dead => Self::Dead,
            wire::JobState::Cancelled => Self::Cancelled,
            wire::JobState::Expired => Self::Expired,
        }
    }
}

/// A job as [`Client::peek`] shows it: looked at, not leased.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeekedJob {
    /// The job.
    pub id: u64,
    /// Its state.
    pub state: JobState,
    /// Higher runs first.
    pub priority: i32,
    /// Runs so far.
    pub attempts: u32,
    /// Runs in all before it is dead.
    pub attempts_max: u32,
    /// Milliseconds since 1970 of the broker's clock: when it may run, or its lease ends.
    pub due_ms: u64,
    /// Length of the whole body.
    pub body_bytes: u64,
    /// The body, or the beginning of it if it is long.
    pub body: Bytes,
    /// Its headers.
    pub headers: Vec<Header>,
}

impl Client {
    /// The numbers of one queue, or of all of the namespace.
    ///
    /// # Errors
    /// What the broker answers ([`verteilt_protocol::ErrorCode::QueueUnknown`]),
    /// [`ClientError::Deadline`] after the request timeout.
    ///
    /// # Cancel safety
    /// Safe: it only asks.
    pub async fn queue_stats(&self, queue: Option<&str>) -> Result<Vec<QueueStats>, ClientError> {
        if let Some(queue) = queue {
            check_name(queue)?;
        }
        let mut all: Vec<QueueStats> = Vec::new();
        loop {
            let request = wire::QueueStatsRequest {
                queue: queue.unwrap_or_default().to_owned(),
                after: all
                    .last()
                    .map(|last| last.queue.clone())
                    .unwrap_or_default(),
            };
            let (reply, _) = self
                .shared()
                .ask::<wire::QueueStatsReply>("the queue's numbers", Request::QueueStats(request))
                .await?;
            let more = reply.more && !reply.queues.is_empty();
            all.extend(reply.queues.into_iter().map(stats_from_wire));
            if !more {
                return Ok(all);
            }
        }
    }

    /// Up to `jobs_max` jobs of a queue in this state (scheduled, ready, leased, failed or dead),
    /// those that would run first at the front. Fewer come if they do not fit into a frame.
    ///
    /// # Errors
    /// As [`Client::queue_stats`].
    ///
    /// # Cancel safety
    /// Safe: it only asks.
    pub async fn peek(
        &self,
        queue: &str,
        state: JobState,
        jobs_max: u32,
    ) -> Result<Vec<PeekedJob>, ClientError> {
        check_name(queue)?;
        let request = wire::QueuePeek {
            queue: queue.to_owned(),
            state: state.to_wire(),
            jobs_max,
        };
        let (peeked, frame) = self
            .shared()
            .ask::<wire::QueuePeeked>("the peek", Request::QueuePeek(request))
            .await?;
        let lengths = peeked
            .jobs
            .iter()
            .map(|job| (job.header_length, job.body_length));
        let slices = split_payload_by(&frame.payload, lengths)?;
        let jobs = peeked.jobs.iter().zip(slices);
        Ok(jobs
            .map(|(job, slices)| peeked_from_wire(job, &slices))
            .collect())
    }

    /// Stops the deliveries of a queue; pushes go on, jobs in hand can be settled.
    ///
    /// # Errors
    /// As [`Client::queue_stats`].
    ///
    /// # Cancel safety
    /// Dropped, it may or may not have taken effect.
    pub async fn pause(&self, queue: &str) -> Result<(), ClientError> {
        self.set_paused(queue, true).await
    }

    /// Starts the deliveries of a queue again.
    ///
    /// # Errors
    /// As [`Client::queue_stats`].
    ///
    /// # Cancel safety
    /// Dropped, it may or may not have taken effect.
    pub async fn resume(&self, queue: &str) -> Result<(), ClientError> {
        self.set_paused(queue, false).await
    }

    async fn set_paused(&self, queue: &str, paused: bool) -> Result<(), ClientError> {
        check_name(queue)?;
        let request = Request::QueuePause(wire::QueuePause {
            queue: queue.to_owned(),
            paused,
        });
        let limit = self.shared().config.request_timeout;
        self.shared()
            .call("the pause", request, limit)
            .await
            .map(|_| ())
    }

    /// Removes all jobs of a queue that nobody holds, and says how many.
    ///
    /// # Errors
    /// As [`Client::queue_stats`]. After a lost connection the number may be too low: what was
    /// removed by a request without an answer is not counted.
    ///
    /// # Cancel safety
    /// Dropped, part of the jobs may be removed.
    pub async fn purge(&self, queue: &str) -> Result<u64, ClientError> {
        check_name(queue)?;
        let mut jobs = 0;
        loop {
            let jobs_max = limits::BATCH_JOBS_MAX as u32;
            let request = wire::QueuePurge {
                queue: queue.to_owned(),
                jobs_max,
            };
            let (purged, _) = self
                .shared()
                .ask::<wire::QueuePurged>("the purge", Request::QueuePurge(request))
                .await?;
            jobs += purged.jobs;
            // A broker that removes nothing and says "more" would keep us here for ever.
            if !purged.more || purged.jobs == 0 {
                return Ok(jobs);
            }
        }
    }

    /// Makes the broker take a checkpoint now and trim its journal; gives the position (LSN) that it
    /// reaches.
    ///
    /// # Errors
    /// As [`Client::queue_stats`].
    ///
    /// # Cancel safety
    /// Dropped, the checkpoint is taken all the same.
    pub async fn checkpoint(&self) -> Result<u64, ClientError> {
        let (done, _) = self
            .shared()
            .ask::<wire::CheckpointDone>("the checkpoint", Request::Checkpoint)
            .await?;
        Ok(done.lsn)
    }
}

fn stats_from_wire(stats: wire::QueueStats) -> QueueStats {
    QueueStats {
        queue: stats.queue,
        paused: stats.paused,
        scheduled: stats.scheduled,
        ready: stats.ready,
        leased: stats.leased,
        waiting: stats.waiting,
        done: stats.done,
        failed: stats.failed,
        dead: stats.dead,
        cancelled: stats.cancelled,
        expired: stats.expired,
        pushed: stats.pushed,
        subscriptions: stats.subscriptions,
    }
}

fn peeked_from_wire(job: &wire::PeekedJob, slices: &verteilt_protocol::JobSlices) -> PeekedJob {
    PeekedJob {
        id: job.id,
        state: JobState::from_wire(job.state),
        priority: job.priority,
        attempts: job.attempts,
        attempts_max: job.attempts_max,
        due_ms: job.due_ms,
        body_bytes: job.body_bytes,
        body: slices.body.clone(),
        headers: decode_headers(&slices.headers),
    }
}
