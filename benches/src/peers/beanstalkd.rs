//! beanstalkd: a tube, `put` in place of push, `reserve` and `delete` in place of reserve and ack.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf as _, Bytes};
use tokio::task::JoinSet;

use super::server::{Server, free_port, printed};
use super::wire::{Answers, Wire, open_all, push_all};
use super::{Home, Load, Pair, Peer};
use crate::countdown::Countdown;

const PROGRAM: &str = "beanstalkd";

/// A beanstalkd.
#[derive(Debug)]
pub struct Beanstalkd {
    home: Home,
    server: Server,
    port: u16,
}

impl Beanstalkd {
    async fn open(&self) -> Result<Connection> {
        let wire = Wire::open(self.port).await?;
        Ok(Connection { wire })
    }

    /// Jobs of the tube that are there, in somebody's hands or not.
    async fn jobs(&self) -> Result<u64> {
        let mut connection = self.open().await?;
        connection.wire.send(b"stats-tube default\r\n").await?;
        let head = connection.wire.line().await?;
        let length = word(&head, "OK", 1)?;
        let text = connection.wire.take(length as usize + 2).await?;
        let text = String::from_utf8_lossy(&text);
        let count = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().parse::<u64>().ok()
        };
        let states = ["ready", "reserved", "delayed", "buried"];
        let counts = states.map(|state| count(&format!("current-jobs-{state}:")));
        counts
            .into_iter()
            .sum::<Option<u64>>()
            .context("no statistics came")
    }
}

impl Peer for Beanstalkd {
    const NAME: &'static str = "beanstalkd";
    const PUSH: &'static str = "put";
    const WORK: &'static str = "reserve, delete";
    const SYNCS_EACH: bool = true;
    type Pair = Idle;

    async fn about(_program: &Path) -> Result<String> {
        let text = printed(PROGRAM, &["-v"]).await?;
        let version = text.split(' ').next_back().unwrap_or(&text);
        Ok(format!("{version}, a tube, -b -f 0"))
    }

    async fn start(home: Home) -> Result<Self> {
        let (server, port) = serve(&home).await?;
        Ok(Self { home, server, port })
    }

    fn id(&self) -> Result<u32> {
        self.server.id()
    }

    async fn kill(&mut self) -> Result<()> {
        self.server.kill().await
    }

    async fn start_again(&mut self) -> Result<()> {
        (self.server, self.port) = serve(&self.home).await?;
        Ok(())
    }

    async fn push(&mut self, load: &Load) -> Result<Duration> {
        let connections = open_all(load, || self.open()).await?;
        push_all(connections, load).await
    }

    async fn check_pushed(&mut self, load: &Load) -> Result<()> {
        let (jobs, found) = (load.jobs, self.jobs().await?);
        ensure!(
            found == jobs,
            "{jobs} were acknowledged, {found} are there after the kill"
        );
        Ok(())
    }

    async fn work(&mut self, load: &Load) -> Result<Duration> {
        let left = Countdown::new(load.jobs);
        let connections = open_all(load, || self.open()).await?;
        let (mut tasks, begun) = (JoinSet::new(), Instant::now());
        for connection in connections {
            tasks.spawn(reserve_and_delete(
                connection,
                load.in_flight,
                Arc::clone(&left),
            ));
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        left.took(begun)
    }

    async fn count_returned(&mut self, _load: &Load) -> Result<u64> {
        let found = self.jobs().await?;
        ensure!(
            found == 0,
            "{found} jobs that were deleted are there after the kill"
        );
        Ok(found)
    }

    async fn pair(&mut self) -> Result<Idle> {
        let (producer, mut consumer) = (self.open().await?, self.open().await?);
        consumer.wire.send(b"reserve\r\n").await?;
        Ok(Idle { producer, consumer })
    }
}

#[derive(Debug)]
struct Connection {
    wire: Wire,
}

impl Answers for Connection {
    fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    fn request(&self, body: &[u8]) -> Vec<u8> {
        put(body)
    }

    /// Of put.
    fn take_answers(&mut self) -> Result<u64> {
        let mut answers = 0;
        while let Some(line) = self.wire.line_here() {
            word(&line, "INSERTED", 1)?;
            answers += 1;
        }
        Ok(answers)
    }
}

impl Connection {
    /// The next job that a reserve is answered with; none if nothing is ready.
    async fn reserved(&mut self) -> Result<Option<u64>> {
        let head = self.wire.line().await?;
        if head.as_ref() == b"TIMED_OUT" {
            return Ok(None);
        }
        let (id, length) = (word(&head, "RESERVED", 1)?, word(&head, "RESERVED", 2)?);
        self.wire.take(length as usize).await?;
        self.wire.take(2).await?.advance(2);
        Ok(Some(id))
    }
}

/// Reserves as many as may be in flight and deletes each with a command of its own, all of them and the
/// next reserves in one write.
async fn reserve_and_delete(
    mut connection: Connection,
    in_flight: usize,
    left: Arc<Countdown>,
) -> Result<()> {
    let reserve = b"reserve-with-timeout 0\r\n".repeat(in_flight);
    let (mut out, mut deletes) = (reserve.clone(), 0);
    loop {
        connection.wire.send(&out).await?;
        out.clear();
        for _ in 0..deletes {
            let line = connection.wire.line().await?;
            ensure!(
                line.as_ref() == b"DELETED",
                "delete was answered with {line:?}"
            );
        }
        left.count(deletes);
        deletes = 0;
        for _ in 0..in_flight {
            if let Some(id) = connection.reserved().await? {
                out.extend_from_slice(format!("delete {id}\r\n").as_bytes());
                deletes += 1;
            }
        }
        if deletes == 0 {
            return Ok(());
        }
        out.extend_from_slice(&reserve);
    }
}

/// A producer, and a consumer that waits in a reserve.
#[derive(Debug)]
pub struct Idle {
    producer: Connection,
    consumer: Connection,
}

impl Pair for Idle {
    async fn once(&mut self, body: &Bytes) -> Result<Duration> {
        let request = put(body);
        let begun = Instant::now();
        self.producer.wire.send(&request).await?;
        let delivered = async {
            let job = self.consumer.reserved().await?;
            anyhow::Ok((job, begun.elapsed()))
        };
        let (answer, delivered) = tokio::join!(self.producer.wire.line(), delivered);
        word(&answer?, "INSERTED", 1)?;
        let (Some(id), took) = delivered? else {
            bail!("nothing was reserved");
        };
        // The answer to the delete tells that the next reserve is being read, too.
        let next = format!("delete {id}\r\nreserve\r\n");
        self.consumer.wire.send(next.as_bytes()).await?;
        let line = self.consumer.wire.line().await?;
        ensure!(
            line.as_ref() == b"DELETED",
            "delete was answered with {line:?}"
        );
        Ok(took)
    }
}

/// With two minutes to run: longer than anything here takes.
fn put(body: &[u8]) -> Vec<u8> {
    let head = format!("put 0 0 120 {}\r\n", body.len());
    [head.as_bytes(), body, b"\r\n"].concat()
}

/// The number at this place of an answer that begins like this.
fn word(line: &[u8], begin: &str, at: usize) -> Result<u64> {
    let text = std::str::from_utf8(line)?;
    let number = text.starts_with(begin).then(|| text.split(' ').nth(at));
    let number = number.flatten().and_then(|number| number.parse().ok());
    number.with_context(|| format!("{begin} was expected, {text:?} came"))
}

async fn serve(home: &Home) -> Result<(Server, u16)> {
    let port = free_port()?;
    let mut command = Command::new(PROGRAM);
    command
        .args(["-l", "127.0.0.1", "-p", &port.to_string(), "-f", "0", "-b"])
        .arg(&home.data);
    let mut server = Server::start(Beanstalkd::NAME, command, home)?;
    let attempt = async || Wire::open(port).await;
    server.until_ready(attempt).await?;
    Ok((server, port))
}
