//! A producer: pushes of every kind, each in the history.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use verteilt_client::{Client, ClientError, Durability, Header, PushOptions};
use verteilt_history as history;
use verteilt_history::{Body, Operation};

use super::body;
use super::load::{Load, MEMORY, QUEUES};
use super::random::Random;

/// Unanswered pushes of one producer.
const PUSHES_MAX: usize = 48;

/// Jobs of a batch. With the largest of their bodies they fit into one frame, so that each batch is
/// taken as a whole.
const BATCH_JOBS: std::ops::Range<u64> = 2..17;

/// How long a producer waits when too many jobs wait.
const PAUSE: Duration = Duration::from_millis(2);

/// Leases that are short enough to be outstayed, and the others.
pub(super) const LEASE_SHORT: Duration = Duration::from_millis(200);
const LEASE_LONG: Duration = Duration::from_secs(10);

/// Most runs of jobs that may die.
const ATTEMPTS_FEW: u64 = 3;

/// A push as it is asked for.
#[derive(Debug)]
struct Order {
    queue: &'static str,
    /// One: a push of its own. More: a batch.
    bodies: Vec<Bytes>,
    options: PushOptions,
}

/// Pushes until the load is calm, then waits for every answer.
pub(super) async fn run(load: Arc<Load>, client: Client, number: u32, mut random: Random) {
    let mut pushes = JoinSet::new();
    while !load.is_calm() {
        while pushes.try_join_next().is_some() {}
        if load.is_full() {
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        if pushes.len() >= PUSHES_MAX {
            pushes.join_next().await;
            continue;
        }
        let order = Order::random(&load, &mut random);
        let (load, client) = (Arc::clone(&load), client.clone());
        pushes.spawn(async move { push(&load, &client, number, order).await });
    }
    while pushes.join_next().await.is_some() {}
    // One that was given up may be on its way still; nothing overtakes it.
    let last = Order::last(&load, &mut random);
    push(&load, &client, number, last).await;
}

impl Order {
    fn random(load: &Load, random: &mut Random) -> Self {
        let queue = match random.below(100) {
            0..8 => MEMORY,
            8..40 => QUEUES[1],
            _ => QUEUES[0],
        };
        let mut options = options(queue, random);
        let jobs = if random.percent(10) {
            BATCH_JOBS.start + random.below(BATCH_JOBS.end - BATCH_JOBS.start)
        } else {
            1
        };
        // The dead are looked at in one frame with what is in them.
        if queue != MEMORY && jobs == 1 && random.percent(3) {
            options.attempts = Some(1 + random.below(ATTEMPTS_FEW) as u32);
        }
        let is_small = jobs > 1 || options.attempts.is_some();
        let body = |_| {
            if is_small {
                body::small(load.number(), random)
            } else {
                body::any(load.number(), random)
            }
        };
        let bodies = (0..jobs).map(body).collect();
        Self {
            queue,
            bodies,
            options,
        }
    }

    /// An ordinary one, waited for however long it takes.
    fn last(load: &Load, random: &mut Random) -> Self {
        Self {
            queue: QUEUES[0],
            bodies: vec![body::small(load.number(), random)],
            options: PushOptions {
                lease: Some(LEASE_LONG),
                durability: Durability::Disk,
                ..PushOptions::default()
            },
        }
    }

    fn told(&self) -> history::Push {
        let milliseconds = |time: Duration| time.as_millis() as u64;
        let options = &self.options;
        let headers = body::headers(&options.headers);
        let body = |body: &Bytes| Body::with_headers(&headers, body);
        history::Push {
            queue: self.queue.to_owned(),
            bodies: self.bodies.iter().map(body).collect(),
            priority: options.priority,
            delay_ms: milliseconds(options.delay),
            attempts: options.attempts.unwrap_or_default(),
            lease_ms: options.lease.map_or(0, milliseconds),
            durability: level(options.durability),
            producer: None,
        }
    }
}

/// Half of them the same, so that they share frames.
fn options(queue: &str, random: &mut Random) -> PushOptions {
    let durability = match queue {
        MEMORY => Durability::Memory,
        _ if random.percent(30) => Durability::Default,
        _ => Durability::Disk,
    };
    let lease = if random.percent(5) {
        LEASE_SHORT
    } else {
        LEASE_LONG
    };
    let mut options = PushOptions {
        lease: Some(lease),
        durability,
        ..PushOptions::default()
    };
    if random.percent(30) {
        options.priority = random.below(5) as i32 - 2;
    }
    if random.percent(8) {
        options.delay = Duration::from_millis(1 + random.below(1_500));
    }
    if random.percent(5) {
        let value = Bytes::copy_from_slice(&random.next().to_le_bytes());
        options.headers.push(Header::new("torture", value));
    }
    // Given up before its answer: nobody knows then whether it was taken.
    if random.percent(3) {
        options.deadline = Some(Duration::from_millis(1 + random.below(20)));
    }
    options
}

async fn push(load: &Load, client: &Client, number: u32, order: Order) {
    let recorder = &load.witness.recorder;
    let operation = recorder.invoke(number, Operation::Push(order.told()));
    load.flow.push_begins();
    let answer = send(client, order).await;
    load.flow.push_ends(answer.is_ok());
    match answer {
        Ok(pushed) => recorder.pushed(operation, pushed),
        Err(ClientError::Refused { number, .. }) => recorder.failed(operation, number),
        Err(_) => recorder.unknown(operation),
    }
}

async fn send(client: &Client, order: Order) -> Result<history::Pushed, ClientError> {
    let Order {
        queue,
        bodies,
        options,
    } = order;
    if let [body] = bodies.as_slice() {
        let pushed = client.push_with(queue, body.clone(), &options).await?;
        return Ok(history::Pushed {
            first_id: pushed.id,
            durability: level(pushed.durability),
            duplicate: pushed.duplicate,
        });
    }
    let ids = client.push_batch(queue, bodies, &options).await?;
    Ok(history::Pushed {
        first_id: ids.first().copied().unwrap_or_default(),
        // The answer to a batch tells the ids alone.
        durability: level(options.durability),
        duplicate: false,
    })
}

fn level(durability: Durability) -> history::Durability {
    match durability {
        Durability::Memory => history::Durability::Memory,
        Durability::Default | Durability::Disk | Durability::Replicated => {
            history::Durability::Disk
        }
    }
}
