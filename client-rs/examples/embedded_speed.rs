//! How fast a broker in the same process is, next to the same one over TCP on loopback, in turns
//! on one disk.
//!
//! `cargo run --release --example embedded_speed --features embedded -- FOLDER [ROUNDS] [JOBS]`

use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use verteilt_client::embedded::Embedded;
use verteilt_client::{Client, Credit};

const BODY: [u8; 256] = [7; 256];
/// (clients, pushes that each awaits at a time)
const LOADS: [(usize, usize); 4] = [(8, 256), (1, 256), (4, 16), (1, 1)];

#[derive(Clone, Copy)]
struct Load {
    clients: usize,
    awaited: usize,
    jobs: usize,
}

#[derive(Default)]
struct Rates {
    push: Vec<f64>,
    take: Vec<f64>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().unwrap_or_else(|| "embedded-speed".into()));
    let rounds: usize = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let jobs: usize = arguments.next().map_or(Ok(400_000), |text| text.parse())?;
    for (clients, awaited) in LOADS {
        let jobs = (jobs * clients * awaited / 2048).clamp(jobs / 40, jobs);
        let load = Load {
            clients,
            awaited,
            jobs,
        };
        let (mut pipe, mut tcp) = (Rates::default(), Rates::default());
        for round in 0..rounds {
            let order = if round % 2 == 0 {
                [true, false]
            } else {
                [false, true]
            };
            for embedded in order {
                let rates = if embedded { &mut pipe } else { &mut tcp };
                one_round(&folder, embedded, load, rates).await?;
            }
        }
        println!("{clients} clients of {awaited} awaited pushes, {jobs} jobs, median of {rounds}");
        tell("push", pipe.push, tcp.push);
        tell("take and ack", pipe.take, tcp.take);
    }
    Ok(())
}

fn tell(what: &str, embedded: Vec<f64>, tcp: Vec<f64>) {
    let (embedded, tcp) = (median(embedded), median(tcp));
    println!(
        "  {what:<14} embedded {embedded:>9.0}/s   TCP {tcp:>9.0}/s   ratio {:.2}",
        embedded / tcp
    );
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

async fn one_round(
    folder: &PathBuf,
    embedded: bool,
    load: Load,
    rates: &mut Rates,
) -> anyhow::Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    let mut builder = Embedded::builder(folder);
    if !embedded {
        builder = builder.listen("127.0.0.1:0".parse()?);
    }
    let broker = builder.open()?;
    let mut clients = Vec::new();
    for _ in 0..load.clients {
        clients.push(match broker.local_addr() {
            Some(address) => Client::connect(&format!("verteilt://{address}")).await?,
            None => broker.client().await?,
        });
    }
    // The segments are being prepared on the same disk.
    tokio::time::sleep(Duration::from_millis(300)).await;
    rates.push.push(push(&clients, load).await?);
    rates.take.push(take(&clients, load).await?);
    for client in &clients {
        client.close().await?;
    }
    broker.close().await?;
    Ok(())
}

/// Pushes a second.
async fn push(clients: &[Client], load: Load) -> anyhow::Result<f64> {
    let began = Instant::now();
    let each = load.jobs / load.clients / load.awaited;
    let tasks = clients.iter().map(|client| {
        let client = client.clone();
        tokio::spawn(async move {
            let lanes = (0..load.awaited).map(|_| async {
                for _ in 0..each {
                    client.push("speed", &BODY[..]).await?;
                }
                Ok::<_, verteilt_client::ClientError>(())
            });
            try_join_all(lanes).await
        })
    });
    for pushed in try_join_all(tasks).await? {
        pushed?;
    }
    let pushed = each * load.awaited * load.clients;
    Ok(pushed as f64 / began.elapsed().as_secs_f64())
}

/// Jobs taken and acknowledged a second.
async fn take(clients: &[Client], load: Load) -> anyhow::Result<f64> {
    let began = Instant::now();
    let jobs = load.jobs / load.clients / load.awaited * load.awaited * load.clients;
    let done = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let over = tokio_util::sync::CancellationToken::new();
    let tasks = clients.iter().map(|client| {
        let (client, done, over) = (client.clone(), done.clone(), over.clone());
        tokio::spawn(async move {
            let mut jobs_in = client
                .subscribe("speed", Credit::jobs(load.awaited as u32))
                .await?;
            let mut acks = futures_util::stream::FuturesUnordered::new();
            loop {
                use futures_util::StreamExt;
                tokio::select! {
                    () = over.cancelled() => return Ok::<_, verteilt_client::ClientError>(()),
                    Some(acked) = acks.next() => {
                        let acked: Result<(), verteilt_client::ClientError> = acked;
                        acked?;
                        let before = done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        if before + 1 == jobs {
                            over.cancel();
                        }
                    }
                    Some(job) = jobs_in.next() => acks.push(job.ack()),
                }
            }
        })
    });
    for taken in try_join_all(tasks).await? {
        taken?;
    }
    Ok(jobs as f64 / began.elapsed().as_secs_f64())
}
