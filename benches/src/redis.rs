//! Redis as a child process, and the same load on it: a stream, `XADD` in place of push, `XREADGROUP`
//! and `XACK` in place of reserve and ack.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::resp::{Connection, Token, command};
use crate::{CONNECTIONS, QUEUE, WINDOW, share};

const GROUP: &[u8] = b"g";
const START_DEADLINE: Duration = Duration::from_secs(120);

/// A Redis and its folder. Killed when dropped.
#[derive(Debug)]
pub struct Redis {
    data: PathBuf,
    child: Child,
    port: u16,
}

/// Its version, or nothing if it is not installed.
pub async fn version() -> Option<String> {
    let output = Command::new("redis-server").arg("--version").output().await;
    let text = String::from_utf8(output.ok()?.stdout).ok()?;
    let word = text.split(' ').find_map(|word| word.strip_prefix("v="))?;
    Some(word.to_owned())
}

impl Redis {
    /// Starts one on a free port, every write synced before it is answered.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn start(data: &Path) -> Result<Self> {
        let (child, port) = serve(data).await?;
        let data = data.to_path_buf();
        Ok(Self { data, child, port })
    }

    /// Its process id.
    ///
    /// # Errors
    /// If it is gone.
    pub fn id(&self) -> Result<u32> {
        self.child.id().context("Redis has ended")
    }

    /// SIGKILL, and up again on the same folder; the time from the start of the process to its first
    /// answer.
    ///
    /// # Errors
    /// If it does not come up again.
    pub async fn kill_and_restart(&mut self) -> Result<Duration> {
        self.child.kill().await.context("killing Redis")?;
        let begun = Instant::now();
        (self.child, self.port) = serve(&self.data).await?;
        Ok(begun.elapsed())
    }

    /// One `XADD` a job, [`WINDOW`] unanswered on each connection.
    ///
    /// # Errors
    /// The first one that is not answered with an id.
    pub async fn push(&self, jobs: u64, body: &[u8]) -> Result<Duration> {
        let mut one = Vec::new();
        command(&mut one, &[b"XADD", QUEUE.as_bytes(), b"*", b"b", body]);
        let window: Arc<[u8]> = one.repeat(WINDOW).into();
        let connections = self.connect().await?;
        let mut tasks = JoinSet::new();
        let begun = Instant::now();
        for (at, connection) in connections.into_iter().enumerate() {
            let jobs = share(jobs, at, CONNECTIONS);
            tasks.spawn(add(connection, jobs, Arc::clone(&window), one.len()));
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        Ok(begun.elapsed())
    }

    /// Makes the group, which is not part of the load.
    ///
    /// # Errors
    /// What Redis says.
    pub async fn prepare_work(&self) -> Result<()> {
        let mut connection = Connection::open(self.port).await?;
        let words: [&[u8]; 5] = [b"XGROUP", b"CREATE", QUEUE.as_bytes(), GROUP, b"0"];
        connection.ask(&words).await?;
        Ok(())
    }

    /// Reads [`WINDOW`] entries at a time and acks each with an `XACK` of its own, all of them and the
    /// next read in one write, until `jobs` are acked.
    ///
    /// # Errors
    /// The first one that is not acked.
    pub async fn work(&self, jobs: u64) -> Result<Duration> {
        let left = Arc::new(AtomicU64::new(jobs));
        let connections = self.connect().await?;
        let mut tasks = JoinSet::new();
        let begun = Instant::now();
        for (at, connection) in connections.into_iter().enumerate() {
            tasks.spawn(read_and_ack(connection, at, Arc::clone(&left)));
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        let took = begun.elapsed();
        ensure!(
            left.load(Ordering::Acquire) == 0,
            "not every entry was acked"
        );
        Ok(took)
    }

    /// Entries of the stream.
    ///
    /// # Errors
    /// What Redis says.
    pub async fn entries(&self) -> Result<u64> {
        self.ask_number(&[b"XLEN", QUEUE.as_bytes()]).await
    }

    /// Entries that were read and not acked.
    ///
    /// # Errors
    /// What Redis says.
    pub async fn pending(&self) -> Result<u64> {
        self.ask_number(&[b"XPENDING", QUEUE.as_bytes(), GROUP])
            .await
    }

    async fn ask_number(&self, words: &[&[u8]]) -> Result<u64> {
        let mut connection = Connection::open(self.port).await?;
        Ok(connection.ask(words).await?.try_into()?)
    }

    async fn connect(&self) -> Result<Vec<Connection>> {
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(Connection::open(self.port).await?);
        }
        Ok(connections)
    }
}

async fn add(mut connection: Connection, jobs: u64, window: Arc<[u8]>, one: usize) -> Result<()> {
    let (mut sent, mut answered) = (0, 0);
    while answered < jobs {
        let next = jobs.min(answered + WINDOW as u64) - sent;
        connection.send(&window[..next as usize * one]).await?;
        sent += next;
        // All that has come makes room for as many.
        let mut token = Some(connection.token().await?);
        while let Some(Token::Text) = token {
            answered += 1;
            token = connection.token_here()?;
        }
        ensure!(token.is_none(), "XADD was answered with {token:?}");
    }
    Ok(())
}

async fn read_and_ack(mut connection: Connection, at: usize, left: Arc<AtomicU64>) -> Result<()> {
    let consumer = format!("c{at}");
    let count = WINDOW.to_string();
    let mut read = Vec::new();
    let words: [&[u8]; 9] = [
        b"XREADGROUP",
        b"GROUP",
        GROUP,
        consumer.as_bytes(),
        b"COUNT",
        count.as_bytes(),
        b"STREAMS",
        QUEUE.as_bytes(),
        b">",
    ];
    command(&mut read, &words);
    let (mut out, mut acks) = (read.clone(), 0);
    loop {
        connection.send(&out).await?;
        out.clear();
        let mut acked = 0;
        for _ in 0..acks {
            match connection.token().await? {
                Token::Number(1) => acked += 1,
                other => bail!("XACK was answered with {other:?}"),
            }
        }
        left.fetch_sub(acked, Ordering::AcqRel);
        acks = gather_acks(&mut connection, &mut out).await?;
        if acks == 0 {
            return Ok(());
        }
        out.extend_from_slice(&read);
    }
}

/// Reads the answer of XREADGROUP and writes an XACK for each of its entries.
async fn gather_acks(connection: &mut Connection, out: &mut Vec<u8>) -> Result<usize> {
    // [[stream, [[id, [field, value]], ...]]], or nothing when the stream has come to its end.
    let Token::List(1) = connection.token().await? else {
        return Ok(0);
    };
    let expected = "an answer that is none of XREADGROUP";
    let (pair, _name) = (connection.token().await?, connection.token().await?);
    let Token::List(entries) = connection.token().await? else {
        bail!("{expected}: {pair:?}");
    };
    for _ in 0..entries {
        connection.token().await?;
        let Token::Text = connection.token().await? else {
            bail!(expected);
        };
        command(out, &[b"XACK", QUEUE.as_bytes(), GROUP, connection.text()]);
        for _ in 0..3 {
            connection.token().await?;
        }
    }
    Ok(entries)
}

async fn serve(data: &Path) -> Result<(Child, u16)> {
    let port = free_port()?;
    let mut child = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args([
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
            "--save",
            "",
        ])
        .arg("--dir")
        .arg(data)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("starting redis-server")?;
    let end = Instant::now() + START_DEADLINE;
    loop {
        ensure!(
            child.try_wait()?.is_none(),
            "redis-server ended instead of listening"
        );
        ensure!(Instant::now() < end, "redis-server does not answer");
        // While it loads, it answers with an error.
        if let Ok(mut connection) = Connection::open(port).await
            && connection.ask(&[b"PING"]).await.is_ok()
        {
            return Ok((child, port));
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// One that was free a moment ago; Redis cannot be told to take any.
fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    Ok(listener.local_addr()?.port())
}
