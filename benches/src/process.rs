//! The broker as a child process. Killed when dropped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command as Plain, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use verteilt_client::Client;

/// A start reads what a kill left behind; far longer than that takes.
const START_DEADLINE: Duration = Duration::from_secs(120);

/// How a broker is started.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Its binary.
    pub binary: PathBuf,
    /// Its data folder.
    pub data: PathBuf,
    /// Its configuration file.
    pub config: Option<PathBuf>,
    /// Where strace writes its syncs down, if it does.
    pub trace: Option<PathBuf>,
}

/// A broker and its folder.
#[derive(Debug)]
pub struct Broker {
    launch: Launch,
    child: Child,
    url: String,
}

impl Broker {
    /// Starts one on a free port.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn start(launch: Launch) -> Result<Self> {
        let (child, url) = serve(&launch).await?;
        Ok(Self { launch, child, url })
    }

    /// How it was started.
    #[must_use]
    pub fn launch(&self) -> &Launch {
        &self.launch
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A client of its own.
    ///
    /// # Errors
    /// If the broker is not there.
    pub async fn client(&self) -> Result<Client> {
        Ok(Client::connect(&self.url).await?)
    }

    /// SIGKILL: nothing is flushed, nobody is told. Returns when it is gone.
    ///
    /// # Errors
    /// What the system says.
    pub async fn kill(&mut self) -> Result<()> {
        self.child.kill().await.context("killing the broker")
    }

    /// Starts it again on its folder, after a kill.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn start_again(&mut self) -> Result<()> {
        (self.child, self.url) = serve(&self.launch).await?;
        self.client().await?.queue_stats(None).await?;
        Ok(())
    }

    /// Kills it and starts it on the same folder; the time from the start of the process to the
    /// first answer about its queues.
    ///
    /// # Errors
    /// If it does not come up again.
    pub async fn kill_and_restart(&mut self) -> Result<Duration> {
        self.kill().await?;
        let begun = Instant::now();
        self.start_again().await?;
        Ok(begun.elapsed())
    }

    /// Its process id.
    ///
    /// # Errors
    /// If it is gone.
    pub fn id(&self) -> Result<u32> {
        self.child.id().context("the broker has ended")
    }

    /// Bytes of memory that it holds now, and the most that it held.
    ///
    /// # Errors
    /// If it is gone.
    pub fn memory(&self) -> Result<Memory> {
        Memory::of(self.id()?)
    }
}

/// Time that processors spent on a process, all of its threads, user and system.
///
/// # Errors
/// If it is gone.
pub fn processor_time(id: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    // The name, in parentheses, may hold anything.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    // Linux gives hundredths of a second here, on every architecture that it is built for now.
    Ok(Duration::from_millis(ticks * 10))
}

/// As [`processor_time`], to the nanosecond; threads that have ended do not count.
///
/// # Errors
/// If it is gone.
pub fn processor_time_of_threads(id: u32) -> Result<Duration> {
    let mut nanos = 0;
    for thread in fs::read_dir(format!("/proc/{id}/task"))? {
        let Ok(stat) = fs::read_to_string(thread?.path().join("schedstat")) else {
            continue;
        };
        let run = stat.split_whitespace().next().unwrap_or_default();
        nanos += run.parse::<u64>().context("the system counts no time")?;
    }
    Ok(Duration::from_nanos(nanos))
}

/// Bytes that a process has had written to its disk.
///
/// # Errors
/// If it is gone.
pub fn written_bytes(id: u32) -> Result<u64> {
    let io = fs::read_to_string(format!("/proc/{id}/io"))?;
    let line = io
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "));
    Ok(line.context("the system counts no writes")?.parse()?)
}

/// Resident memory of a process.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Memory {
    /// Now.
    pub now_bytes: u64,
    /// At its highest.
    pub peak_bytes: u64,
}

impl Memory {
    fn of(id: u32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{id}/status"))?;
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name));
            let number = line.and_then(|line| line.split_whitespace().nth(1));
            let kilobytes: u64 = number.and_then(|text| text.parse().ok())?;
            Some(kilobytes * 1024)
        };
        Ok(Self {
            now_bytes: field("VmRSS:").context("no VmRSS")?,
            peak_bytes: field("VmHWM:").context("no VmHWM")?,
        })
    }
}

async fn serve(launch: &Launch) -> Result<(Child, String)> {
    let mut command = Plain::new(&launch.binary);
    // No configuration file that happens to lie in the working folder.
    command.current_dir(launch.data.parent().unwrap_or(&launch.data));
    command.args(["serve", "--listen", "127.0.0.1:0", "--data"]);
    command.arg(&launch.data);
    if let Some(config) = &launch.config {
        command.arg("--config").arg(config);
    }
    // Nothing of our own environment that it would read.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("VERTEILT_") {
            command.env_remove(name);
        }
    }
    command.env("VERTEILT_LOG", "error");
    if let Some(trace) = &launch.trace {
        command = traced(&command, trace);
    }
    let mut child = Command::from(command)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // A Ctrl-C at the terminal is for us: the broker is to be there for what comes after it.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .context("starting the broker")?;
    let line = first_line(&mut child).await?;
    let url = line.strip_prefix("listening on ");
    let url = url.with_context(|| format!("the broker said {line:?}"))?;
    Ok((child, url.to_owned()))
}

/// What a child says first: where it listens.
pub(crate) async fn first_line(child: &mut Child) -> Result<String> {
    let output = child.stdout.take().context("its output is piped")?;
    let mut lines = BufReader::new(output).lines();
    let line = timeout(START_DEADLINE, lines.next_line()).await;
    let line = line.context("it does not say where it listens")??;
    line.context("it ended instead of listening")
}

/// The same command with its syncs written down. strace stands aside, so the server stays our own
/// child; only these calls are stopped at, the others run at their speed.
pub(crate) fn traced(command: &Plain, trace: &Path) -> Plain {
    let mut strace = Plain::new("strace");
    strace
        .args(["-D", "-f", "-qq", "--seccomp-bpf"])
        .args(["-e", "trace=fsync,fdatasync", "-o"])
        .arg(trace)
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => strace.env(name, value),
            None => strace.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        strace.current_dir(folder);
    }
    strace
}
