//! A producer: pushes of every kind, each in the history.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use verteilt_client::{Client, ClientError, Durability, PushOptions};
use verteilt_history as history;
use verteilt_history::{Body, Operation};

use super::body;
use super::load::{Load, MEMORY, QUEUES};
use super::random::Random;

/// Unanswered pushes of one producer.
const PUSHES_MAX: usize = 16;

/// Leases that are short enough to be outstayed, and the others.
pub(super) const LEASE_SHORT_MS: u64 = 200;
const LEASE_LONG_MS: u64 = 10_000;

/// Pushes until the load is stopped, then waits for every answer.
pub(super) async fn run(load: Arc<Load>, client: Client, number: u32, mut random: Random) {
    let mut pushes = JoinSet::new();
    while !load.stopped.is_cancelled() {
        let pause = load.pause.mul_f64(2.0 * random.share());
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = load.stopped.cancelled() => break,
        }
        while pushes.try_join_next().is_some() {}
        if !load.has_room() || pushes.len() >= PUSHES_MAX {
            continue;
        }
        let body = body::random(load.number(), &mut random);
        let (queue, options) = choose(&mut random);
        let load = Arc::clone(&load);
        let client = client.clone();
        pushes.spawn(async move { push(&load, &client, number, queue, body, options).await });
    }
    while pushes.join_next().await.is_some() {}
}

fn choose(random: &mut Random) -> (&'static str, PushOptions) {
    let queue = match random.below(100) {
        0..8 => MEMORY,
        8..40 => QUEUES[1],
        _ => QUEUES[0],
    };
    let lease_ms = if random.percent(20) {
        LEASE_SHORT_MS
    } else {
        LEASE_LONG_MS
    };
    let delay_ms = if random.percent(10) {
        1 + random.below(1_500)
    } else {
        0
    };
    // Given up before its answer: nobody knows then whether it was taken.
    let deadline = random
        .percent(5)
        .then(|| Duration::from_millis(1 + random.below(20)));
    let options = PushOptions {
        priority: random.below(5) as i32 - 2,
        delay: Duration::from_millis(delay_ms),
        lease: Some(Duration::from_millis(lease_ms)),
        durability: if queue == MEMORY {
            Durability::Memory
        } else {
            Durability::Disk
        },
        deadline,
        ..PushOptions::default()
    };
    (queue, options)
}

async fn push(
    load: &Load,
    client: &Client,
    number: u32,
    queue: &str,
    body: Bytes,
    options: PushOptions,
) {
    let milliseconds = |time: Duration| time.as_millis() as u64;
    let what = history::Push {
        queue: queue.to_owned(),
        bodies: vec![Body::of(&body)],
        priority: options.priority,
        delay_ms: milliseconds(options.delay),
        lease_ms: options.lease.map_or(0, milliseconds),
        durability: level(options.durability),
        ..history::Push::default()
    };
    let operation = load.recorder.invoke(number, Operation::Push(what));
    match client.push_with(queue, body, &options).await {
        Ok(pushed) => {
            load.waiting.fetch_add(1, Ordering::Relaxed);
            let answer = history::Pushed {
                first_id: pushed.id,
                durability: level(pushed.durability),
                duplicate: pushed.duplicate,
            };
            load.recorder.pushed(operation, answer);
        }
        Err(ClientError::Refused { number, .. }) => load.recorder.failed(operation, number),
        Err(_) => load.recorder.unknown(operation),
    }
}

fn level(durability: Durability) -> history::Durability {
    match durability {
        Durability::Memory => history::Durability::Memory,
        Durability::Default | Durability::Disk | Durability::Replicated => {
            history::Durability::Disk
        }
    }
}
