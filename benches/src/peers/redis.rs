//! Redis: a stream, `XADD` in place of push, `XREADGROUP` and `XACK` in place of reserve and ack.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use bytes::Bytes;
use tokio::task::JoinSet;

use super::resp::{Connection, Token, add, command};
use super::server::{Server, free_port, printed};
use super::wire::{open_all, push_all};
use super::{Home, Load, Pair, Peer};
use crate::QUEUE;
use crate::countdown::Countdown;

const PROGRAM: &str = "redis-server";
const GROUP: &[u8] = b"g";
const IDLE: &[u8] = b"latency";

/// A Redis.
#[derive(Debug)]
pub struct Redis {
    home: Home,
    server: Server,
    port: u16,
}

impl Redis {
    async fn open(&self) -> Result<Connection> {
        Connection::open(self.port).await
    }

    async fn ask_number(&self, words: &[&[u8]]) -> Result<u64> {
        Ok(self.open().await?.ask(words).await?.try_into()?)
    }
}

impl Peer for Redis {
    const NAME: &'static str = "Redis";
    const PUSH: &'static str = "XADD";
    const WORK: &'static str = "XREADGROUP, XACK";
    type Pair = Idle;

    async fn about(_program: &Path) -> Result<String> {
        let text = printed(PROGRAM, &["--version"]).await?;
        let version = text.split(' ').find_map(|word| word.strip_prefix("v="));
        Ok(format!(
            "{}, a stream, appendonly yes, appendfsync always, save \"\"",
            version.unwrap_or(&text)
        ))
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
        let found = self.ask_number(&[b"XLEN", QUEUE.as_bytes()]).await?;
        let jobs = load.jobs;
        ensure!(
            found == jobs,
            "{jobs} were acknowledged, {found} are there after the kill"
        );
        Ok(())
    }

    async fn work(&mut self, load: &Load) -> Result<Duration> {
        let words: [&[u8]; 5] = [b"XGROUP", b"CREATE", QUEUE.as_bytes(), GROUP, b"0"];
        self.open().await?.ask(&words).await?;
        let left = Countdown::new(load.jobs);
        let connections = open_all(load, || self.open()).await?;
        let (mut tasks, begun) = (JoinSet::new(), Instant::now());
        for (at, connection) in connections.into_iter().enumerate() {
            tasks.spawn(read_and_ack(
                connection,
                at,
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
        let words: [&[u8]; 3] = [b"XPENDING", QUEUE.as_bytes(), GROUP];
        let pending = self.ask_number(&words).await?;
        ensure!(pending == 0, "{pending} entries are pending after the kill");
        Ok(pending)
    }

    async fn pair(&mut self) -> Result<Idle> {
        let (mut producer, mut consumer) = (self.open().await?, self.open().await?);
        let words: [&[u8]; 6] = [b"XGROUP", b"CREATE", IDLE, GROUP, b"0", b"MKSTREAM"];
        producer.ask(&words).await?;
        let read = read_command("idle", IDLE, 1, true);
        consumer.wire.send(&read).await?;
        Ok(Idle {
            producer,
            consumer,
            read,
        })
    }
}

async fn read_and_ack(
    mut connection: Connection,
    at: usize,
    in_flight: usize,
    left: Arc<Countdown>,
) -> Result<()> {
    let read = read_command(&format!("c{at}"), QUEUE.as_bytes(), in_flight, false);
    let (mut out, mut acks) = (read.clone(), 0);
    loop {
        connection.wire.send(&out).await?;
        out.clear();
        for _ in 0..acks {
            match connection.token().await? {
                Token::Number(1) => {}
                other => bail!("XACK was answered with {other:?}"),
            }
        }
        left.count(acks as u64);
        acks = gather_acks(&mut connection, QUEUE.as_bytes(), &mut out).await?;
        if acks == 0 {
            return Ok(());
        }
        out.extend_from_slice(&read);
    }
}

fn read_command(consumer: &str, stream: &[u8], count: usize, waits: bool) -> Vec<u8> {
    let count = count.to_string();
    let mut words: Vec<&[u8]> = vec![b"XREADGROUP", b"GROUP", GROUP, consumer.as_bytes()];
    words.extend([b"COUNT".as_slice(), count.as_bytes()]);
    if waits {
        words.extend([b"BLOCK".as_slice(), b"0"]);
    }
    words.extend([b"STREAMS".as_slice(), stream, b">"]);
    let mut out = Vec::new();
    command(&mut out, &words);
    out
}

/// Reads the answer of XREADGROUP and writes an XACK for each of its entries.
async fn gather_acks(
    connection: &mut Connection,
    stream: &[u8],
    out: &mut Vec<u8>,
) -> Result<usize> {
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
        command(out, &[b"XACK", stream, GROUP, connection.text()]);
        for _ in 0..3 {
            connection.token().await?;
        }
    }
    Ok(entries)
}

/// A producer, and a consumer that is blocked in an XREADGROUP.
#[derive(Debug)]
pub struct Idle {
    producer: Connection,
    consumer: Connection,
    read: Vec<u8>,
}

impl Pair for Idle {
    async fn once(&mut self, body: &Bytes) -> Result<Duration> {
        let request = add(IDLE, body);
        let begun = Instant::now();
        self.producer.wire.send(&request).await?;
        let mut ack = Vec::new();
        let delivered = async {
            let entries = gather_acks(&mut self.consumer, IDLE, &mut ack).await?;
            anyhow::Ok((entries, begun.elapsed()))
        };
        let (answer, delivered) = tokio::join!(self.producer.token(), delivered);
        let (Token::Text, (1, took)) = (answer?, delivered?) else {
            bail!("one XADD did not become one entry");
        };
        // The answer to the ack tells that the consumer is blocked again, too.
        ack.extend_from_slice(&self.read);
        self.consumer.wire.send(&ack).await?;
        ensure!(
            matches!(self.consumer.token().await?, Token::Number(1)),
            "XACK was refused"
        );
        Ok(took)
    }
}

async fn serve(home: &Home) -> Result<(Server, u16)> {
    let port = free_port()?;
    let mut command = Command::new(PROGRAM);
    command
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--appendonly", "yes", "--appendfsync", "always"])
        .args(["--save", "", "--dir"])
        .arg(&home.data);
    let mut server = Server::start(Redis::NAME, command, home)?;
    // While it loads, it answers with an error.
    let ping = async || Connection::open(port).await?.ask(&[b"PING"]).await;
    server.until_ready(ping).await?;
    Ok((server, port))
}
