//! What the programs that start brokers share: their arguments, their runtime, how they end.

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use crate::machine::Machine;
use crate::report::Report;
use crate::scratch::Scratch;

/// Arguments of every one of them.
#[derive(Debug, Args)]
pub struct Common {
    /// The broker's release binary [default: beside this program]
    #[arg(long, value_name = "FILE")]
    verteilt: Option<PathBuf>,
    /// A folder on a real disk for all data; emptied at the end [default: in the build folder]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Jobs of each part
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub jobs: u64,
    /// Threads of the load; 1 does everything on the main thread
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: u16,
    /// Seconds that one part may take
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    part_seconds: u64,
    /// Also write everything as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Where a program works.
#[derive(Debug)]
pub struct Stage {
    /// The broker's binary: a copy, for the file may be built anew while we measure.
    pub broker: PathBuf,
    /// All data.
    pub scratch: Scratch,
    part_limit: Duration,
}

impl Common {
    /// Runs a program to its end, or until SIGINT or SIGTERM: then everything it owns is dropped, and
    /// the servers are killed with it.
    ///
    /// # Errors
    /// Those of the program, and that it was interrupted.
    pub fn run(&self, program: impl AsyncFnOnce(Stage) -> Result<()>) -> Result<()> {
        runtime(self.threads.into())?.block_on(async {
            tokio::select! {
                done = program(self.stage()?) => done,
                stopped = interrupted() => stopped,
            }
        })
    }

    fn stage(&self) -> Result<Stage> {
        let binary = self.find_binary()?;
        let scratch = Scratch::new(match &self.data {
            Some(data) => data.clone(),
            None => data_folder()?,
        })?;
        let broker = scratch.path().join("broker");
        fs::copy(&binary, &broker).context("copying the broker's binary")?;
        Ok(Stage {
            broker,
            scratch,
            part_limit: Duration::from_secs(self.part_seconds),
        })
    }

    /// As named, or beside this program, where cargo puts both.
    fn find_binary(&self) -> Result<PathBuf> {
        if let Some(path) = &self.verteilt {
            return path
                .canonicalize()
                .with_context(|| format!("looking for {}", path.display()));
        }
        let beside = this_program()?.with_file_name("verteilt");
        if !beside.exists() {
            bail!(
                "no `verteilt` beside this program: build it (cargo build --release) or name it with --verteilt"
            );
        }
        Ok(beside)
    }

    /// A report that says how it was run.
    #[must_use]
    pub fn report(&self, stage: &Stage) -> Report {
        let mut report = Report::new(Machine::look(stage.scratch.filesystem()));
        report.note("jobs of each part", self.jobs.to_string());
        report.note("threads of the load", self.threads.to_string());
        report
    }

    /// Prints a report, and writes it where that was asked for.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn show(&self, report: &Report) -> Result<()> {
        println!("{}", report.table());
        if let Some(path) = &self.json {
            let text = serde_json::to_string_pretty(report)?;
            fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
        }
        Ok(())
    }
}

impl Stage {
    /// One part of a program, told of and bounded.
    ///
    /// # Errors
    /// Those of the part, and that it took too long.
    pub async fn part<T>(&self, name: &str, part: impl Future<Output = Result<T>>) -> Result<T> {
        eprintln!("  {name}");
        let done = timeout(self.part_limit, part).await;
        done.with_context(|| format!("{name} took longer than {:?}", self.part_limit))?
            .with_context(|| name.to_owned())
    }
}

/// A runtime for a load: with one thread it does everything on the thread that blocks on it, which
/// leaves the most to a broker on the same machine.
///
/// # Errors
/// What the system says.
pub fn runtime(threads: usize) -> Result<Runtime> {
    let mut builder = match threads {
        0 | 1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    let builder = builder.worker_threads(threads.max(1)).enable_all();
    builder.build().context("starting the runtime")
}

/// Waits for SIGINT or SIGTERM.
async fn interrupted<T>() -> Result<T> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        told = tokio::signal::ctrl_c() => told?,
        _ = terminate.recv() => {}
    }
    bail!("interrupted")
}

fn this_program() -> Result<PathBuf> {
    std::env::current_exe().context("looking for the path of this program")
}

/// The folder that cargo builds into.
///
/// # Errors
/// If this program lies in none.
fn build_folder() -> Result<PathBuf> {
    let program = this_program()?;
    let is_release = |folder: &&Path| folder.file_name().is_some_and(|name| name == "release");
    let release = program.ancestors().find(is_release);
    let folder = release.and_then(Path::parent);
    let folder = folder.context("this program lies in no build folder: name one with --data")?;
    Ok(folder.to_path_buf())
}

/// Where data goes if nothing else is said: in the build folder.
///
/// # Errors
/// If this program lies in no build folder.
pub fn data_folder() -> Result<PathBuf> {
    Ok(build_folder()?.join("bench-data"))
}

/// Where `make bench-tools` puts what has no package of the system.
///
/// # Errors
/// If this program lies in no build folder.
pub fn tools_folder() -> Result<PathBuf> {
    Ok(build_folder()?.join("bench-tools"))
}
