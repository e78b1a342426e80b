//! Producers: every push of the plan at its time, each in the history.

use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use verteilt_client::{Client, ClientError, Durability, PushOptions, Pushed};
use verteilt_history as history;
use verteilt_history::{Body, Operation};

use crate::body;
use crate::plan::PushPlan;
use crate::world::{World, queue_name};

/// Does the pushes of one producer; ends when all are answered.
pub(crate) async fn run(world: World, client: Client, number: u32, pushes: Vec<PushPlan>) {
    let mut under_way = JoinSet::new();
    for plan in pushes {
        tokio::time::sleep_until(world.at(plan.at_ms)).await;
        let (world, client) = (world.clone(), client.clone());
        under_way.spawn(async move { push(&world, &client, number, &plan).await });
    }
    while under_way.join_next().await.is_some() {}
}

async fn push(world: &World, client: &Client, number: u32, plan: &PushPlan) {
    let bodies: Vec<Bytes> = plan
        .sizes
        .iter()
        .zip(plan.first_number..)
        .map(|(size, number)| body::of(number, *size))
        .collect();
    let queue = queue_name(plan.queue);
    let options = PushOptions {
        priority: plan.priority,
        delay: Duration::from_millis(plan.delay_ms),
        attempts: (plan.attempts > 0).then_some(plan.attempts),
        lease: Some(Duration::from_millis(plan.lease_ms)),
        durability: if plan.memory {
            Durability::Memory
        } else {
            Durability::Disk
        },
        deadline: plan.deadline_ms.map(Duration::from_millis),
        ..PushOptions::default()
    };
    let what = history::Push {
        queue: queue.to_owned(),
        bodies: bodies.iter().map(|body| Body::of(body)).collect(),
        priority: plan.priority,
        delay_ms: plan.delay_ms,
        attempts: plan.attempts,
        lease_ms: plan.lease_ms,
        durability: level(options.durability),
        producer: None,
    };
    let operation = world.invoke(number, Operation::Push(what));
    let answer = match <[Bytes; 1]>::try_from(bodies) {
        Ok([body]) => client.push_with(queue, body, &options).await,
        Err(bodies) => batch(client, queue, bodies, &options).await,
    };
    match answer {
        Ok(pushed) => world.pushed(
            operation,
            history::Pushed {
                first_id: pushed.id,
                durability: level(pushed.durability),
                duplicate: pushed.duplicate,
            },
        ),
        Err(error) => world.ended(operation, &error),
    }
}

/// A batch of this size goes into one frame, so its jobs have ids without a gap.
async fn batch(
    client: &Client,
    queue: &str,
    bodies: Vec<Bytes>,
    options: &PushOptions,
) -> Result<Pushed, ClientError> {
    let ids = client.push_batch(queue, bodies, options).await?;
    let gapless = ids.iter().zip(ids[0]..).all(|(id, next)| *id == next);
    assert!(gapless, "the ids of a batch have gaps: {ids:?}");
    Ok(Pushed {
        id: ids[0],
        durability: options.durability,
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
