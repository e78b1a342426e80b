//! The broker as a child process. Killed when dropped.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;
use verteilt_client::Client;

/// A start reads what a kill left behind; far longer than that takes.
const START_DEADLINE: Duration = Duration::from_secs(120);

/// The release binary: as named, or beside this program, where cargo puts both.
///
/// # Errors
/// If there is none.
pub fn find_binary(named: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = named {
        return path
            .canonicalize()
            .with_context(|| format!("looking for {}", path.display()));
    }
    let program = std::env::current_exe().context("looking for the path of this program")?;
    let beside = program.with_file_name("verteilt");
    if !beside.exists() {
        bail!(
            "no `verteilt` beside this program: build it (cargo build --release) or name it with --verteilt"
        );
    }
    Ok(beside)
}

/// Waits for SIGINT or SIGTERM. Whoever drops the servers then kills them.
///
/// # Errors
/// Always: with the reason to stop.
pub async fn interrupted<T>() -> Result<T> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        told = tokio::signal::ctrl_c() => told?,
        _ = terminate.recv() => {}
    }
    bail!("interrupted")
}

/// A broker and its folder.
#[derive(Debug)]
pub struct Broker {
    binary: PathBuf,
    data: PathBuf,
    config: Option<PathBuf>,
    child: Child,
    url: String,
}

impl Broker {
    /// Starts one on a free port.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn start(binary: &Path, data: &Path, config: Option<&Path>) -> Result<Self> {
        let (child, url) = serve(binary, data, config).await?;
        Ok(Self {
            binary: binary.to_path_buf(),
            data: data.to_path_buf(),
            config: config.map(Path::to_path_buf),
            child,
            url,
        })
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

    /// Kills it and starts it on the same folder; the time from the start of the process to the
    /// first answer about its queues.
    ///
    /// # Errors
    /// If it does not come up again.
    pub async fn kill_and_restart(&mut self) -> Result<Duration> {
        self.kill().await?;
        let begun = Instant::now();
        let config = self.config.as_deref();
        (self.child, self.url) = serve(&self.binary, &self.data, config).await?;
        self.client().await?.queue_stats(None).await?;
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

async fn serve(binary: &Path, data: &Path, config: Option<&Path>) -> Result<(Child, String)> {
    let mut command = without_settings(binary);
    // No configuration file that happens to lie in the working folder.
    command.current_dir(data.parent().unwrap_or(data));
    command.args(["serve", "--listen", "127.0.0.1:0", "--data"]);
    command.arg(data);
    if let Some(config) = config {
        command.arg("--config").arg(config);
    }
    command.stdout(Stdio::piped());
    let mut child = command.spawn().context("starting the broker")?;
    let output = child.stdout.take().context("its output is piped")?;
    let mut lines = BufReader::new(output).lines();
    let line = timeout(START_DEADLINE, lines.next_line()).await;
    let line = line.context("the broker does not say where it listens")??;
    let line = line.context("the broker ended instead of listening")?;
    let url = line.strip_prefix("listening on ");
    let url = url.with_context(|| format!("the broker said {line:?}"))?;
    Ok((child, url.to_owned()))
}

/// A command with nothing of our own environment that it would read.
fn without_settings(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("VERTEILT_") {
            command.env_remove(name);
        }
    }
    command
        .env("VERTEILT_LOG", "error")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}
