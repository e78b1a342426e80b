//! `verteilt push --lines`: a stream of any length through a bounded number of batches in flight.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use tokio::sync::mpsc;
use verteilt_client::{ClientError, PushOptions};
use verteilt_protocol::limits;

use super::split::{LineReader, batches};
use crate::connect::Connection;
use crate::failure::Failure;
use crate::progress;

/// Batches that were sent and are not acknowledged. Enough that the broker always has the next
/// one while it writes; each is one read's worth of lines.
const BATCHES_IN_FLIGHT: usize = 8;

/// Batches that were read and not sent.
const BATCHES_READ: usize = 2;

/// Bytes of a batch, which the client sends in one frame; a longer line is a batch of its own.
const BATCH_BYTES: usize = 256 * 1024;

type Batch = io::Result<Vec<Bytes>>;

/// Opens FILE; "-" is standard input.
pub(super) fn open(file: &Path) -> Result<Box<dyn Read + Send>, Failure> {
    if file == Path::new("-") {
        return Ok(Box::new(io::stdin()));
    }
    match File::open(file) {
        Ok(opened) => Ok(Box::new(opened)),
        Err(error) => Err(Failure::usage(format!(
            "cannot open {}: {error}",
            file.display()
        ))),
    }
}

/// Pushes every line of `source`, in order. Returns how many, once all are acknowledged.
pub(super) async fn push(
    connection: &Connection,
    queue: &str,
    source: Box<dyn Read + Send>,
    options: &PushOptions,
) -> Result<u64, Failure> {
    let mut read = read_on_a_thread(source);
    let bar = progress::bar("jobs", None);
    let mut in_flight = FuturesOrdered::new();
    let mut acknowledged = 0_u64;
    let mut end = Ok(());
    let mut reading = true;
    while end.is_ok() && (reading || !in_flight.is_empty()) {
        tokio::select! {
            Some(answer) = in_flight.next(), if !in_flight.is_empty() => match answer {
                Ok(jobs) => {
                    acknowledged += jobs;
                    bar.set_position(acknowledged);
                }
                Err(error) => end = Err(connection.explain(&error)),
            },
            batch = read.recv(), if reading && in_flight.len() < BATCHES_IN_FLIGHT => {
                match batch {
                    Some(Ok(lines)) => {
                        in_flight.push_back(push_batch(connection, queue, lines, options));
                    }
                    Some(Err(error)) => {
                        end = Err(Failure::work(format!("cannot read the lines: {error}")));
                    }
                    None => reading = false,
                }
            }
        }
    }
    // A line that cannot be read does not undo the ones before it.
    while let Some(answer) = in_flight.next().await {
        acknowledged += answer.unwrap_or(0);
    }
    bar.finish_and_clear();
    end.map(|()| acknowledged).map_err(|failure: Failure| {
        let so_far = format!("{acknowledged} jobs were acknowledged before that");
        match failure.advice.clone() {
            Some(advice) => failure.advise(format!("{so_far}; {advice}")),
            None => failure.advise(so_far),
        }
    })
}

async fn push_batch(
    connection: &Connection,
    queue: &str,
    lines: Vec<Bytes>,
    options: &PushOptions,
) -> Result<u64, ClientError> {
    let ids = connection.client.push_batch(queue, lines, options).await?;
    Ok(ids.len() as u64)
}

/// Reading blocks, so it has a thread; the channel's bound makes it wait for the broker.
fn read_on_a_thread(source: Box<dyn Read + Send>) -> mpsc::Receiver<Batch> {
    let (sender, read) = mpsc::channel(BATCHES_READ);
    tokio::task::spawn_blocking(move || {
        let line_bytes_max = usize::try_from(limits::BODY_BYTES_MAX).unwrap_or(usize::MAX);
        let mut reader = LineReader::new(source, line_bytes_max);
        while let Some(read) = reader.next_lines().transpose() {
            let batches = match read {
                Ok(lines) => batches(lines, limits::BATCH_JOBS_MAX, BATCH_BYTES),
                Err(error) => {
                    let _nobody_waits = sender.blocking_send(Err(error));
                    return;
                }
            };
            for batch in batches {
                if sender.blocking_send(Ok(batch)).is_err() {
                    return;
                }
            }
        }
    });
    read
}
