//! A network service that answers once the work is safe, and does it afterwards in the same process:
//! a line that comes in is a job on the disk before `ok` goes out, and a worker beside it does the jobs.
//!
//! ```sh
//! cargo run --release --example embedded_service --features embedded -- ./mail 127.0.0.1:7000
//! echo "to: ada@example.org" | nc -q1 127.0.0.1 7000
//! verteilt queue stats mail      # it listens for the command line, too
//! ```

use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use verteilt_client::embedded::Embedded;
use verteilt_client::{Client, Job};

const QUEUE: &str = "mail";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: embedded_service FOLDER ADDRESS";
    let folder = arguments.next().context(usage)?;
    let address = arguments.next().context(usage)?;

    let broker = Embedded::builder(folder)
        .listen("127.0.0.1:7450".parse()?)
        .open()?;
    let client = broker.client().await?;
    let listener = TcpListener::bind(&address).await?;
    println!("listening on {}", listener.local_addr()?);

    let shutdown = CancellationToken::new();
    let worker = client
        .worker(QUEUE)
        .concurrency(16)
        .run(send, shutdown.clone());
    let worker = tokio::spawn(worker);
    tokio::select! {
        failed = accept(listener, client.clone()) => failed?,
        // The disk failed, say: whoever watches over this process starts it anew.
        failure = broker.failed() => return Err(failure.into()),
        interrupt = tokio::signal::ctrl_c() => interrupt?,
    }

    // The good order: work, clients, broker. None of it is needed for what was acknowledged.
    shutdown.cancel();
    let summary = worker.await??;
    println!("{} sent, {} failed", summary.done, summary.failed);
    client.close().await?;
    broker.close().await?;
    Ok(())
}

/// Until accepting fails. Connections end with this.
async fn accept(listener: TcpListener, client: Client) -> anyhow::Result<()> {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        connections.spawn(answer(stream, client.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(mut stream: TcpStream, client: Client) -> anyhow::Result<()> {
    let (reading, mut writing) = stream.split();
    let mut lines = BufReader::new(reading).lines();
    while let Some(line) = lines.next_line().await? {
        let answer = match client.push(QUEUE, line).await {
            Ok(pushed) => format!("ok {}\n", pushed.id),
            Err(error) => format!("error {error}\n"),
        };
        writing.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}

async fn send(job: Job) -> anyhow::Result<()> {
    tokio::time::sleep(Duration::from_millis(100)).await;
    println!("sent: {}", String::from_utf8_lossy(job.body()));
    Ok(())
}
