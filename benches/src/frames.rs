//! What a client that gathers nothing would send: PUSH frames of one job each, [`WINDOW`] unanswered on
//! a connection, written straight to the socket.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use verteilt_protocol::{Frame, FrameType, VERSIONS, decode, encode, wire};

use crate::{CONNECTIONS, QUEUE, WINDOW, share};

/// Pushes `jobs` on [`CONNECTIONS`] connections. How long that took, and their ids, sorted.
///
/// # Errors
/// Anything but an acknowledgement of each.
pub async fn push(url: &str, jobs: u64, body: &Bytes) -> Result<(Duration, Vec<u64>)> {
    let address = url.strip_prefix("verteilt://").unwrap_or(url);
    let mut connections = Vec::new();
    for at in 0..CONNECTIONS {
        connections.push(Connection::open(address, at as u8).await?);
    }
    let mut tasks = JoinSet::new();
    let begun = Instant::now();
    for (at, connection) in connections.into_iter().enumerate() {
        tasks.spawn(connection.push(share(jobs, at, CONNECTIONS), body.clone()));
    }
    let mut ids = Vec::with_capacity(jobs as usize);
    while let Some(done) = tasks.join_next().await {
        ids.extend(done??);
    }
    let took = begun.elapsed();
    ids.sort_unstable();
    Ok((took, ids))
}

struct Connection {
    stream: TcpStream,
    incoming: BytesMut,
    outgoing: BytesMut,
    producer: Bytes,
}

impl Connection {
    async fn open(address: &str, number: u8) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let producer = Bytes::from(vec![number + 1; 16]);
        let mut this = Self {
            stream,
            incoming: BytesMut::new(),
            outgoing: BytesMut::new(),
            producer: producer.clone(),
        };
        let hello = wire::Hello {
            version_min: *VERSIONS.start(),
            version_max: *VERSIONS.end(),
            client_name: "verteilt-benches".to_owned(),
            session: producer,
            ..wire::Hello::default()
        };
        encode(&mut this.outgoing, FrameType::Hello, 0, 1, &hello, &[]);
        this.send().await?;
        let frame = this.frame().await?;
        ensure!(frame.kind() == Some(FrameType::Welcome), "no WELCOME came");
        Ok(this)
    }

    async fn push(mut self, jobs: u64, body: Bytes) -> Result<Vec<u64>> {
        let mut message = wire::Push {
            queue: QUEUE.to_owned(),
            producer: self.producer.clone(),
            body_lengths: vec![body.len() as u32],
            ..wire::Push::default()
        };
        let mut ids = Vec::with_capacity(jobs as usize);
        let mut sent = 0;
        while (ids.len() as u64) < jobs {
            let most = jobs.min(ids.len() as u64 + WINDOW as u64);
            while sent < most {
                sent += 1;
                message.sequence = sent;
                let correlation = sent + 1;
                encode(
                    &mut self.outgoing,
                    FrameType::Push,
                    0,
                    correlation,
                    &message,
                    &body,
                );
            }
            self.send().await?;
            self.answers(&mut ids).await?;
        }
        Ok(ids)
    }

    /// At least one frame, and all others that came with it.
    async fn answers(&mut self, ids: &mut Vec<u64>) -> Result<()> {
        let mut next = Some(self.frame().await?);
        while let Some(frame) = next {
            match frame.kind() {
                Some(FrameType::Pushed) => {
                    let pushed: wire::Pushed = frame.message()?;
                    ids.extend(pushed.results.iter().map(|result| result.first_id));
                }
                Some(FrameType::PushCredit | FrameType::Heartbeat) => {}
                Some(FrameType::Error) => bail!("refused: {:?}", frame.message::<wire::Error>()?),
                _ => bail!("a frame of type {} came", frame.frame_type),
            }
            next = decode(&mut self.incoming)?;
        }
        Ok(())
    }

    async fn frame(&mut self) -> Result<Frame> {
        loop {
            if let Some(frame) = decode(&mut self.incoming)? {
                return Ok(frame);
            }
            self.incoming.reserve(64 * 1024);
            let bytes = self.stream.read_buf(&mut self.incoming).await?;
            (bytes > 0)
                .then_some(())
                .context("the broker closed the connection")?;
        }
    }

    async fn send(&mut self) -> Result<()> {
        self.stream.write_all(&self.outgoing).await?;
        self.outgoing.clear();
        Ok(())
    }
}
