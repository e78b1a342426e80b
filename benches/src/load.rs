//! The load of a program that uses the client: single pushes and single acks, many at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use verteilt_client::{Client, Credit, PushOptions};

use crate::{CONNECTIONS, QUEUE, WINDOW, share};

/// What a load did: how long, and the ids that were acknowledged.
#[derive(Debug)]
pub struct Done {
    /// From the first request to the last answer; connecting does not count.
    pub took: Duration,
    /// Sorted.
    pub ids: Vec<u64>,
}

impl Done {
    /// A second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.ids.len() as f64 / self.took.as_secs_f64()
    }

    fn of(begun: Instant, mut ids: Vec<u64>) -> Self {
        let took = begun.elapsed();
        ids.sort_unstable();
        Self { took, ids }
    }
}

/// Clients on connections of their own.
///
/// # Errors
/// If the broker is not there.
pub async fn connect(url: &str) -> Result<Vec<Client>> {
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(Client::connect(url).await?);
    }
    Ok(clients)
}

/// One `push` a job, [`WINDOW`] awaited on each connection by tasks of their own.
///
/// # Errors
/// The first push that fails.
pub async fn push(clients: &[Client], jobs: u64, body: &Bytes) -> Result<Done> {
    let mut tasks = JoinSet::new();
    let begun = Instant::now();
    for (at, client) in clients.iter().enumerate() {
        let left = Arc::new(AtomicU64::new(share(jobs, at, clients.len())));
        for _ in 0..WINDOW {
            let (client, left, body) = (client.clone(), Arc::clone(&left), body.clone());
            tasks.spawn(push_in_turn(client, left, body));
        }
    }
    let mut ids = Vec::with_capacity(jobs as usize);
    while let Some(done) = tasks.join_next().await {
        ids.extend(done??);
    }
    Ok(Done::of(begun, ids))
}

async fn push_in_turn(client: Client, left: Arc<AtomicU64>, body: Bytes) -> Result<Vec<u64>> {
    let mut ids = Vec::new();
    let take = |left: u64| left.checked_sub(1);
    let order = Ordering::Relaxed;
    while left.fetch_update(order, order, take).is_ok() {
        ids.push(client.push(QUEUE, body.clone()).await?.id);
    }
    Ok(ids)
}

/// `push_batch` of [`WINDOW`] jobs, one batch awaited on each connection.
///
/// # Errors
/// The first batch that fails.
pub async fn push_batches(clients: &[Client], jobs: u64, body: &Bytes) -> Result<Done> {
    let mut tasks = JoinSet::new();
    let begun = Instant::now();
    for (at, client) in clients.iter().enumerate() {
        let (client, body) = (client.clone(), body.clone());
        let mut left = share(jobs, at, clients.len());
        tasks.spawn(async move {
            let mut ids = Vec::new();
            while left > 0 {
                let jobs = left.min(WINDOW as u64);
                let bodies = vec![body.clone(); jobs as usize];
                let options = PushOptions::default();
                ids.extend(client.push_batch(QUEUE, bodies, &options).await?);
                left -= jobs;
            }
            anyhow::Ok(ids)
        });
    }
    let mut ids = Vec::with_capacity(jobs as usize);
    while let Some(done) = tasks.join_next().await {
        ids.extend(done??);
    }
    Ok(Done::of(begun, ids))
}

/// Takes and acks until `jobs` are acknowledged: a subscription with a credit of [`WINDOW`] on each
/// connection, one `ack` a job, awaited together.
///
/// # Errors
/// The first ack that fails, or a subscription that ends early.
pub async fn work(clients: &[Client], jobs: u64, body: &Bytes) -> Result<Done> {
    let progress = Arc::new(Progress {
        left: AtomicU64::new(jobs),
        done: Notify::new(),
    });
    let mut tasks = JoinSet::new();
    let begun = Instant::now();
    for client in clients {
        tasks.spawn(ack_in_turn(
            client.clone(),
            Arc::clone(&progress),
            body.len(),
        ));
    }
    let mut ids = Vec::with_capacity(jobs as usize);
    while let Some(done) = tasks.join_next().await {
        ids.extend(done??);
    }
    Ok(Done::of(begun, ids))
}

struct Progress {
    left: AtomicU64,
    done: Notify,
}

async fn ack_in_turn(
    client: Client,
    progress: Arc<Progress>,
    body_bytes: usize,
) -> Result<Vec<u64>> {
    let mut jobs = client.subscribe(QUEUE, Credit::jobs(WINDOW as u32)).await?;
    let mut acks = FuturesUnordered::new();
    let mut ids = Vec::new();
    let done = progress.done.notified();
    tokio::pin!(done);
    // Listening before the last one can be counted.
    done.as_mut().enable();
    if progress.left.load(Ordering::Acquire) == 0 {
        return Ok(ids);
    }
    loop {
        tokio::select! {
            biased;
            Some(acked) = acks.next() => {
                let id: Result<u64, verteilt_client::ClientError> = acked;
                ids.push(id?);
                if progress.left.fetch_sub(1, Ordering::AcqRel) == 1 {
                    progress.done.notify_waiters();
                    return Ok(ids);
                }
            }
            job = jobs.next() => {
                let job = job.context("the subscription ended")?;
                ensure!(job.body().len() == body_bytes, "a body of {} bytes came", job.body().len());
                acks.push(async move {
                    let id = job.id();
                    job.ack().await.map(|()| id)
                });
            }
            () = &mut done => return Ok(ids),
        }
    }
}
