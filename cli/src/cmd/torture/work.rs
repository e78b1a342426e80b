//! A worker: takes what comes, and does with it all that a worker may do, and may fail to do.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use verteilt_client::{ClientError, ErrorCode, Job, Settling, Subscription};
use verteilt_history::{Body, Delivered, Operation};

use super::body;
use super::load::Load;
use super::produce::LEASE_SHORT_MS;
use super::random::Random;

/// How long after the end of a lease its holder still tries, at the least and at the most. The
/// shorter, the more often the job is on its way to somebody else just then; the longer, the more
/// certain the checker is that the lease was over.
const OUTSTAYED_MS: std::ops::Range<u64> = 20..2_000;

/// What becomes of a run.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Ack,
    TouchAndAck,
    Nack(Option<u64>),
    Release,
    /// Acked so long after the lease is over: refused.
    Outstay(Duration),
    /// Never settled: the lease runs out.
    Forget,
}

/// Takes jobs until the client is closed.
pub(super) async fn run(load: Arc<Load>, mut jobs: Subscription, number: u32, mut random: Random) {
    while let Some(job) = jobs.next().await {
        let delivered = Delivered {
            client: number,
            taker: Some(u64::from(number)),
            queue: job.queue().to_owned(),
            job: job.id(),
            token: job.token(),
            attempt: job.attempt(),
            lease_ms: lease_ms(&job),
            body: Body::of(job.body()),
        };
        load.recorder.delivered(delivered);
        if !body::is_whole(job.body()) {
            load.torn.fetch_add(1, Ordering::Relaxed);
        }
        let deed = choose(&load, &job, &mut random);
        let works = Duration::from_micros(random.below(8_000));
        let load = Arc::clone(&load);
        // Bounded by the credit of the subscription.
        tokio::spawn(async move {
            tokio::time::sleep(works).await;
            act(&load, job, number, deed).await;
        });
    }
}

fn lease_ms(job: &Job) -> u64 {
    job.lease_time().as_millis() as u64
}

fn choose(load: &Load, job: &Job, random: &mut Random) -> Deed {
    // In the end everything is to be done.
    if load.stopped.is_cancelled() {
        return Deed::Ack;
    }
    let is_short = lease_ms(job) <= LEASE_SHORT_MS;
    match random.below(100) {
        0..4 => Deed::Nack(Some(random.below(400))),
        4..6 => Deed::Nack(None),
        6..10 => Deed::Release,
        10..14 => Deed::TouchAndAck,
        14..22 if is_short => {
            let span_ms = random.below(OUTSTAYED_MS.end - OUTSTAYED_MS.start);
            Deed::Outstay(Duration::from_millis(OUTSTAYED_MS.start + span_ms))
        }
        22..26 if is_short => Deed::Forget,
        _ => Deed::Ack,
    }
}

async fn act(load: &Load, job: Job, number: u32, deed: Deed) {
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
            settle(load, number, touch, job.touch(None)).await;
        }
        Deed::Nack(delay_ms) => {
            let nack = Operation::Nack {
                job: id,
                token,
                delay_ms,
            };
            let delay = delay_ms.map(Duration::from_millis);
            settle(load, number, nack, job.nack(delay)).await;
            return;
        }
        Deed::Release => {
            let release = Operation::Release { job: id, token };
            settle(load, number, release, job.release()).await;
            return;
        }
        Deed::Outstay(over) => tokio::time::sleep(job.lease_time() + over).await,
        Deed::Forget => return,
    }
    if settle(load, number, ack, job.ack()).await {
        load.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether it was done.
async fn settle(load: &Load, number: u32, what: Operation, settling: Settling) -> bool {
    let operation = load.recorder.invoke(number, what);
    match settling.await {
        Ok(()) => {
            load.recorder.done(operation);
            return true;
        }
        Err(ClientError::LeaseLost { .. }) => {
            let code = ErrorCode::LeaseLost.number();
            load.recorder.failed(operation, code);
        }
        Err(ClientError::Refused { number, .. }) => load.recorder.failed(operation, number),
        Err(_) => load.recorder.unknown(operation),
    }
    false
}
