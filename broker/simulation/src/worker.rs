//! Workers: take what comes and do with it all that a worker may do, and may fail to do. What
//! becomes of a run hangs on the job and the attempt alone.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;
use verteilt_client::{Client, ClientError, Credit, ErrorCode, Job, Settling};
use verteilt_history::{Body, Delivered, Operation};

use crate::body;
use crate::client::{self, Hands};
use crate::dice::Dice;
use crate::plan::WorkerPlan;
use crate::world::{World, queue_name};

/// Up to this a lease is short enough to be outstayed.
const LEASE_SHORT: Duration = Duration::from_millis(500);
/// How long a RESERVE waits.
const RESERVE_WAIT: Duration = Duration::from_millis(300);

/// What becomes of a run.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Ack,
    TouchAndAck,
    Nack(Option<u64>),
    Release,
    /// Acked when the lease is over.
    Outstay(u64),
    /// Never settled: the lease runs out.
    Forget,
}

/// A worker's process; dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) number: u32,
    _task: AbortOnDropHandle<()>,
}

impl Worker {
    /// `number` is its own in the history; `wire` is the same for all that take this place.
    pub(crate) fn start(world: &World, plan: WorkerPlan, number: u32, wire: u32) -> Self {
        let world = world.clone();
        let task = tokio::spawn(async move {
            // Only a world that ends leaves a client without a connection.
            let hands = Hands::default();
            let Ok(client) = client::connect(&world, number, wire, hands.clone()).await else {
                return;
            };
            if plan.credit == 0 {
                reserve(&world, &client, plan, number, &hands).await;
            } else {
                subscribe(&world, &client, plan, number, &hands).await;
            }
        });
        Self {
            number,
            _task: AbortOnDropHandle::new(task),
        }
    }
}

async fn subscribe(world: &World, client: &Client, plan: WorkerPlan, number: u32, hands: &Hands) {
    let queue = queue_name(plan.queue);
    let credit = Credit {
        jobs: plan.credit,
        bytes: plan.credit_bytes,
    };
    let Ok(mut jobs) = client.subscribe(queue, credit).await else {
        return;
    };
    let mut tasks = Vec::new();
    while let Some(job) = jobs.next().await {
        tasks.retain(|task: &AbortOnDropHandle<()>| !task.is_finished());
        tasks.push(take(world, job, number, number.into(), hands));
    }
}

async fn reserve(world: &World, client: &Client, plan: WorkerPlan, number: u32, hands: &Hands) {
    let queue = queue_name(plan.queue);
    let mut tasks = Vec::new();
    for round in 0_u64.. {
        let jobs_max = 1 + (round % 5) as u32;
        let Ok(jobs) = client.reserve(queue, jobs_max, RESERVE_WAIT).await else {
            return;
        };
        tasks.retain(|task: &AbortOnDropHandle<()>| !task.is_finished());
        let taker = u64::from(number) << 32 | round;
        let started = jobs
            .into_iter()
            .map(|job| take(world, job, number, taker, hands));
        tasks.extend(started);
    }
}

fn take(world: &World, job: Job, number: u32, taker: u64, hands: &Hands) -> AbortOnDropHandle<()> {
    let lease_ms = job.lease_time().as_millis() as u64;
    world.delivered(Delivered {
        client: number,
        taker: Some(taker),
        queue: job.queue().to_owned(),
        job: job.id(),
        token: job.token(),
        attempt: job.attempt(),
        lease_ms,
        body: Body::of(job.body()),
    });
    let number_of_body = body::number(job.body());
    assert!(
        number_of_body.is_some(),
        "the body of job {} is torn",
        job.id()
    );
    let purpose = number_of_body.unwrap_or(0) << 8 | u64::from(job.attempt());
    let mut dice = Dice::of(world.plan.seed ^ 0x776f_726b, purpose);
    let works = Duration::from_millis(if dice.percent(70) { 0 } else { dice.below(15) });
    let deed = choose(world, &mut dice, &job);
    let (world, hands) = (Arc::clone(world), hands.clone());
    let lease = (job.id(), job.token());
    // Those who let a lease run out may be asked for it after it has ended.
    if !matches!(deed, Deed::Outstay(_) | Deed::Forget) {
        hands.take(lease);
    }
    AbortOnDropHandle::new(tokio::spawn(async move {
        if !works.is_zero() {
            tokio::time::sleep(works).await;
        }
        act(&world, job, number, deed).await;
        hands.let_go(lease);
    }))
}

fn choose(world: &World, dice: &mut Dice, job: &Job) -> Deed {
    // In the end everything is to be done.
    if world.is_healed() {
        return Deed::Ack;
    }
    let is_short = job.lease_time() <= LEASE_SHORT;
    match dice.below(100) {
        0..8 => Deed::Nack(Some(dice.below(300))),
        // The backoff doubles each time: it would outlast the run.
        8..10 if job.attempt() <= 4 => Deed::Nack(None),
        10..18 => Deed::Release,
        18..24 => Deed::TouchAndAck,
        24..34 if is_short => Deed::Outstay(dice.below(200)),
        34..42 if is_short => Deed::Forget,
        _ => Deed::Ack,
    }
}

async fn act(world: &World, job: Job, number: u32, deed: Deed) {
    let (id, token) = (job.id(), job.token());
    let ack = Operation::Ack { job: id, token };
    match deed {
        Deed::Ack => {}
        Deed::TouchAndAck => {
            let touch = Operation::Touch {
                job: id,
                token,
                lease_ms: 0,
            };
            settle(world, number, touch, job.touch(None)).await;
        }
        Deed::Nack(delay_ms) => {
            let nack = Operation::Nack {
                job: id,
                token,
                delay_ms,
            };
            let delay = delay_ms.map(Duration::from_millis);
            return settle(world, number, nack, job.nack(delay)).await;
        }
        Deed::Release => {
            let release = Operation::Release { job: id, token };
            return settle(world, number, release, job.release()).await;
        }
        Deed::Outstay(over_ms) => {
            tokio::time::sleep(job.lease_time() + Duration::from_millis(over_ms)).await;
        }
        Deed::Forget => {
            // Held, not dropped: a dropped job would be given back by the client.
            tokio::time::sleep(Duration::from_secs(3_600)).await;
            return;
        }
    }
    settle(world, number, ack, job.ack()).await;
}

async fn settle(world: &World, number: u32, what: Operation, settling: Settling) {
    let operation = world.invoke(number, what);
    let _open = world.open_settling();
    match settling.await {
        Ok(()) => world.done(operation),
        Err(ClientError::LeaseLost { .. }) => {
            world.failed(operation, ErrorCode::LeaseLost.number());
        }
        Err(error) => world.ended(operation, &error),
    }
}
