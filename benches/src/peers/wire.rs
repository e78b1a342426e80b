//! A connection to a peer, and keeping requests in flight on it.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::Load;
use crate::share;

/// Room for one read; several answers' worth.
const READ_BYTES: usize = 128 * 1024;

/// A connection.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    /// What has come and has not been taken.
    pub(super) incoming: BytesMut,
}

impl Wire {
    pub(super) async fn open(port: u16) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let incoming = BytesMut::with_capacity(READ_BYTES);
        Ok(Self { stream, incoming })
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes).await?)
    }

    /// Tells this connection from others.
    pub(super) fn local_port(&self) -> Result<u16> {
        Ok(self.stream.local_addr()?.port())
    }

    /// Waits for more to come.
    pub(super) async fn more(&mut self) -> Result<()> {
        self.incoming.reserve(READ_BYTES);
        let bytes = self.stream.read_buf(&mut self.incoming).await?;
        ensure!(bytes > 0, "the peer closed the connection");
        Ok(())
    }

    /// Takes a line, without its end, if it is here.
    pub(super) fn line_here(&mut self) -> Option<Bytes> {
        let end = self.incoming.windows(2).position(|two| two == b"\r\n")?;
        let line = self.incoming.split_to(end).freeze();
        self.incoming.advance(2);
        Some(line)
    }

    /// Takes a line, without its end.
    pub(super) async fn line(&mut self) -> Result<Bytes> {
        loop {
            if let Some(line) = self.line_here() {
                return Ok(line);
            }
            self.more().await?;
        }
    }

    /// Takes so many bytes.
    pub(super) async fn take(&mut self, bytes: usize) -> Result<Bytes> {
        while self.incoming.len() < bytes {
            self.more().await?;
        }
        Ok(self.incoming.split_to(bytes).freeze())
    }
}

/// A protocol whose answers can be counted as they come.
pub(super) trait Answers: Send + 'static {
    fn wire(&mut self) -> &mut Wire;

    /// One push.
    fn request(&self, body: &[u8]) -> Vec<u8>;

    /// Takes the answers to pushes that are here whole, and says how many they answer.
    fn take_answers(&mut self) -> Result<u64>;
}

/// All pushes of a load, as many unanswered on each connection as it says.
pub(super) async fn push_all<C: Answers>(connections: Vec<C>, load: &Load) -> Result<Duration> {
    let of = connections.len();
    let (mut tasks, begun) = (JoinSet::new(), Instant::now());
    for (at, connection) in connections.into_iter().enumerate() {
        let one = connection.request(&load.body);
        tasks.spawn(push_share(
            connection,
            share(load.jobs, at, of),
            one,
            load.in_flight,
        ));
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(begun.elapsed())
}

async fn push_share(
    mut connection: impl Answers,
    jobs: u64,
    one: Vec<u8>,
    in_flight: usize,
) -> Result<()> {
    let window = one.repeat(in_flight);
    let (mut sent, mut answered) = (0, 0);
    while answered < jobs {
        let next = jobs.min(answered + in_flight as u64) - sent;
        let requests = &window[..next as usize * one.len()];
        connection.wire().send(requests).await?;
        sent += next;
        // All that has come makes room for as many.
        answered += some_answers(&mut connection).await?;
    }
    Ok(())
}

/// Waits for at least one answer.
pub(super) async fn some_answers(connection: &mut impl Answers) -> Result<u64> {
    loop {
        let answers = connection.take_answers()?;
        if answers > 0 {
            return Ok(answers);
        }
        connection.wire().more().await?;
    }
}

/// One connection for each of a load.
pub(super) async fn open_all<C, F: Future<Output = Result<C>>>(
    load: &Load,
    open: impl Fn() -> F,
) -> Result<Vec<C>> {
    let mut connections = Vec::new();
    for _ in 0..load.connections {
        connections.push(open().await.context("connecting")?);
    }
    Ok(connections)
}
