//! Takes and acks a backlog. Single: a subscription on each connection, an ack for every job, those
//! awaited together. Batches: a reserve that asks for so many, and an ack of them all.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use verteilt_client::{Client, ClientError, Credit, Job};

use super::Tasks;
use super::running::Running;
use super::timer::Timer;

/// How long a reserve waits for its first job: others hold what is left of the backlog, or it has been
/// acked meanwhile.
const WAIT: Duration = Duration::from_millis(50);

/// What the tasks of a reserve share.
struct Backlog {
    running: Arc<Running>,
    /// Jobs that are not acked yet.
    left: AtomicU64,
    reserve: Arc<Timer>,
    ack: Arc<Timer>,
}

pub(super) fn start(running: &Arc<Running>) -> (Instant, Tasks) {
    let plan = &running.plan;
    let backlog = Arc::new(Backlog {
        running: Arc::clone(running),
        left: AtomicU64::new(plan.jobs.unwrap_or_default()),
        reserve: running.timer("reserve"),
        ack: running.timer("ack"),
    });
    let mut tasks = Tasks::new();
    let begun = Instant::now();
    for client in &running.clients {
        if plan.batch == 1 {
            tasks.spawn(ack_as_they_come(Arc::clone(&backlog), client.clone()));
            continue;
        }
        for _ in 0..plan.requests() {
            tasks.spawn(ack_batches(Arc::clone(&backlog), client.clone()));
        }
    }
    (begun, tasks)
}

impl Backlog {
    fn check(&self, job: &Job) -> Result<()> {
        let (found, pushed) = (job.body().len(), self.running.body.len());
        ensure!(
            found == pushed,
            "a body of {found} bytes came, {pushed} were pushed"
        );
        Ok(())
    }

    /// A job was acked; the last one ends the load.
    fn acked(&self, since: Instant) {
        self.ack.record(since, 1);
        self.running.watch.add(1);
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.running.over.cancel();
        }
    }
}

async fn ack_as_they_come(backlog: Arc<Backlog>, client: Client) -> Result<()> {
    let running = &backlog.running;
    let credit = Credit::jobs(running.plan.in_flight as u32);
    let mut jobs = client.subscribe(&running.plan.queue, credit).await?;
    let mut acks = FuturesUnordered::new();
    let mut ids = Vec::new();
    let mut over = std::pin::pin!(running.over.cancelled());
    loop {
        tokio::select! {
            biased;
            Some((id, since, acked)) = acks.next() => {
                if is_settled(acked)? {
                    backlog.acked(since);
                    ids.push(id);
                }
                if !running.keeps_ids() {
                    ids.clear();
                }
            }
            job = jobs.next() => {
                let job = job.context("the subscription ended")?;
                backlog.check(&job)?;
                acks.push(ack(job));
            }
            () = &mut over => break,
        }
    }
    running.keep(ids);
    Ok(())
}

fn ack(job: Job) -> impl Future<Output = (u64, Instant, Result<(), ClientError>)> {
    let since = Instant::now();
    let id = job.id();
    async move { (id, since, job.ack().await) }
}

async fn ack_batches(backlog: Arc<Backlog>, client: Client) -> Result<()> {
    let running = &backlog.running;
    let (queue, batch) = (&running.plan.queue, running.plan.batch as u32);
    let mut ids = Vec::new();
    while !running.over.is_cancelled() {
        let asked = Instant::now();
        let jobs = client.reserve(queue, batch, WAIT).await?;
        if jobs.is_empty() {
            continue;
        }
        backlog.reserve.record(asked, jobs.len() as u64);
        let since = Instant::now();
        let reserved: Vec<u64> = jobs.iter().map(Job::id).collect();
        jobs.iter().try_for_each(|job| backlog.check(job))?;
        for (id, acked) in reserved.into_iter().zip(client.ack_all(jobs).await) {
            if is_settled(acked)? {
                backlog.acked(since);
                ids.push(id);
            }
        }
        if !running.keeps_ids() {
            ids.clear();
        }
    }
    running.keep(ids);
    Ok(())
}

/// Whether the ack counts. A lease that ended with its connection does not: the job comes again.
pub(super) fn is_settled(acked: Result<(), ClientError>) -> Result<bool> {
    match acked {
        Ok(()) => Ok(true),
        Err(ClientError::LeaseLost { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
