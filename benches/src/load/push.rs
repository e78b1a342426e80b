//! Pushes, each answered when it is on the broker's disk. A task of its own for every request that may
//! be unanswered, as in a program that pushes where it happens to have something to push.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use verteilt_client::{Client, PushOptions};

use super::Tasks;
use super::pace::Pace;
use super::running::Running;
use super::timer::Timer;

pub(super) fn start(running: &Arc<Running>) -> Result<(Instant, Tasks)> {
    let requests = running.plan.requests();
    let timer = running.timer("push");
    let pace = running.pace()?;
    let mut tasks = Tasks::new();
    for client in &running.clients {
        for _ in 0..requests {
            tasks.spawn(push_in_turn(
                Arc::clone(running),
                client.clone(),
                Arc::clone(&pace),
                Arc::clone(&timer),
            ));
        }
    }
    Ok((pace.begun(), tasks))
}

async fn push_in_turn(
    running: Arc<Running>,
    client: Client,
    pace: Arc<Pace>,
    timer: Arc<Timer>,
) -> Result<()> {
    let (queue, body) = (&running.plan.queue, &running.body);
    let options = PushOptions::default();
    let mut ids = Vec::new();
    while let Some(turn) = pace.next().await {
        if running.plan.batch == 1 {
            ids.push(client.push(queue, body.clone()).await?.id);
        } else {
            let bodies = vec![body.clone(); turn.jobs as usize];
            ids.extend(client.push_batch(queue, bodies, &options).await?);
        }
        running.answered(&timer, &turn);
        if !running.keeps_ids() {
            ids.clear();
        }
    }
    running.keep(ids);
    Ok(())
}
