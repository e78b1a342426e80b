//! `verteilt backup`: a running broker's state into one file.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use verteilt_broker::{Report, verify};
use verteilt_client::{Backup as Incoming, BackupSummary};

use crate::cmd::verify::cannot;
use crate::connect::{self, BrokerAddress};
use crate::failure::{Exit, Failure};
use crate::output;
use crate::signals::StopSignals;

/// Write a backup of a running broker to a file; the broker goes on meanwhile
///
/// Everything that was acknowledged before the command began is in it. It comes over the
/// connection, so the file is on this machine. It is written as FILE.partial, proven, and gets its
/// name in the end: a file named FILE is a whole backup. `verteilt verify FILE` proves it again,
/// `verteilt restore` makes a data folder of it.
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The file; it must not exist
    file: PathBuf,
    #[command(flatten)]
    broker: BrokerAddress,
    /// Print {"file": F, "lsn": N, "bytes": N, "jobs": N, "records": N}
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Done<'a> {
    file: &'a Path,
    lsn: u64,
    bytes: u64,
    jobs: u64,
    records: u64,
}

impl Backup {
    pub(crate) async fn run(&self) -> Result<Exit, Failure> {
        let signals = StopSignals::listen()?;
        if self.file.exists() {
            let file = self.file.display();
            return Err(Failure::usage(format!("{file} exists; name another file")));
        }
        let partial = Partial::create(&self.file)?;
        let taken = tokio::select! {
            taken = self.take(&partial) => taken?,
            () = signals.gently.cancelled() => return Ok(signals.exit()),
        };
        let (BackupSummary { lsn, bytes, .. }, report) = taken;
        let (jobs, records) = (report.jobs, report.records);
        partial.finish(&self.file)?;
        let file = &self.file;
        if self.json {
            output::json(&Done {
                file,
                lsn,
                bytes,
                jobs,
                records,
            })?;
        } else {
            output::line(&format!(
                "{}: {jobs} jobs and {records} records at log sequence number {lsn}, {bytes} bytes",
                file.display()
            ))?;
        }
        Ok(Exit::Done)
    }

    /// Brings all of it to the disk and proves it.
    async fn take(&self, partial: &Partial) -> Result<(BackupSummary, Report), Failure> {
        let url = self.broker.url();
        let explain = |error| connect::explain(url, &error);
        let mut incoming = Incoming::begin(url).await.map_err(explain)?;
        while let Some(bytes) = incoming.next().await.map_err(explain)? {
            partial.write(&bytes)?;
        }
        partial.sync()?;
        let path = partial.path.clone();
        // A backup is proven where it is; nothing is copied.
        let proven = tokio::task::spawn_blocking(move || verify(&path, Path::new("")));
        let report = proven
            .await
            .map_err(|error| Failure::work(format!("the check broke off: {error}")))?
            .map_err(|error| cannot(&error))?;
        if let Some(problem) = report.problems.first() {
            let text = format!("what came is not a sound backup: {}", problem.what);
            return Err(Failure::work(text).advise(
                "take another; if it happens again, stop the broker and run `verteilt verify` on \
                 its data folder",
            ));
        }
        let summary = incoming.summary();
        let summary = summary.ok_or_else(|| Failure::work("the backup did not end"))?;
        Ok((summary, report))
    }
}

/// The file under its name for the time being. Dropped before it is finished, it is removed.
struct Partial {
    file: File,
    path: PathBuf,
    is_finished: bool,
}

impl Partial {
    fn create(target: &Path) -> Result<Self, Failure> {
        let mut name = target.as_os_str().to_owned();
        name.push(".partial");
        let path = PathBuf::from(name);
        let file = File::create(&path).map_err(|error| refused("create", &path, &error))?;
        Ok(Self {
            file,
            path,
            is_finished: false,
        })
    }

    fn write(&self, bytes: &[u8]) -> Result<(), Failure> {
        (&self.file)
            .write_all(bytes)
            .map_err(|error| refused("write", &self.path, &error))
    }

    fn sync(&self) -> Result<(), Failure> {
        self.file
            .sync_all()
            .map_err(|error| refused("sync", &self.path, &error))
    }

    /// Gives it its name, durably.
    fn finish(mut self, target: &Path) -> Result<(), Failure> {
        let named = std::fs::rename(&self.path, target);
        named.map_err(|error| refused("rename", &self.path, &error))?;
        self.is_finished = true;
        let folder = match target.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|error| refused("sync", folder, &error))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.is_finished {
            // What is left behind says by itself that it is incomplete.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn refused(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::work(format!("cannot {what} {}: {error}", path.display()))
}
