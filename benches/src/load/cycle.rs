//! The whole way: pushed, delivered, acked. Producers and consumers have connections of their own, and
//! a job is done when its ack is answered. So many jobs may be on their way that one connection times
//! the number of connections makes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use verteilt_client::{Client, Credit, Job, PushOptions, Subscription};

use super::Tasks;
use super::pace::{Pace, Turn};
use super::plan::STAMP_BYTES;
use super::reserve::is_settled;
use super::running::Running;
use super::timer::Timer;

/// What producers and consumers share.
struct Cycle {
    running: Arc<Running>,
    pace: Arc<Pace>,
    /// Tells our bodies from others'.
    mark: u64,
    /// Room for jobs on their way.
    room: Semaphore,
    pushed: AtomicU64,
    acked: AtomicU64,
    producers: AtomicUsize,
    /// Everything that was pushed is acked, and nothing more comes.
    drained: CancellationToken,
    push: Arc<Timer>,
    delivery: Arc<Timer>,
    ack: Arc<Timer>,
}

pub(super) async fn start(running: &Arc<Running>) -> Result<(Instant, Tasks)> {
    let plan = &running.plan;
    let (producers, consumers) = running.clients.split_at(plan.connections);
    let credit = Credit::jobs(plan.in_flight.max(plan.batch) as u32);
    let mut subscriptions = Vec::new();
    for client in consumers {
        subscriptions.push(client.subscribe(&plan.queue, credit).await?);
    }
    let (push, delivery, ack) = (
        running.timer("push"),
        running.timer("delivery"),
        running.timer("ack"),
    );
    let pace = running.pace()?;
    let begun = pace.begun();
    let shared = Arc::new(Cycle {
        running: Arc::clone(running),
        pace,
        mark: any_number(),
        room: Semaphore::new(plan.in_flight.max(plan.batch) * producers.len()),
        pushed: AtomicU64::new(0),
        acked: AtomicU64::new(0),
        producers: AtomicUsize::new(plan.requests() * producers.len()),
        drained: CancellationToken::new(),
        push,
        delivery,
        ack,
    });
    let mut tasks = Tasks::new();
    for subscription in subscriptions {
        tasks.spawn(consume(Arc::clone(&shared), subscription));
    }
    for client in producers {
        for _ in 0..plan.requests() {
            tasks.spawn(produce(Arc::clone(&shared), client.clone()));
        }
    }
    Ok((begun, tasks))
}

impl Cycle {
    /// A body that tells when it was due.
    fn stamped(&self, due: Instant) -> Bytes {
        let plain = &self.running.body;
        let due = due.saturating_duration_since(self.pace.begun());
        let mut body = BytesMut::with_capacity(plain.len());
        body.put_u64(self.mark);
        body.put_u64(u64::try_from(due.as_nanos()).unwrap_or(u64::MAX));
        body.extend_from_slice(&plain[STAMP_BYTES..]);
        body.freeze()
    }

    fn due_of(&self, job: &Job) -> Result<Instant> {
        let mut body = job.body().as_ref();
        let is_ours = body.len() == self.running.body.len() && body.get_u64() == self.mark;
        ensure!(
            is_ours,
            "a job came that this load did not push: it needs a queue of its own"
        );
        Ok(self.pace.begun() + Duration::from_nanos(body.get_u64()))
    }

    fn look_whether_drained(&self) {
        if self.producers.load(Ordering::SeqCst) == 0
            && self.acked.load(Ordering::SeqCst) == self.pushed.load(Ordering::SeqCst)
        {
            self.drained.cancel();
        }
    }

    fn acked(&self, due: Instant) {
        self.running.answered(&self.ack, &Turn { due, jobs: 1 });
        self.room.add_permits(1);
        self.acked.fetch_add(1, Ordering::SeqCst);
        self.look_whether_drained();
    }
}

async fn produce(shared: Arc<Cycle>, client: Client) -> Result<()> {
    let batch = shared.running.plan.batch;
    loop {
        let room = shared.room.acquire_many(batch as u32).await?;
        let Some(turn) = shared.pace.next().await else {
            break;
        };
        room.forget();
        // The last one of a load may be smaller.
        shared.room.add_permits(batch - turn.jobs as usize);
        shared.pushed.fetch_add(turn.jobs, Ordering::SeqCst);
        push(&shared, &client, &turn).await?;
        shared.push.record(turn.due, turn.jobs);
    }
    shared.producers.fetch_sub(1, Ordering::SeqCst);
    shared.look_whether_drained();
    Ok(())
}

async fn push(shared: &Cycle, client: &Client, turn: &Turn) -> Result<()> {
    let queue = &shared.running.plan.queue;
    let body = shared.stamped(turn.due);
    if turn.jobs == 1 {
        client.push(queue, body).await?;
        return Ok(());
    }
    let bodies = vec![body; turn.jobs as usize];
    let options = PushOptions::default();
    client.push_batch(queue, bodies, &options).await?;
    Ok(())
}

async fn consume(shared: Arc<Cycle>, mut jobs: Subscription) -> Result<()> {
    let mut acks = FuturesUnordered::new();
    let mut drained = std::pin::pin!(shared.drained.cancelled());
    loop {
        tokio::select! {
            biased;
            Some((due, acked)) = acks.next() => {
                if is_settled(acked)? {
                    shared.acked(due);
                }
            }
            job = jobs.next() => {
                let job = job.context("the subscription ended")?;
                let due = shared.due_of(&job)?;
                shared.delivery.record(due, 1);
                acks.push(async move { (due, job.ack().await) });
            }
            () = &mut drained => return Ok(()),
        }
    }
}

/// Different each time; nothing hangs on how random it is.
fn any_number() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(std::process::id())
}
