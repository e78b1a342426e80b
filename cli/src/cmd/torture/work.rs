//! A worker: takes what comes, and does with it all that a worker may do, and may fail to do.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use verteilt_client::{Client, ClientError, ErrorCode, Job, Settling, Subscription};
use verteilt_history::{Body, Delivered, Operation};

use super::body;
use super::flow::Hands;
use super::load::Load;
use super::produce::LEASE_SHORT;
use super::random::Random;

/// How long after the end of a lease its holder still tries, at the least and at the most. The
/// shorter, the more often the job is on its way to somebody else just then; the longer, the more
/// certain the checker is that the lease was over.
const OUTSTAYED_MS: std::ops::Range<u64> = 20..2_000;

/// The last run whose end may bring a backoff; later ones would make the end of a section wait.
const BACKOFF_RUN_MAX: u32 = 2;

/// Jobs that are asked for at one time, and how long one waits for the first of them.
const RESERVE_JOBS_MAX: u64 = 64;
const RESERVE_WAIT: Duration = Duration::from_millis(200);

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

/// One client that takes jobs.
#[derive(Debug)]
pub(super) struct Worker {
    load: Arc<Load>,
    /// In the history.
    number: u32,
    hands: Arc<Hands>,
    random: Random,
    /// Takers of this worker so far.
    takers: u32,
}

impl Worker {
    pub(super) fn new(load: Arc<Load>, number: u32, hands: Arc<Hands>, random: Random) -> Self {
        Self {
            load,
            number,
            hands,
            random,
            takers: 0,
        }
    }

    /// Takes jobs until the client is closed.
    pub(super) async fn take_what_comes(mut self, mut jobs: Subscription) {
        let taker = self.taker();
        while let Some(job) = jobs.next().await {
            self.take(taker, job);
        }
    }

    /// Asks for jobs until the client is closed.
    pub(super) async fn ask_for_more(mut self, client: Client, queue: &'static str) {
        loop {
            let taker = self.taker();
            let jobs_max = 1 + self.random.below(RESERVE_JOBS_MAX) as u32;
            match client.reserve(queue, jobs_max, RESERVE_WAIT).await {
                Ok(jobs) => jobs.into_iter().for_each(|job| self.take(taker, job)),
                Err(ClientError::Closed) => return,
                Err(_) => tokio::time::sleep(RESERVE_WAIT).await,
            }
        }
    }

    /// A number that no other subscription or reserve has.
    fn taker(&mut self) -> u64 {
        self.takers += 1;
        u64::from(self.number) << u32::BITS | u64::from(self.takers)
    }

    fn take(&mut self, taker: u64, job: Job) {
        let headers = body::headers(job.headers());
        let delivered = Delivered {
            client: self.number,
            taker: Some(taker),
            queue: job.queue().to_owned(),
            job: job.id(),
            token: job.token(),
            attempt: job.attempt(),
            lease_ms: job.lease_time().as_millis() as u64,
            body: Body::with_headers(&headers, job.body()),
        };
        self.load.witness.recorder.delivered(delivered);
        if !body::is_whole(job.body()) {
            self.load.torn.fetch_add(1, Ordering::Relaxed);
        }
        let deed = choose(&self.load, &job, &mut self.random);
        let lease = (job.id(), job.token());
        if !matches!(deed, Deed::Outstay(_) | Deed::Forget) {
            self.hands.take(&self.load.flow, lease);
        }
        let works = Duration::from_micros(self.random.below(4_000));
        let (load, hands) = (Arc::clone(&self.load), Arc::clone(&self.hands));
        let number = self.number;
        // Bounded by the credit of the subscription.
        self.load.deeds.spawn(async move {
            tokio::time::sleep(works).await;
            act(&load, job, number, deed).await;
            hands.let_go(&load.flow, lease);
        });
    }
}

fn choose(load: &Load, job: &Job, random: &mut Random) -> Deed {
    // In the end everything is to be done.
    if load.is_calm() {
        return Deed::Ack;
    }
    let is_short = job.lease_time() <= LEASE_SHORT;
    match random.below(100) {
        0..3 => Deed::Nack(Some(random.below(400))),
        3 if job.attempt() <= BACKOFF_RUN_MAX => Deed::Nack(None),
        4..7 => Deed::Release,
        7..11 => Deed::TouchAndAck,
        11..17 if is_short => {
            let span_ms = random.below(OUTSTAYED_MS.end - OUTSTAYED_MS.start);
            Deed::Outstay(Duration::from_millis(OUTSTAYED_MS.start + span_ms))
        }
        17..25 if is_short => Deed::Forget,
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
        load.flow.acked();
    }
}

/// Whether it was done.
async fn settle(load: &Load, number: u32, what: Operation, settling: Settling) -> bool {
    let recorder = &load.witness.recorder;
    let operation = recorder.invoke(number, what);
    let asked = load.witness.asks();
    let answer = settling.await;
    load.witness.answered(asked);
    match answer {
        Ok(()) => {
            recorder.done(operation);
            return true;
        }
        Err(ClientError::LeaseLost { .. }) => {
            let code = ErrorCode::LeaseLost.number();
            recorder.failed(operation, code);
        }
        Err(ClientError::Refused { number, .. }) => recorder.failed(operation, number),
        Err(_) => recorder.unknown(operation),
    }
    false
}
