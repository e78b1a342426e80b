//! NATS JetStream: a stream on file with the retention of a work queue, a publish that JetStream
//! answers in place of push, a pull consumer with explicit acks in place of reserve and ack.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::nats_wire::{Connection, Message, program, publish};
use super::server::{Server, free_port, printed};
use super::wire::{Answers, Wire, open_all, push_all};
use super::{Home, Load, Pair, Peer};
use crate::QUEUE;
use crate::countdown::Countdown;

const IDLE: &str = "latency";

/// A NATS server.
#[derive(Debug)]
pub struct Nats {
    home: Home,
    server: Server,
    port: u16,
}

impl Nats {
    async fn open(&self) -> Result<Connection> {
        Connection::open(self.port).await
    }

    async fn stream_jobs(&self) -> Result<u64> {
        let subject = format!("$JS.API.STREAM.INFO.{QUEUE}");
        let info = self.open().await?.api(&subject, &Value::Null).await?;
        let messages = info["state"]["messages"].as_u64();
        messages.with_context(|| format!("no number of messages in {info}"))
    }

    /// A stream and its one consumer.
    async fn create(&self, name: &str) -> Result<()> {
        let mut connection = self.open().await?;
        let stream = json!({
            "name": name, "subjects": [name], "storage": "file", "retention": "workqueue",
            "num_replicas": 1,
        });
        let subject = format!("$JS.API.STREAM.CREATE.{name}");
        connection.api(&subject, &stream).await?;
        let consumer = json!({
            "stream_name": name,
            "config": { "durable_name": "c", "ack_policy": "explicit", "max_ack_pending": 65_536 },
        });
        let subject = format!("$JS.API.CONSUMER.CREATE.{name}.c");
        connection.api(&subject, &consumer).await?;
        Ok(())
    }
}

impl Peer for Nats {
    const NAME: &'static str = "NATS JetStream";
    const PUSH: &'static str = "publish";
    const WORK: &'static str = "pull, ack";
    const SYNCS_EACH: bool = true;
    type Pair = Idle;

    async fn about(_program: &Path) -> Result<String> {
        let text = printed(program(), &["--version"]).await?;
        let version = text.rsplit(' ').next().unwrap_or(&text);
        Ok(format!(
            "{version}, a stream on file, retention workqueue, sync_interval always"
        ))
    }

    async fn start(home: Home) -> Result<Self> {
        let (server, port) = serve(&home).await?;
        let this = Self { home, server, port };
        this.create(QUEUE).await?;
        Ok(this)
    }

    fn id(&self) -> Result<u32> {
        self.server.id()
    }

    async fn kill(&mut self) -> Result<()> {
        self.server.kill().await
    }

    async fn start_again(&mut self) -> Result<()> {
        (self.server, self.port) = serve(&self.home).await?;
        self.stream_jobs().await?;
        Ok(())
    }

    async fn push(&mut self, load: &Load) -> Result<Duration> {
        let connections = open_all(load, || self.open()).await?;
        push_all(connections, load).await
    }

    async fn check_pushed(&mut self, load: &Load) -> Result<()> {
        let (jobs, found) = (load.jobs, self.stream_jobs().await?);
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
            tasks.spawn(pull_and_ack(connection, load.in_flight, Arc::clone(&left)));
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        left.took(begun)
    }

    async fn count_returned(&mut self, _load: &Load) -> Result<u64> {
        let found = self.stream_jobs().await?;
        ensure!(
            found == 0,
            "{found} messages whose ack was answered are there after the kill"
        );
        Ok(found)
    }

    async fn pair(&mut self) -> Result<Idle> {
        self.create(IDLE).await?;
        let (producer, mut consumer) = (self.open().await?, self.open().await?);
        let pull = consumer.pull(IDLE, 1);
        consumer.wire.send(&pull).await?;
        Ok(Idle { producer, consumer })
    }
}

impl Connection {
    /// Asks JetStream for something.
    async fn api(&mut self, subject: &str, request: &Value) -> Result<Value> {
        let request = publish(subject, &self.inbox, request.to_string().as_bytes());
        self.wire.send(&request).await?;
        let answer: Value = serde_json::from_slice(&self.message().await?.body)?;
        ensure!(answer.get("error").is_none(), "{subject}: {answer}");
        Ok(answer)
    }

    /// Asks for so many jobs, whenever they come.
    fn pull(&self, stream: &str, jobs: usize) -> Vec<u8> {
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.c");
        let request = json!({ "batch": jobs });
        publish(&subject, &self.inbox, request.to_string().as_bytes())
    }

    /// Acks a job and asks for an answer to that.
    fn ack(&self, job: &Message) -> Result<Vec<u8>> {
        let to = job.reply.as_ref().context("a job that cannot be acked")?;
        Ok(publish(std::str::from_utf8(to)?, &self.inbox, b"+ACK"))
    }

    /// Whether this is an answer and no job.
    fn is_answer(&self, message: &Message) -> bool {
        message.subject == self.inbox
    }
}

impl Answers for Connection {
    fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    fn request(&self, body: &[u8]) -> Vec<u8> {
        publish(QUEUE, &self.inbox, body)
    }

    /// Of JetStream: where it has put the message.
    fn take_answers(&mut self) -> Result<u64> {
        let mut answers = 0;
        while let Some(message) = self.message_here()? {
            check_stored(&message)?;
            answers += 1;
        }
        Ok(answers)
    }
}

/// Pulls as many as may be in flight; each has an ack of its own, and more are pulled as those are
/// answered.
async fn pull_and_ack(
    mut connection: Connection,
    in_flight: usize,
    left: Arc<Countdown>,
) -> Result<()> {
    let mut out = connection.pull(QUEUE, in_flight);
    let mut room = 0;
    while !left.over.is_cancelled() {
        if !out.is_empty() {
            connection.wire.send(&out).await?;
            out.clear();
        }
        tokio::select! {
            more = connection.wire.more() => more?,
            () = left.over.cancelled() => {}
        }
        while let Some(message) = connection.message_here()? {
            if connection.is_answer(&message) {
                ensure!(
                    message.body.is_empty(),
                    "an ack was answered with {:?}",
                    message.body
                );
                left.count(1);
                room += 1;
            } else {
                out.extend(connection.ack(&message)?);
            }
        }
        if room >= in_flight.div_ceil(2) {
            out.extend(connection.pull(QUEUE, room));
            room = 0;
        }
    }
    Ok(())
}

/// A producer, and a consumer whose pull waits.
#[derive(Debug)]
pub struct Idle {
    producer: Connection,
    consumer: Connection,
}

impl Pair for Idle {
    async fn once(&mut self, body: &Bytes) -> Result<Duration> {
        let request = publish(IDLE, &self.producer.inbox, body);
        let begun = Instant::now();
        self.producer.wire.send(&request).await?;
        let delivered = async {
            let job = self.consumer.message().await?;
            anyhow::Ok((job, begun.elapsed()))
        };
        let (answer, delivered) = tokio::join!(self.producer.message(), delivered);
        check_stored(&answer?)?;
        let (job, took) = delivered?;
        // The answer to the ack tells that the next pull is being read, too.
        let mut next = self.consumer.ack(&job)?;
        next.extend(self.consumer.pull(IDLE, 1));
        self.consumer.wire.send(&next).await?;
        let answer = self.consumer.message().await?;
        ensure!(self.consumer.is_answer(&answer), "a second job came");
        Ok(took)
    }
}

fn check_stored(answer: &Message) -> Result<()> {
    let body = &answer.body;
    ensure!(
        body.starts_with(b"{\"stream\":"),
        "a publish was answered with {body:?}"
    );
    Ok(())
}

async fn serve(home: &Home) -> Result<(Server, u16)> {
    let port = free_port()?;
    let config = home.data.with_extension("conf");
    // A ping that is not answered would end a connection that has other things to do.
    let text = format!(
        "listen: 127.0.0.1:{port}\nping_interval: \"60m\"\n\
         jetstream {{ store_dir: {:?}, sync_interval: always }}\n",
        home.data
    );
    fs::write(&config, text)?;
    let mut command = Command::new(program());
    command.arg("-c").arg(&config);
    let mut server = Server::start(Nats::NAME, command, home)?;
    // It listens before JetStream has read what there is.
    let attempt = async || {
        let mut connection = Connection::open(port).await?;
        connection.api("$JS.API.INFO", &Value::Null).await
    };
    server.until_ready(attempt).await?;
    Ok((server, port))
}
