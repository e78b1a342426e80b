//! Core NATS: a request is a message with an inbox for its reply. The requests are bytes that were made
//! before, and replies are counted: less work than a client of NATS has.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use tokio::task::JoinHandle;

use super::super::nats_wire::{Connection, program, publish};
use super::super::server::{Server, free_port, printed};
use super::{Home, Replies};
use crate::QUEUE;

/// A NATS server without JetStream, a caller and a service.
#[derive(Debug)]
pub struct CoreNats {
    server: Server,
    port: u16,
    caller: Connection,
    service: JoinHandle<Result<()>>,
}

/// Answers each request with its body; all that have come in one go.
async fn answer(mut connection: Connection) -> Result<()> {
    let mut replies = Vec::new();
    loop {
        while let Some(request) = connection.message_here()? {
            let to = request.reply.context("a request without an inbox")?;
            let to = std::str::from_utf8(&to)?;
            replies.extend(publish(to, "", &request.body));
        }
        if !replies.is_empty() {
            connection.wire.send(&replies).await?;
            replies.clear();
        }
        connection.wire.more().await?;
    }
}

impl CoreNats {
    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Takes the replies that are here whole.
    fn replies_here(&mut self, body: &Bytes) -> Result<u64> {
        let mut count = 0;
        while let Some(reply) = self.caller.message_here()? {
            ensure!(reply.body == body, "another reply came than was made");
            count += 1;
        }
        Ok(count)
    }
}

impl Replies for CoreNats {
    const NAME: &'static str = "NATS";

    async fn about(_program: &Path) -> Result<String> {
        let text = printed(program(), &["--version"]).await?;
        let version = text.rsplit(' ').next().unwrap_or(&text);
        Ok(format!("{version}, core, as bytes on the socket"))
    }

    async fn start(home: Home) -> Result<Self> {
        let port = free_port()?;
        let mut command = Command::new(program());
        command.args(["-a", "127.0.0.1", "-p", &port.to_string()]);
        let mut server = Server::start(Self::NAME, command, &home)?;
        let attempt = async || Connection::open(port).await;
        let mut service = server.until_ready(attempt).await?;
        let subscribe = format!("SUB {QUEUE} 2\r\nPING\r\n");
        service.wire.send(subscribe.as_bytes()).await?;
        let pong = service.wire.line().await?;
        ensure!(pong.as_ref() == b"PONG", "NATS said {pong:?}");
        Ok(Self {
            caller: Connection::open(port).await?,
            server,
            port,
            service: tokio::spawn(answer(service)),
        })
    }

    fn id(&self) -> Result<u32> {
        self.server.id()
    }

    async fn once(&mut self, body: &Bytes) -> Result<Duration> {
        let begun = Instant::now();
        let request = publish(QUEUE, &self.caller.inbox, body);
        self.caller.wire.send(&request).await?;
        let reply = self.caller.message().await?;
        ensure!(reply.body == body, "another reply came than was made");
        Ok(begun.elapsed())
    }

    async fn many(&mut self, requests: u64, window: usize, body: &Bytes) -> Result<Duration> {
        let one = publish(QUEUE, &self.caller.inbox, body);
        let full = one.repeat(window);
        let (mut sent, mut answered) = (0, 0);
        let begun = Instant::now();
        while answered < requests {
            let next = requests.min(answered + window as u64) - sent;
            let bytes = &full[..next as usize * one.len()];
            self.caller.wire.send(bytes).await?;
            sent += next;
            let before = answered;
            while answered == before {
                answered += self.replies_here(body)?;
                if answered == before {
                    self.caller.wire.more().await?;
                }
            }
        }
        Ok(begun.elapsed())
    }
}

impl Drop for CoreNats {
    fn drop(&mut self) {
        self.service.abort();
    }
}
