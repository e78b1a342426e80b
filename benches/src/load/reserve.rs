//! Takes and acks a backlog. Single: a subscription on each connection, an ack for every job, those
//! awaited together. Batches: a reserve that asks for so many, and an ack of them all.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{self, Poll, ready};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures_util::{FutureExt as _, StreamExt as _};
use verteilt_client::{Client, ClientError, Credit, Job, Settling, Subscription};

use super::Tasks;
use super::pace::Turn;
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
        let turn = Turn {
            due: since,
            jobs: 1,
        };
        self.running.answered(&self.ack, &turn);
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.running.over.cancel();
        }
    }
}

async fn ack_as_they_come(backlog: Arc<Backlog>, client: Client) -> Result<()> {
    let plan = &backlog.running.plan;
    let credit = Credit::jobs(plan.in_flight as u32);
    let jobs = client.subscribe(&plan.queue, credit).await?;
    let mut worker = Worker {
        backlog: &backlog,
        jobs,
        acks: VecDeque::new(),
        ids: Vec::new(),
    };
    tokio::select! {
        biased;
        failed = poll_fn(|context| worker.poll(context)) => return failed,
        () = backlog.running.over.cancelled() => {}
    }
    let ids = std::mem::take(&mut worker.ids);
    backlog.running.keep(ids);
    Ok(())
}

/// Acks each job when it comes. The acks are awaited in their order, in which they are mostly answered.
struct Worker<'a> {
    backlog: &'a Backlog,
    jobs: Subscription,
    acks: VecDeque<Ack>,
    ids: Vec<u64>,
}

struct Ack {
    id: u64,
    since: Instant,
    answer: Settling,
}

impl Worker<'_> {
    /// Ready: it cannot go on.
    fn poll(&mut self, context: &mut task::Context<'_>) -> Poll<Result<()>> {
        while let Poll::Ready(job) = self.jobs.poll_next_unpin(context) {
            let job = job.context("the subscription ended")?;
            self.backlog.check(&job)?;
            let mut ack = Ack {
                id: job.id(),
                since: self.backlog.ack.begin(),
                answer: job.ack(),
            };
            // Sent with the first poll.
            match ack.answer.poll_unpin(context) {
                Poll::Ready(answer) => self.answered(&ack, answer)?,
                Poll::Pending => self.acks.push_back(ack),
            }
        }
        while let Some(ack) = self.acks.front_mut() {
            let answer = ready!(ack.answer.poll_unpin(context));
            if let Some(ack) = self.acks.pop_front() {
                self.answered(&ack, answer)?;
            }
        }
        Poll::Pending
    }

    fn answered(&mut self, ack: &Ack, answer: Result<(), ClientError>) -> Result<()> {
        if is_settled(answer)? {
            self.backlog.acked(ack.since);
            if self.backlog.running.keeps_ids() {
                self.ids.push(ack.id);
            }
        }
        Ok(())
    }
}

async fn ack_batches(backlog: Arc<Backlog>, client: Client) -> Result<()> {
    let running = &backlog.running;
    let (queue, batch) = (&running.plan.queue, running.plan.batch as u32);
    let mut ids = Vec::new();
    while !running.over.is_cancelled() {
        let asked = backlog.reserve.begin();
        let jobs = client.reserve(queue, batch, WAIT).await?;
        if jobs.is_empty() {
            continue;
        }
        backlog.reserve.record(asked, jobs.len() as u64);
        let since = backlog.ack.begin();
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
