//! The work: each file is a job, workers compute its checksum and size.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::time::Instant;

use bytes::Bytes;
use indicatif::ProgressBar;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use verteilt_client::{Job, PushOptions};

use super::totals::{Summed, Totals};
use crate::connect::Connection;
use crate::drain::{drained, look};
use crate::failure::Failure;
use crate::{output, progress};

/// Not `sums`, which is the name in our examples: those should find their queue empty.
const QUEUE: &str = "up.sums";

/// Results on their way to the one who adds them up.
const RESULTS: usize = 256;

/// Makes `files` jobs and works until none is left. `None` if it was stopped before.
pub(super) async fn run(
    connection: &Connection,
    files: Vec<PathBuf>,
    stop: &CancellationToken,
) -> Result<Option<Totals>, Failure> {
    let refused = |error| connection.explain(&error);
    if let Some(before) = look(connection, QUEUE).await.map_err(refused)? {
        let left_over = before.ready + before.leased + before.failed;
        if left_over > 0 {
            output::line(&format!(
                "jobs left over from before: {left_over}; they go first"
            ))?;
        }
    }
    let begin = Instant::now();
    let bodies = files
        .into_iter()
        .map(|file| Bytes::from(file.into_os_string().into_vec()));
    let options = PushOptions::default();
    let pushed = connection
        .client
        .push_batch(QUEUE, bodies.collect(), &options)
        .await;
    let pushed = pushed.map_err(refused)?.len();
    let took = begin.elapsed();
    output::line(&format!(
        "pushed {pushed} jobs in {took:.2?}; each is on the disk by now"
    ))?;
    work(connection, stop).await
}

async fn work(
    connection: &Connection,
    stop: &CancellationToken,
) -> Result<Option<Totals>, Failure> {
    let begin = Instant::now();
    let bar = progress::bar("files", Some(0));
    let (results, received) = mpsc::channel(RESULTS);
    let adding = tokio::spawn(add_up(received, bar.clone()));
    let workers = std::thread::available_parallelism().map_or(2, |cores| cores.get() * 2);
    let enough = stop.child_token();
    let worker = connection
        .client
        .worker(QUEUE)
        .concurrency(u32::try_from(workers).unwrap_or(u32::MAX))
        .run(move |job| sum(job, results.clone()), enough.clone());
    let watch = async {
        let drained = tokio::select! {
            dead = drained(connection, QUEUE, &bar) => dead.map(|_| true),
            () = stop.cancelled() => Ok(false),
        };
        enough.cancel();
        drained
    };
    let (worked, drained) = tokio::join!(worker, watch);
    bar.finish_and_clear();
    worked.map_err(|error| connection.explain(&error))?;
    let mut totals = adding
        .await
        .map_err(|panic| Failure::work(format!("adding up broke: {panic}")))?;
    totals.took = begin.elapsed();
    Ok(drained?.then_some(totals))
}

async fn add_up(mut results: mpsc::Receiver<io::Result<Summed>>, bar: ProgressBar) -> Totals {
    let mut totals = Totals::default();
    while let Some(result) = results.recv().await {
        totals.add(result);
        bar.set_position(totals.jobs());
    }
    totals
}

/// A file that is gone or locked will be so at the next try: counted and done with.
async fn sum(job: Job, results: mpsc::Sender<io::Result<Summed>>) -> Result<(), String> {
    let path = PathBuf::from(OsString::from_vec(job.body().to_vec()));
    let summed = tokio::task::spawn_blocking(move || read(path)).await;
    let summed = summed.map_err(|panic| format!("the checksum broke: {panic}"))?;
    results
        .send(summed)
        .await
        .map_err(|_| "nobody adds up any more".to_owned())
}

fn read(path: PathBuf) -> io::Result<Summed> {
    let mut hasher = Sha256::new();
    let mut file = File::open(&path)?;
    let bytes = io::copy(&mut file, &mut hasher)?;
    Ok(Summed {
        path,
        bytes,
        sha256: hasher.finalize().into(),
    })
}
