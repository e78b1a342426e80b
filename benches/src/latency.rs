//! One push to its delivery at a consumer that waits, against the `fdatasync` of the same disk in the
//! same minutes.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use verteilt_client::{Client, Credit};

const SYNC_FILE_BYTES: usize = 16 * 1024 * 1024;
const SYNC_BYTES: usize = 4096;
/// Samples of one kind before as many of the other: what disturbs one disturbs both.
const TURN: usize = 100;

/// Samples of both kinds.
#[derive(Debug)]
pub struct Samples {
    /// From the call of `push` to the job in the consumer's hands.
    pub delivery: Vec<Duration>,
    /// One 4 KiB write with its `fdatasync`.
    pub sync: Vec<Duration>,
}

/// Takes `count` samples of each kind, in turns. Producer and consumer are clients of their own.
///
/// # Errors
/// If a push, a delivery or a write fails.
pub async fn measure(url: &str, folder: &Path, count: usize, body: &Bytes) -> Result<Samples> {
    let queue = "latency";
    let (producer, consumer) = (Client::connect(url).await?, Client::connect(url).await?);
    let mut jobs = consumer.subscribe(queue, Credit::jobs(1)).await?;
    let mut file = SyncFile::new(folder)?;
    let mut samples = Samples {
        delivery: Vec::with_capacity(count),
        sync: Vec::with_capacity(count),
    };
    while samples.delivery.len() < count {
        for _ in 0..TURN.min(count - samples.delivery.len()) {
            let begun = Instant::now();
            let delivered = async {
                let job = jobs.next().await;
                (job, begun.elapsed())
            };
            let (pushed, (job, took)) = tokio::join!(producer.push(queue, body.clone()), delivered);
            pushed?;
            samples.delivery.push(took);
            job.context("the subscription ended")?.ack().await?;
        }
        for _ in 0..TURN {
            samples.sync.push(file.sync()?);
        }
    }
    Ok(samples)
}

/// A file whose blocks were all written before, as a journal segment's are.
struct SyncFile {
    file: File,
    block: Vec<u8>,
    at: usize,
}

impl SyncFile {
    fn new(folder: &Path) -> Result<Self> {
        let path = folder.join("sync-probe");
        let file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .open(path)?;
        file.write_all_at(&vec![0; SYNC_FILE_BYTES], 0)?;
        file.sync_all()?;
        let block = vec![7; SYNC_BYTES];
        Ok(Self { file, block, at: 0 })
    }

    fn sync(&mut self) -> Result<Duration> {
        let begun = Instant::now();
        self.file.write_all_at(&self.block, self.at as u64)?;
        self.file.sync_data()?;
        let took = begun.elapsed();
        self.at = (self.at + SYNC_BYTES) % SYNC_FILE_BYTES;
        Ok(took)
    }
}

/// The sample that `percent` of all are not above.
#[must_use]
pub fn percentile(samples: &[Duration], percent: usize) -> Duration {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}
