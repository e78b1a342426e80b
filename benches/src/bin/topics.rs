//! How fast a topic takes records, every publish acknowledged from the disk, and what its retention
//! leaves of the data folder. Publishers speak in raw frames of one batch each, so that the client
//! library is not what is measured; the reader is the library.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::BytesMut;
use clap::Parser;
use verteilt_benches::scratch::disk_bytes;
use verteilt_client::{Client, ConsumerOptions, Retention, StartAt, TopicOptions};
use verteilt_protocol::{FrameType, decode, encode, encode_empty, wire};

const HEARTBEAT: Duration = Duration::from_secs(5);

/// How fast a topic takes records and gives them out, and what retention leaves
#[derive(Debug, Parser)]
struct Arguments {
    /// A broker that runs, such as 127.0.0.1:7450
    #[arg(long)]
    broker: String,
    /// Its data folder, to be measured while it is written
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Records in all
    #[arg(long, default_value_t = 10_000_000)]
    records: u64,
    /// Bytes of a value
    #[arg(long, default_value_t = 256)]
    bytes: u32,
    /// Records of a batch
    #[arg(long, default_value_t = 256)]
    batch: u32,
    /// Connections that publish
    #[arg(long, default_value_t = 8)]
    producers: u32,
    /// Partitions; producers share them
    #[arg(long, default_value_t = 8)]
    partitions: u32,
    /// Bytes that each partition keeps; 0: all
    #[arg(long, default_value_t = 0)]
    keep_bytes: u64,
    /// Fails if the data folder was ever larger
    #[arg(long, value_name = "BYTES", requires = "data")]
    folder_max: Option<u64>,
    /// Read all that is kept afterwards
    #[arg(long)]
    read: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let topic = format!("bench-{}", std::process::id());
    let client = Client::connect(&format!("verteilt://{}", arguments.broker)).await?;
    let options = TopicOptions {
        partitions: arguments.partitions,
        retention: Retention {
            age: None,
            bytes: (arguments.keep_bytes > 0).then_some(arguments.keep_bytes),
        },
    };
    client.topics().create(&topic, options).await?;
    let (taken, most) = publish(&arguments, &topic)?;
    let records = taken.1 as f64;
    println!(
        "{:.0} records/s, {:.1} s",
        records / taken.0.as_secs_f64(),
        taken.0.as_secs_f64()
    );
    if most > 0 {
        println!("{most} bytes of data folder at most");
    }
    if arguments.read {
        read(&client, &topic).await?;
    }
    client.topics().delete(&topic).await?;
    client.close().await?;
    let folder_max = arguments.folder_max.unwrap_or(u64::MAX);
    ensure!(
        most <= folder_max,
        "the folder had {most} bytes, more than {folder_max}"
    );
    Ok(())
}

type Taken = (Duration, u64);

fn publish(arguments: &Arguments, topic: &str) -> Result<(Taken, u64)> {
    let batches = arguments.records / u64::from(arguments.batch) / u64::from(arguments.producers);
    let done = AtomicU64::new(0);
    let began = Instant::now();
    std::thread::scope(|scope| {
        let producers: Vec<_> = (0..arguments.producers)
            .map(|number| {
                let done = &done;
                scope.spawn(move || {
                    let result = produce(arguments, topic, number, batches);
                    done.fetch_add(1, Ordering::Release);
                    result
                })
            })
            .collect();
        let mut most = 0;
        while done.load(Ordering::Acquire) < u64::from(arguments.producers) {
            if let Some(data) = &arguments.data {
                most = most.max(disk_bytes(data).unwrap_or(0));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        for producer in producers {
            producer
                .join()
                .map_err(|_| anyhow::anyhow!("a producer panicked"))??;
        }
        let records = batches * u64::from(arguments.producers) * u64::from(arguments.batch);
        Ok(((began.elapsed(), records), most))
    })
}

fn producer_id(number: u32) -> [u8; 16] {
    let mut id = [7; 16];
    id[..4].copy_from_slice(&number.to_le_bytes());
    id[4..8].copy_from_slice(&std::process::id().to_le_bytes());
    id
}

fn hello(out: &mut BytesMut, session: [u8; 16]) {
    let hello = wire::Hello {
        version_min: 1,
        version_max: 1,
        session: session.to_vec().into(),
        ..wire::Hello::default()
    };
    encode(out, FrameType::Hello, 0, 1, &hello, &[]);
}

/// Sends as much as the broker grants, and waits for every acknowledgement.
fn produce(arguments: &Arguments, topic: &str, number: u32, batches: u64) -> Result<()> {
    let mut stream = TcpStream::connect(&arguments.broker)?;
    stream.set_nodelay(true)?;
    // While the broker holds credit back, both sides still say that they are there.
    stream.set_read_timeout(Some(HEARTBEAT))?;
    let mut buffer = BytesMut::new();
    let id = producer_id(number);
    let mut out = BytesMut::new();
    hello(&mut out, id);
    stream.write_all(&out)?;
    let payload = vec![number as u8; (arguments.bytes * arguments.batch) as usize];
    let mut publish = wire::Publish {
        topic: topic.to_owned(),
        partition: Some(number % arguments.partitions),
        producer: id.to_vec().into(),
        value_lengths: vec![arguments.bytes; arguments.batch as usize],
        ..wire::Publish::default()
    };
    let (mut credit, mut sent, mut answered) = (0_i64, 0, 0);
    let mut chunk = vec![0; 256 * 1024];
    while answered < batches {
        out.clear();
        while credit > 0 && sent < batches && sent - answered < 900 {
            sent += 1;
            publish.sequence = sent;
            credit -= payload.len() as i64;
            encode(
                &mut out,
                FrameType::Publish,
                0,
                sent + 1,
                &publish,
                &payload,
            );
        }
        stream.write_all(&out)?;
        let bytes = match stream.read(&mut chunk) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                out.clear();
                encode_empty(&mut out, FrameType::Heartbeat, 0, 0);
                stream.write_all(&out)?;
                continue;
            }
            read => read.context("the broker answers")?,
        };
        ensure!(bytes > 0, "the broker closed the connection");
        buffer.extend_from_slice(&chunk[..bytes]);
        while let Some(frame) = decode(&mut buffer)? {
            match frame.kind() {
                Some(FrameType::Welcome) => {
                    credit += frame.message::<wire::Welcome>()?.push_credit as i64;
                }
                Some(FrameType::PushCredit) => {
                    credit += frame.message::<wire::PushCredit>()?.bytes as i64;
                }
                Some(FrameType::Published) => {
                    let published: wire::Published = frame.message()?;
                    credit += published.credit as i64;
                    answered += published.results.len() as u64;
                }
                Some(FrameType::Heartbeat) => {}
                _ => bail!("{:?}", frame.message::<wire::Error>()),
            }
        }
    }
    Ok(())
}

async fn read(client: &Client, topic: &str) -> Result<()> {
    let stats = client.topics().stats(topic).await?;
    let options = ConsumerOptions {
        credit_records: 65_536,
        credit_bytes: 32 * 1024 * 1024,
        ..ConsumerOptions::from(StartAt::Earliest)
    };
    let mut consumer = client.topics().consume(topic, options).await?;
    let (began, mut records) = (Instant::now(), 0);
    while records < stats.records {
        records += consumer.next_batch(10_000).await.len() as u64;
    }
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{:.0} records/s read by one consumer",
        records as f64 / seconds
    );
    Ok(())
}
