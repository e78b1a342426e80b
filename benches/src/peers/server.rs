//! A server as a child process, in a process group of its own. Killed when dropped.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command as Plain, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};
use tokio::time::sleep;

use super::Home;
use crate::process::traced;

/// A start reads what a kill left behind; longer than that takes.
const START_DEADLINE: Duration = Duration::from_secs(180);

/// Lines of a server's log that an error shows.
const LOG_LINES: usize = 5;

/// A running server.
#[derive(Debug)]
pub(super) struct Server {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts it; it may not answer yet.
    pub(super) fn start(name: &'static str, command: Plain, home: &Home) -> Result<Self> {
        let command = match &home.trace {
            Some(trace) => traced(&command, trace),
            None => command,
        };
        let log = home.log();
        let output = File::options().create(true).append(true).open(&log)?;
        let mut command = Command::from(command);
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .kill_on_drop(true);
        let child = command
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        Ok(Self { name, child, log })
    }

    /// Its process id.
    pub(super) fn id(&self) -> Result<u32> {
        let name = self.name;
        self.child.id().with_context(|| format!("{name} has ended"))
    }

    /// SIGKILL for it and whatever it started.
    pub(super) async fn kill(&mut self) -> Result<()> {
        self.kill_group();
        let name = self.name;
        self.child
            .kill()
            .await
            .with_context(|| format!("killing {name}"))
    }

    /// Tries until it answers.
    pub(super) async fn until_ready<T>(
        &mut self,
        mut attempt: impl AsyncFnMut() -> Result<T>,
    ) -> Result<T> {
        let end = Instant::now() + START_DEADLINE;
        loop {
            let error = match attempt().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let name = self.name;
            if let Some(status) = self.child.try_wait()? {
                bail!("{name} ended with {status}: {}", self.last_words());
            }
            if Instant::now() > end {
                return Err(error.context(format!("{name} does not answer: {}", self.last_words())));
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    fn kill_group(&self) {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(group) = id.and_then(Pid::from_raw) {
            // Gone already is what we want.
            let _gone = kill_process_group(group, Signal::KILL);
        }
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("; ")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill_group();
    }
}

/// A port that was free a moment ago; most servers cannot be told to take any.
pub(super) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    Ok(listener.local_addr()?.port())
}

/// What a program prints; an error if it cannot be run.
pub(super) async fn printed(program: impl AsRef<Path>, arguments: &[&str]) -> Result<String> {
    let program = program.as_ref();
    let output = Command::new(program).args(arguments).output().await;
    let output = output.with_context(|| format!("{} is not installed", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.trim().to_owned())
}
