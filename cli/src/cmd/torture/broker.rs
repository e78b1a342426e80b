//! The broker that is killed: this very program as a child.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::Instant;
use verteilt_history::Event;

use super::folder::Folder;
use super::random::Random;
use super::witness::Witness;
use crate::failure::Failure;

/// Longest recovery. The data is small.
const START_MAX: Duration = Duration::from_secs(60);

/// Ports to choose from. Below those that the system gives to outgoing connections: a client that
/// tries a port of those again and again while the broker is down can end up connected to itself.
const PORTS: std::ops::Range<u64> = 20_000..32_000;

/// Ports that are tried.
const PORT_ATTEMPTS: usize = 100;

/// One broker over many lives. Its process is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Broker {
    folder: Folder,
    port: u16,
    witness: Arc<Witness>,
    child: Option<Child>,
    lives: u64,
    started: Instant,
    /// From the start of a process until it served, at the most.
    pub(super) longest_start: Duration,
}

impl Broker {
    /// On a free port; not started yet.
    pub(super) fn new(
        folder: Folder,
        witness: Arc<Witness>,
        random: &mut Random,
    ) -> Result<Self, Failure> {
        // How many ports are taken must not change what comes after.
        let mut random = random.fork();
        let free = (0..PORT_ATTEMPTS).find_map(|_| {
            let port = PORTS.start + random.below(PORTS.end - PORTS.start);
            let port = u16::try_from(port).ok()?;
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
            Some(port)
        });
        let none = || Failure::work("no free port between 20000 and 32000");
        Ok(Self {
            folder,
            port: free.ok_or_else(none)?,
            witness,
            child: None,
            lives: 0,
            started: Instant::now(),
            longest_start: Duration::ZERO,
        })
    }

    pub(super) fn url(&self) -> String {
        format!("verteilt://127.0.0.1:{}", self.port)
    }

    /// Starts the process and does not wait for it.
    ///
    /// The history has the start here, before it can have served anybody.
    pub(super) fn start(&mut self) -> Result<(), Failure> {
        let cannot = |error| Failure::work(format!("cannot start the broker: {error}"));
        let program = std::env::current_exe().map_err(cannot)?;
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.log())
            .map_err(cannot)?;
        let mut command = Command::new(program);
        let ours = std::env::vars_os().map(|(name, _)| name);
        for name in ours.filter(|name| name.to_string_lossy().starts_with("VERTEILT_")) {
            command.env_remove(name);
        }
        command
            .arg("serve")
            .arg("--data")
            .arg(self.folder.broker())
            .arg("--listen")
            .arg(format!("127.0.0.1:{}", self.port))
            .arg("--config")
            .arg(self.folder.config())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true);
        self.lives += 1;
        let epoch = self.lives;
        let recorder = &self.witness.recorder;
        recorder.record(Event::BrokerStarted { epoch });
        self.started = Instant::now();
        self.child = Some(command.spawn().map_err(cannot)?);
        Ok(())
    }

    /// Waits until it serves. A broker that ends instead is a failure: it refuses its own data.
    pub(super) async fn serves(&mut self) -> Result<(), Failure> {
        let stdout = self.child.as_mut().and_then(|child| child.stdout.take());
        let Some(stdout) = stdout else {
            return Ok(());
        };
        let mut line = String::new();
        let mut stdout = BufReader::new(stdout);
        let read = tokio::time::timeout(START_MAX, stdout.read_line(&mut line)).await;
        if !matches!(read, Ok(Ok(_))) || !line.starts_with("listening on") {
            return Err(Failure::work(format!(
                "the broker did not start again after kill {}",
                self.lives - 1
            ))
            .advise(format!("it says why in {}", self.folder.log().display())));
        }
        self.longest_start = self.longest_start.max(self.started.elapsed());
        self.witness.serves();
        Ok(())
    }

    /// SIGKILL, so long after the process was started at the earliest.
    pub(super) async fn kill_at(&mut self, after_start: Duration) -> Result<(), Failure> {
        tokio::time::sleep_until(self.started + after_start).await;
        self.kill().await
    }

    /// SIGKILL now; returns once the process is gone.
    pub(super) async fn kill(&mut self) -> Result<(), Failure> {
        self.lives()?;
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        self.witness.kills();
        let killed = child.kill().await;
        killed.map_err(|error| Failure::work(format!("cannot kill the broker: {error}")))?;
        self.witness.killed();
        Ok(())
    }

    /// A broker that ended by itself is a failure.
    pub(super) fn lives(&mut self) -> Result<(), Failure> {
        let child = self.child.as_mut();
        match child.and_then(|child| child.try_wait().ok().flatten()) {
            None => Ok(()),
            Some(status) => Err(
                Failure::work(format!("the broker ended by itself: {status}"))
                    .advise(format!("it says why in {}", self.folder.log().display())),
            ),
        }
    }
}
