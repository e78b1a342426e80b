//! One load on a broker that runs already: for profilers, and to try a change.

use anyhow::Result;
use bytes::Bytes;
use clap::{Parser, ValueEnum};
use tokio::runtime::Builder;
use verteilt_benches::load::Done;
use verteilt_benches::process::interrupted;
use verteilt_benches::scratch::Scratch;
use verteilt_benches::{body, frames, latency, load};

/// One load on a running broker
#[derive(Debug, Parser)]
struct Arguments {
    /// What to do
    load: Load,
    /// The broker
    #[arg(
        long,
        env = "VERTEILT_URL",
        default_value = "verteilt://127.0.0.1:7450"
    )]
    url: String,
    /// Jobs
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    jobs: u64,
    /// Bytes of a body
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    body_bytes: u32,
    /// Threads; 1 does everything on the main thread
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    threads: u8,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Load {
    /// Single pushes
    Push,
    /// Batches of 256
    Batch,
    /// Frames of one job, past the client
    Frames,
    /// Reserve and ack as many as were pushed before
    Work,
    /// One push to its delivery, so many times as there are jobs
    Latency,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let runtime = match arguments.threads {
        1 => Builder::new_current_thread().enable_all().build()?,
        threads => Builder::new_multi_thread()
            .worker_threads(threads.into())
            .enable_all()
            .build()?,
    };
    runtime.block_on(async {
        tokio::select! {
            done = run(&arguments) => done,
            stopped = interrupted() => stopped,
        }
    })
}

async fn run(arguments: &Arguments) -> Result<()> {
    let (url, jobs) = (&arguments.url, arguments.jobs);
    let body = body(arguments.body_bytes as usize);
    if matches!(arguments.load, Load::Latency) {
        return show_latency(url, jobs as usize, &body).await;
    }
    let clients = load::connect(url).await?;
    let done: Done = match arguments.load {
        Load::Push => load::push(&clients, jobs, &body).await?,
        Load::Batch => load::push_batches(&clients, jobs, &body).await?,
        Load::Frames => frames::push(url, jobs, &body).await?,
        Load::Work | Load::Latency => load::work(&clients, jobs, &body).await?,
    };
    println!("{:.0} jobs/s", done.rate());
    Ok(())
}

async fn show_latency(url: &str, count: usize, body: &Bytes) -> Result<()> {
    let scratch = Scratch::new(None)?;
    let samples = latency::measure(url, scratch.path(), count, body).await?;
    for (name, samples) in [
        ("delivery", &samples.delivery),
        ("write+fdatasync", &samples.sync),
    ] {
        let at = |percent| latency::percentile(samples, percent);
        println!("{name}: median {:?}, p99 {:?}", at(50), at(99));
    }
    Ok(())
}
