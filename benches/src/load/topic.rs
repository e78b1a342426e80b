//! Publishing records, each answered when it is on the broker's disk, and consuming them: every
//! connection reads all of the topic from its beginning.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Result, ensure};
use verteilt_client::{Client, ClientError, ConsumerOptions, ErrorCode, StartAt, TopicOptions};

use super::Tasks;
use super::pace::{Pace, Turn};
use super::plan::Plan;
use super::running::Running;
use super::timer::Timer;

/// Records that a consumer takes at a time.
const TAKEN_MAX: usize = 4_096;
/// What may be on its way to a consumer.
const CREDIT_RECORDS: u32 = 65_536;
const CREDIT_BYTES: u64 = 32 * 1024 * 1024;

/// Makes the topic, which must not be there: nobody's records are mixed with ours.
pub(super) async fn make(plan: &Plan) -> Result<()> {
    let client = Client::connect(&plan.url).await?;
    let name = &plan.queue;
    let found = client.topics().stats(name).await;
    let is_free = matches!(&found, Err(error) if error.code() == Some(ErrorCode::TopicUnknown));
    if !is_free {
        found?;
    }
    ensure!(
        is_free,
        "the topic {name} is there already: name another with --queue, or delete it with \
         `verteilt topic delete`"
    );
    let options = TopicOptions::partitions(plan.partitions);
    client.topics().create(name, options).await?;
    client.close().await?;
    Ok(())
}

/// Deletes what a load left.
///
/// # Errors
/// What the broker answers; that it is not there is fine.
pub async fn delete(url: &str, topic: &str) -> Result<()> {
    let client = Client::connect(url).await?;
    match client.topics().delete(topic).await {
        Err(ClientError::Refused {
            code: Some(ErrorCode::TopicUnknown),
            ..
        })
        | Ok(()) => {}
        Err(error) => return Err(error.into()),
    }
    client.close().await?;
    Ok(())
}

pub(super) fn publish(running: &Arc<Running>) -> Result<(Instant, Tasks)> {
    let timer = running.timer("publish");
    let pace = running.pace()?;
    let mut tasks = Tasks::new();
    for client in &running.clients {
        for _ in 0..running.plan.requests() {
            tasks.spawn(publish_in_turn(
                Arc::clone(running),
                client.clone(),
                Arc::clone(&pace),
                Arc::clone(&timer),
            ));
        }
    }
    Ok((pace.begun(), tasks))
}

async fn publish_in_turn(
    running: Arc<Running>,
    client: Client,
    pace: Arc<Pace>,
    timer: Arc<Timer>,
) -> Result<()> {
    let (topic, body) = (&running.plan.queue, &running.body);
    let topics = client.topics();
    while let Some(turn) = pace.next().await {
        if running.plan.batch == 1 {
            topics.publish(topic, body.clone()).await?;
        } else {
            let records = (0..turn.jobs).map(|_| (None, body.clone()));
            topics.publish_batch(topic, records).await?;
        }
        running.answered(&timer, &turn);
    }
    Ok(())
}

pub(super) fn consume(running: &Arc<Running>) -> (Instant, Tasks) {
    let timer = running.timer("batch of records");
    let all = running.plan.jobs.unwrap_or_default() * running.clients.len() as u64;
    let left = Arc::new(AtomicU64::new(all));
    let mut tasks = Tasks::new();
    let begun = Instant::now();
    for client in &running.clients {
        let (running, client) = (Arc::clone(running), client.clone());
        let (timer, left) = (Arc::clone(&timer), Arc::clone(&left));
        tasks.spawn(async move { read_all(&running, &client, &timer, &left).await });
    }
    (begun, tasks)
}

async fn read_all(
    running: &Running,
    client: &Client,
    timer: &Timer,
    left: &AtomicU64,
) -> Result<()> {
    let options = ConsumerOptions {
        credit_records: CREDIT_RECORDS,
        credit_bytes: CREDIT_BYTES,
        ..ConsumerOptions::from(StartAt::Earliest)
    };
    let mut consumer = client
        .topics()
        .consume(&running.plan.queue, options)
        .await?;
    let mut mine = running.plan.jobs.unwrap_or_default();
    while mine > 0 {
        let since = Instant::now();
        let records = tokio::select! {
            biased;
            records = consumer.next_batch(TAKEN_MAX) => records,
            () = running.over.cancelled() => return Ok(()),
        };
        ensure!(
            !records.is_empty(),
            "the subscription ended: {:?}",
            consumer.error()
        );
        let whole = |record: &verteilt_client::Record| record.value.len() == running.body.len();
        ensure!(
            records.iter().all(whole),
            "a value has another length than it had"
        );
        let turn = Turn {
            due: since,
            jobs: records.len() as u64,
        };
        running.answered(timer, &turn);
        mine = mine.saturating_sub(turn.jobs);
        if left.fetch_sub(turn.jobs, Ordering::AcqRel) == turn.jobs {
            running.over.cancel();
        }
    }
    Ok(())
}
