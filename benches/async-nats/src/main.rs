//! Requests between two clients of NATS's own Rust library, on one thread: what `bin/requests.rs` does with
//! ours. Prints the median of one at a time in microseconds, and the requests a second of many in flight.
//!
//! `verteilt-bench-async-nats URL SAMPLES REQUESTS WINDOW BODY_BYTES`

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use async_nats::Client;
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::task::JoinSet;

/// Nobody else of the run answers here.
const SUBJECT: &str = "asked";

async fn ask(caller: &Client, body: &Bytes) -> Result<()> {
    let reply = caller.request(SUBJECT, body.clone()).await?;
    ensure!(reply.payload == body, "another reply came than was made");
    Ok(())
}

async fn answer(service: Client) -> Result<()> {
    let mut requests = service.subscribe(SUBJECT).await?;
    while let Some(request) = requests.next().await {
        let to = request.reply.context("a request without an inbox")?;
        service.publish(to, request.payload).await?;
    }
    Ok(())
}

async fn many(caller: &Client, requests: u64, window: u64, body: &Bytes) -> Result<f64> {
    let left = Arc::new(AtomicU64::new(requests));
    let (mut tasks, begun) = (JoinSet::new(), Instant::now());
    for _ in 0..window {
        let (caller, body, left) = (caller.clone(), body.clone(), Arc::clone(&left));
        tasks.spawn(async move {
            let one_less = |left: u64| left.checked_sub(1);
            let order = Ordering::Relaxed;
            while left.fetch_update(order, order, one_less).is_ok() {
                ask(&caller, &body).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(requests as f64 / begun.elapsed().as_secs_f64())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().context("no URL")?;
    let numbers: Result<Vec<u64>, _> = arguments.map(|number| number.parse()).collect();
    let [samples, requests, window, body_bytes] = numbers?[..] else {
        anyhow::bail!("URL SAMPLES REQUESTS WINDOW BODY_BYTES");
    };
    let body = Bytes::from(vec![7; body_bytes as usize]);
    let (caller, service) = (
        async_nats::connect(&url).await?,
        async_nats::connect(&url).await?,
    );
    tokio::spawn(answer(service));
    // Until the service is there, the server says that nobody is.
    while ask(&caller, &body).await.is_err() {
        tokio::task::yield_now().await;
    }
    let mut took = Vec::new();
    for _ in 0..samples {
        let begun = Instant::now();
        ask(&caller, &body).await?;
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    let one = took.get(took.len() / 2).context("no samples")?;
    let a_second = many(&caller, requests, window, &body).await?;
    println!("{} {a_second}", one.as_secs_f64() * 1e6);
    Ok(())
}
