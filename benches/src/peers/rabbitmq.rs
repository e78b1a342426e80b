//! RabbitMQ: a quorum queue of one member, persistent messages with publisher confirms in place of push,
//! a consumer with a prefetch and single acks in place of reserve and ack. Nobody answers an ack there.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::amqp::{Connection, Event, ack, publish};
use super::server::{Server, free_port};
use super::wire::{open_all, push_all};
use super::{Home, Load, Pair, Peer};
use crate::QUEUE;
use crate::countdown::Countdown;

/// The server itself: what stands in the path changes the user first, and the folder is ours.
const PACKAGED: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
const IDLE: &str = "latency";
/// The kind of queue that syncs before it confirms.
const KIND: &str = "quorum";

/// RabbitMQ 3.10 writes down which queues there are a little after it has said that there is one: killed
/// in the first second, it forgets the queue with everything that was confirmed in it.
const DECLARED: Duration = Duration::from_secs(5);

/// A queue has no jobs to show before it has chosen its leader, which it does well within this.
const LED: Duration = Duration::from_secs(5);
/// A million jobs in the log of a queue take it longer to be counted again.
const COUNTED: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A RabbitMQ and the port mapper that it needs.
#[derive(Debug)]
pub struct RabbitMq {
    home: Home,
    server: Server,
    _mapper: Server,
    port: u16,
}

impl RabbitMq {
    async fn open(&self) -> Result<Connection> {
        Connection::open(self.port).await
    }

    async fn declare(&self, queue: &str) -> Result<()> {
        self.open().await?.declare(queue, KIND).await?;
        sleep(DECLARED).await;
        Ok(())
    }
}

fn program() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::iter::once(PathBuf::from(PACKAGED))
        .chain(std::env::split_paths(&path).map(|folder| folder.join("rabbitmq-server")))
        .find(|program| program.exists());
    found.context("rabbitmq-server is not installed")
}

impl Peer for RabbitMq {
    const NAME: &'static str = "RabbitMQ";
    const PUSH: &'static str = "publish, confirmed";
    const WORK: &'static str = "consume, ack";
    type Pair = Idle;

    async fn about(_program: &Path) -> Result<String> {
        let server = program()?.canonicalize()?;
        // Not asked of rabbitmqctl, which leaves a port mapper running behind it.
        let mut folders = server.iter().filter_map(OsStr::to_str);
        let version = folders.find_map(|name| name.strip_prefix("rabbitmq_server-"));
        let version = version.unwrap_or("an unknown version");
        Ok(format!("{version}, a {KIND} queue, persistent, confirms"))
    }

    async fn start(home: Home) -> Result<Self> {
        let (server, mapper, port) = serve(&home).await?;
        let this = Self {
            home,
            server,
            _mapper: mapper,
            port,
        };
        this.declare(QUEUE).await?;
        Ok(this)
    }

    fn id(&self) -> Result<u32> {
        self.server.id()
    }

    async fn kill(&mut self) -> Result<()> {
        self.server.kill().await
    }

    async fn start_again(&mut self) -> Result<()> {
        (self.server, self._mapper, self.port) = serve(&self.home).await?;
        self.open().await?.ready(QUEUE).await?;
        Ok(())
    }

    async fn push(&mut self, load: &Load) -> Result<Duration> {
        let mut connections = open_all(load, || self.open()).await?;
        for connection in &mut connections {
            connection.confirm().await?;
        }
        push_all(connections, load).await
    }

    async fn check_pushed(&mut self, load: &Load) -> Result<()> {
        let mut connection = self.open().await?;
        let (begun, jobs) = (Instant::now(), load.jobs);
        loop {
            let found = connection.ready(QUEUE).await?;
            if found == jobs {
                return Ok(());
            }
            let is_waiting = begun.elapsed() < COUNTED;
            ensure!(
                is_waiting,
                "{jobs} were confirmed, {found} are there after the kill"
            );
            sleep(LOOK_AGAIN).await;
        }
    }

    async fn work(&mut self, load: &Load) -> Result<Duration> {
        let left = Countdown::new(load.jobs);
        let connections = open_all(load, || self.open()).await?;
        let (mut tasks, begun) = (JoinSet::new(), Instant::now());
        for connection in connections {
            tasks.spawn(consume_and_ack(
                connection,
                load.in_flight,
                Arc::clone(&left),
            ));
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        left.took(begun)?;
        // The channels are closed, so all acks have been read.
        Ok(begun.elapsed())
    }

    /// Acks are not answered, so those of the last moments may be lost; they are counted.
    async fn count_returned(&mut self, _load: &Load) -> Result<u64> {
        sleep(LED).await;
        self.open().await?.ready(QUEUE).await
    }

    async fn pair(&mut self) -> Result<Idle> {
        self.declare(IDLE).await?;
        let (mut producer, mut consumer) = (self.open().await?, self.open().await?);
        producer.confirm().await?;
        consumer.consume(IDLE, 1).await?;
        Ok(Idle { producer, consumer })
    }
}

async fn consume_and_ack(
    mut connection: Connection,
    in_flight: usize,
    left: Arc<Countdown>,
) -> Result<()> {
    connection.consume(QUEUE, u16::try_from(in_flight)?).await?;
    let mut out = Vec::new();
    while !left.over.is_cancelled() {
        tokio::select! {
            more = connection.wire.more() => more?,
            () = left.over.cancelled() => {}
        }
        let mut acks = 0;
        while let Some(event) = connection.event_here()? {
            let Event::Delivered(tag) = event else {
                bail!("a confirm came to a consumer");
            };
            out.extend(ack(tag));
            acks += 1;
        }
        connection.wire.send(&out).await?;
        out.clear();
        left.count(acks);
    }
    connection.close().await
}

/// A producer and a consumer.
#[derive(Debug)]
pub struct Idle {
    producer: Connection,
    consumer: Connection,
}

impl Pair for Idle {
    async fn once(&mut self, body: &Bytes) -> Result<Duration> {
        let request = publish(IDLE, body);
        let begun = Instant::now();
        self.producer.wire.send(&request).await?;
        let delivered = async {
            let event = self.consumer.event().await?;
            anyhow::Ok((event, begun.elapsed()))
        };
        let (confirm, delivered) = tokio::join!(self.producer.event(), delivered);
        let (Event::Confirmed(1), (Event::Delivered(tag), took)) = (confirm?, delivered?) else {
            bail!("one publish did not become one confirm and one delivery");
        };
        self.consumer.wire.send(&ack(tag)).await?;
        Ok(took)
    }
}

/// Everything that it would look for elsewhere is put beside its data; no plugins, so nothing but AMQP
/// listens.
async fn serve(home: &Home) -> Result<(Server, Server, u16)> {
    let [port, distribution, mapper_port] = [free_port()?, free_port()?, free_port()?];
    let beside = home.data.with_extension("rabbitmq");
    fs::create_dir_all(&beside)?;
    fs::write(beside.join("plugins"), "[].\n")?;
    fs::write(
        beside.join("rabbitmq.conf"),
        format!("listeners.tcp.1 = 127.0.0.1:{port}\n"),
    )?;
    fs::write(beside.join("advanced.config"), "[].\n")?;
    let mut mapper = Command::new("epmd");
    mapper.args(["-address", "127.0.0.1", "-port", &mapper_port.to_string()]);
    let plain = Home {
        trace: None,
        ..home.clone()
    };
    let mapper = Server::start("epmd", mapper, &plain)?;
    let mut command = Command::new(program()?);
    command
        .env("HOME", &beside)
        .env("RABBITMQ_NODENAME", "bench@localhost")
        .env("RABBITMQ_DIST_PORT", distribution.to_string())
        .env("RABBITMQ_MNESIA_BASE", &home.data)
        .env("RABBITMQ_LOG_BASE", beside.join("log"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", beside.join("plugins"))
        .env("RABBITMQ_CONFIG_FILE", beside.join("rabbitmq.conf"))
        .env(
            "RABBITMQ_ADVANCED_CONFIG_FILE",
            beside.join("advanced.config"),
        )
        .env("RABBITMQ_CONF_ENV_FILE", beside.join("none"))
        .env("ERL_EPMD_PORT", mapper_port.to_string())
        // Then the script becomes the server instead of waiting for it.
        .env("RUNNING_UNDER_SYSTEMD", "1");
    let mut server = Server::start(RabbitMq::NAME, command, home)?;
    let attempt = async || Connection::open(port).await;
    server.until_ready(attempt).await?;
    Ok((server, mapper, port))
}
