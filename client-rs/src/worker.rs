//! A loop that runs a handler on the jobs of a queue.

use std::fmt::Display;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use rustc_hash::FxHashMap;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::error::ClientError;
use crate::job::Job;
use crate::keep_alive::KeepAlive;
use crate::lot::Lease;
use crate::settle::{SettleKind, Settling};
use crate::subscription::{Credit, Subscription};

/// Takes jobs of a queue and runs a handler on each, several at a time. Made by
/// [`Client::worker`].
///
/// A handler that returns `Ok` acks its job, `Err` or a panic nacks it with the queue's backoff. A
/// handler may settle its job itself; then its return value decides nothing. Leases are kept alive
/// while handlers run; when one is lost all the same, [`Job::lost`] is cancelled and the handler's
/// future is dropped at its next await.
#[derive(Clone, Debug)]
#[must_use = "a worker does nothing until `run`"]
pub struct Worker {
    client: Client,
    queue: String,
    concurrency: u32,
    credit_bytes: u64,
    grace: Duration,
}

/// What a worker did, by how its jobs ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerSummary {
    /// Acked.
    pub done: u64,
    /// Nacked: the handler returned an error or panicked.
    pub failed: u64,
    /// The lease was lost while the handler ran or before its result was known to the broker.
    pub lost: u64,
    /// Settled by the handler itself.
    pub settled_by_handler: u64,
    /// Released: not started, or still running when the grace was over.
    pub released: u64,
}

/// How one job ended.
enum Outcome {
    Done,
    Failed,
    Lost,
    ByHandler,
    Broken(ClientError),
}

impl Worker {
    pub(crate) fn new(client: Client, queue: String) -> Self {
        let grace = Duration::from_secs(30);
        Self {
            client,
            queue,
            concurrency: 1,
            credit_bytes: 0,
            grace,
        }
    }

    /// Jobs at one time, at least 1; also the credit. Default 1.
    pub fn concurrency(mut self, jobs: u32) -> Self {
        self.concurrency = jobs.max(1);
        self
    }

    /// Bytes of bodies at one time; one job is always allowed. Default 0: 8 MiB.
    pub fn credit_bytes(mut self, bytes: u64) -> Self {
        self.credit_bytes = bytes;
        self
    }

    /// How long handlers that run may go on after the shutdown is asked for; then they are dropped
    /// and their jobs released. Default 30 s.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Runs until `shutdown` is cancelled: then takes no more jobs, releases what has not started,
    /// waits for what runs.
    ///
    /// # Errors
    /// If the queue cannot be subscribed to, or the client ends while the worker runs.
    ///
    /// # Cancel safety
    /// Dropped, running handlers are dropped and their leases run out; cancel `shutdown` instead.
    pub async fn run<H, F, E>(
        self,
        handler: H,
        shutdown: CancellationToken,
    ) -> Result<WorkerSummary, ClientError>
    where
        H: Fn(Job) -> F,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Display,
    {
        let credit = Credit {
            jobs: self.concurrency,
            bytes: self.credit_bytes,
        };
        let mut subscription = self.client.subscribe(&self.queue, credit).await?;
        let mut running = Running::default();
        loop {
            let full = running.tasks.len() >= self.concurrency as usize;
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                Some(outcome) = running.tasks.join_next_with_id() => running.note(outcome)?,
                job = subscription.next(), if !full => match job {
                    Some(job) => running.start(job, &handler),
                    None => {
                        let error = subscription.error().unwrap_or(ClientError::Closed);
                        running.finish(self.grace).await;
                        return Err(error);
                    }
                },
            }
        }
        let (released, ()) = futures_util::join!(stop(subscription), running.finish(self.grace));
        running.summary.released += released as u64;
        Ok(running.summary)
    }
}

#[derive(Default)]
struct Running {
    tasks: JoinSet<Outcome>,
    /// Of the tasks that run: at the end of the grace they are released.
    leases: FxHashMap<Id, Lease>,
    summary: WorkerSummary,
}

impl Running {
    fn start<H, F, E>(&mut self, job: Job, handler: &H)
    where
        H: Fn(Job) -> F,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Display,
    {
        let lease = job.lease().clone();
        let lost = job.lost();
        let keep_alive = job.keep_alive();
        let handling = AssertUnwindSafe(handler(job)).catch_unwind();
        let task = self
            .tasks
            .spawn(run_one(lease.clone(), lost, keep_alive, async move {
                match handling.await {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(error)) => Err(error.to_string()),
                    Err(_) => Err("the handler panicked".to_owned()),
                }
            }));
        self.leases.insert(task.id(), lease);
    }

    fn note(
        &mut self,
        outcome: Result<(Id, Outcome), tokio::task::JoinError>,
    ) -> Result<(), ClientError> {
        // Only the end of the grace aborts tasks, and it looks at their leases itself.
        let Ok((task, outcome)) = outcome else {
            return Ok(());
        };
        self.leases.remove(&task);
        match outcome {
            Outcome::Done => self.summary.done += 1,
            Outcome::Failed => self.summary.failed += 1,
            Outcome::Lost => self.summary.lost += 1,
            Outcome::ByHandler => self.summary.settled_by_handler += 1,
            Outcome::Broken(error) => return Err(error),
        }
        Ok(())
    }

    /// Waits for what runs, then gives it up.
    async fn finish(&mut self, grace: Duration) {
        let drained = tokio::time::timeout(grace, async {
            while let Some(outcome) = self.tasks.join_next_with_id().await {
                if let Err(error) = self.note(outcome) {
                    tracing::warn!(%error, "a job could not be settled");
                }
            }
        });
        if drained.await.is_ok() {
            return;
        }
        self.tasks.shutdown().await;
        self.leases.retain(|_, lease| lease.is_held());
        self.summary.released += self.leases.len() as u64;
        let leases = self.leases.drain().map(|(_, lease)| lease);
        let released = leases.map(|lease| Settling::new(lease, SettleKind::Release));
        for result in futures_util::future::join_all(released).await {
            if let Err(error) = result {
                tracing::warn!(%error, "a job that was given up could not be released");
            }
        }
    }
}

/// No more jobs; what has not started goes back.
async fn stop(subscription: Subscription) -> usize {
    let (released, ended) = subscription.end().await;
    if let Err(error) = ended {
        tracing::warn!(%error, "the end of the worker's subscription was not answered");
    }
    released
}

async fn run_one(
    lease: Lease,
    lost: CancellationToken,
    keep_alive: KeepAlive,
    handling: impl Future<Output = Result<(), String>>,
) -> Outcome {
    let result = tokio::select! {
        biased;
        result = handling => result,
        () = lost.cancelled() => return Outcome::Lost,
    };
    drop(keep_alive);
    if lease.lot.is_settled(lease.index) {
        return Outcome::ByHandler;
    }
    let id = lease.id();
    let (kind, outcome) = match result {
        Ok(()) => (SettleKind::Ack, Outcome::Done),
        Err(error) => {
            tracing::warn!(job = id, %error, "a job failed");
            (SettleKind::Nack { delay_ms: None }, Outcome::Failed)
        }
    };
    match Settling::new(lease, kind).await {
        Ok(()) => outcome,
        Err(ClientError::LeaseLost { .. }) => Outcome::Lost,
        Err(error @ ClientError::Refused { .. }) => {
            tracing::warn!(job = id, %error, "a job could not be settled, its lease will run out");
            Outcome::Failed
        }
        Err(error) => Outcome::Broken(error),
    }
}
