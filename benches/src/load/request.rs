//! Requests, each answered by a worker with the body that it came with. Callers and workers have
//! connections of their own; a task of its own for every request that may be unanswered.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use verteilt_client::{Client, Request, Response, ServeOptions, Serving};

use super::Tasks;
use super::pace::Pace;
use super::running::Running;
use super::timer::Timer;

/// Begins to serve, then to ask. The services end with the load.
pub(super) async fn start(running: &Arc<Running>) -> Result<(Instant, Tasks, Vec<Serving>)> {
    let plan = &running.plan;
    let (callers, workers) = running.clients.split_at(plan.connections);
    let mut services = Vec::with_capacity(workers.len());
    for client in workers {
        let options = ServeOptions::concurrency(plan.in_flight as u32);
        services.push(client.serve(&plan.queue, options, answer).await?);
    }
    let timer = running.timer("reply");
    let pace = running.pace()?;
    let mut tasks = Tasks::new();
    for client in callers {
        for _ in 0..plan.in_flight {
            tasks.spawn(ask_in_turn(
                Arc::clone(running),
                client.clone(),
                Arc::clone(&pace),
                Arc::clone(&timer),
            ));
        }
    }
    Ok((pace.begun(), tasks, services))
}

async fn answer(mut request: Request) -> Result<Response, std::convert::Infallible> {
    Ok(Response::new(request.take_body()))
}

async fn ask_in_turn(
    running: Arc<Running>,
    client: Client,
    pace: Arc<Pace>,
    timer: Arc<Timer>,
) -> Result<()> {
    let (service, body) = (&running.plan.queue, &running.body);
    while let Some(turn) = pace.next().await {
        let response = client.request(service).body(body.clone()).send().await?;
        let answer = response.body.bytes().await?;
        ensure!(
            answer.len() == body.len(),
            "another reply came than was made"
        );
        running.answered(&timer, &turn);
    }
    Ok(())
}
