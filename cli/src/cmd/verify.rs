//! `verteilt verify`: is everything in a data folder as it was written?

use std::path::{Path, PathBuf};

use clap::Args;
use tempfile::TempDir;
use verteilt_broker::{Problem, QueueReport, Report, TopicReport, Verdict, VerifyError, verify};

use crate::failure::{Exit, Failure};
use crate::output;
use crate::signals::StopSignals;

/// Check every file of a data folder, and change nothing in it
///
/// Reads and proves everything: the journal batch by batch, the store page by page and block by
/// block, that both fit together, that every job has its body and that topics have every record
/// they keep. The broker must be stopped.
/// Exit code 0: sound, also with a torn last write, which is normal after a crash. 1: damaged.
/// 2: it could not be checked.
///
/// The store is copied first, because its engine writes to what it opens; the copy needs as much
/// room as the folder `store` takes, and is removed in the end.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The data folder
    path: PathBuf,
    /// Where the copy of the store is made [default: the system's temporary folder]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(crate) async fn run(&self) -> Result<Exit, Failure> {
        let signals = StopSignals::listen()?;
        let scratch = scratch(self.scratch.as_deref())?;
        let (path, copy) = (self.path.clone(), scratch.path().to_owned());
        let check = tokio::task::spawn_blocking(move || verify(&path, &copy));
        let checked = tokio::select! {
            checked = check => checked,
            () = signals.gently.cancelled() => {
                // The copy goes; the check itself ends with the process.
                drop(scratch);
                return Ok(signals.exit());
            }
        };
        let report = checked
            .map_err(|error| Failure::work(format!("the check broke off: {error}")))?
            .map_err(|error| cannot(&error))?;
        if self.json {
            output::json(&report)?;
        } else {
            tell(&report)?;
        }
        Ok(if report.is_damaged() {
            Exit::WorkFailed
        } else {
            Exit::Done
        })
    }
}

/// A folder that goes with the value.
pub(crate) fn scratch(within: Option<&Path>) -> Result<TempDir, Failure> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("verteilt-verify-");
    match within {
        Some(folder) => builder.tempdir_in(folder),
        None => builder.tempdir(),
    }
    .map_err(|error| Failure::usage(format!("cannot make a folder for the copy: {error}")))
}

/// Nothing can be said.
pub(crate) fn cannot(error: &VerifyError) -> Failure {
    let failure = Failure::usage(error.to_string());
    match error {
        VerifyError::NoRoom { .. } => failure.advise("name another place with --scratch DIR"),
        _ => failure,
    }
}

fn tell(report: &Report) -> Result<(), Failure> {
    for file in &report.files {
        let mark = if file.sound { "sound  " } else { "DAMAGED" };
        let (name, bytes, what) = (file.file.display(), file.bytes, &file.what);
        output::line(&format!("{mark}  {name}  ({bytes} bytes)  {what}"))?;
    }
    if !report.queues.is_empty() {
        output::line("")?;
        let heading = ["queue", "scheduled", "ready", "leased", "failed", "dead"];
        let rows: Vec<_> = report.queues.iter().map(row).collect();
        output::table(heading, &rows)?;
    }
    if !report.topics.is_empty() {
        output::line("")?;
        let heading = ["topic", "partitions", "records", "bytes", "groups"];
        let rows: Vec<_> = report.topics.iter().map(topic_row).collect();
        output::table(heading, &rows)?;
    }
    output::line("")?;
    report.problems.iter().try_for_each(tell_problem)?;
    output::line(&verdict(report))
}

fn row(queue: &QueueReport) -> [String; 6] {
    let name = named(&queue.namespace, &queue.queue);
    let counts = [
        queue.scheduled,
        queue.ready,
        queue.leased,
        queue.failed,
        queue.dead,
    ];
    let [scheduled, ready, leased, failed, dead] = counts.map(|count| count.to_string());
    [name, scheduled, ready, leased, failed, dead]
}

fn topic_row(topic: &TopicReport) -> [String; 5] {
    let name = named(&topic.namespace, &topic.topic);
    let partitions = topic.partitions.to_string();
    let [records, bytes, groups] =
        [topic.records, topic.bytes, topic.groups].map(|count| count.to_string());
    [name, partitions, records, bytes, groups]
}

fn named(namespace: &str, name: &str) -> String {
    match namespace {
        verteilt_protocol::limits::NAMESPACE_DEFAULT => name.to_owned(),
        namespace => format!("{namespace}/{name}"),
    }
}

fn tell_problem(problem: &Problem) -> Result<(), Failure> {
    let mut place = problem.file.display().to_string();
    if let Some(offset) = problem.offset {
        place.push_str(&format!(", offset {offset}"));
    }
    if let Some(lsn) = problem.lsn {
        place.push_str(&format!(", log sequence number {lsn}"));
    }
    output::line(&format!("{place}: {}; {}", problem.what, problem.advice))
}

/// The last line.
pub(crate) fn verdict(report: &Report) -> String {
    let (path, lsn) = (report.path.display(), report.last_lsn);
    let (jobs, records) = (report.jobs, report.records);
    match report.verdict {
        Verdict::Sound => {
            format!("{path}: sound, {jobs} jobs and {records} records at log sequence number {lsn}")
        }
        Verdict::SoundWithTornTail => format!(
            "{path}: sound, with a torn tail of {} bytes (normal after a crash), {jobs} jobs and \
             {records} records at log sequence number {lsn}",
            report.torn_tail_bytes
        ),
        Verdict::Damaged => format!("{path}: damaged, {} problems", report.problems.len()),
    }
}
