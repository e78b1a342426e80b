//! A backup of a running broker, read over a connection of its own: so that it is as slow as
//! whoever writes it down, and nothing else waits behind it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};
use verteilt_protocol::limits::{HEARTBEAT_MS, HEARTBEATS_MISSED_MAX, ID_BYTES};
use verteilt_protocol::{
    CAPABILITY_JOBS, Frame, FrameType, VERSIONS, decode, encode, encode_empty, wire,
};

use crate::error::ClientError;
use crate::transport::{Connector, TcpConnector, Transport};
use crate::url::Address;

/// What one read asks the system for.
const READ_BYTES: usize = 256 * 1024;
/// From the first byte to WELCOME.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const HELLO_CORRELATION: u64 = 1;
const BACKUP_CORRELATION: u64 = 2;

/// A backup that is being read. Dropping it gives it up; the broker goes on in either case.
///
/// The bytes are to be written down as they come, and count as a backup only once
/// [`Backup::next`] has returned `None`.
pub struct Backup {
    transport: Box<dyn Transport>,
    buffer: BytesMut,
    heartbeat: Duration,
    beat: Instant,
    received: u64,
    summary: Option<BackupSummary>,
}

/// What a whole backup is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupSummary {
    /// It holds every durable event up to this log sequence number, and none after it.
    pub lsn: u64,
    /// Its length in bytes.
    pub bytes: u64,
}

impl Backup {
    /// Connects to the broker at `url` and asks for a backup: everything that was acknowledged
    /// before this call is in it.
    ///
    /// # Errors
    /// [`ClientError::Address`], [`ClientError::Connect`], and what the broker refuses.
    ///
    /// # Cancel safety
    /// Dropped, there is no backup.
    pub async fn begin(url: &str) -> Result<Self, ClientError> {
        let address = Address::parse(url)?;
        let connector = TcpConnector {
            host: address.host,
            port: address.port,
        };
        let failed = |source| ClientError::Connect {
            address: connector.address(),
            source: Arc::new(source),
        };
        let opening = async {
            let transport = connector.connect().await.map_err(failed)?;
            let mut backup = Self {
                transport,
                buffer: BytesMut::new(),
                heartbeat: Duration::from_millis(HEARTBEAT_MS.into()),
                beat: Instant::now(),
                received: 0,
                summary: None,
            };
            backup.open().await?;
            Ok(backup)
        };
        let opened = timeout(CONNECT_TIMEOUT, opening).await;
        opened.unwrap_or_else(|_| Err(failed(std::io::ErrorKind::TimedOut.into())))
    }

    async fn open(&mut self) -> Result<(), ClientError> {
        let mut session = [0; ID_BYTES];
        getrandom::fill(&mut session).map_err(|error| ClientError::BackupBrokenOff {
            reason: error.to_string(),
        })?;
        let hello = wire::Hello {
            version_min: *VERSIONS.start(),
            version_max: *VERSIONS.end(),
            client_name: "verteilt-backup".to_owned(),
            client_version: env!("CARGO_PKG_VERSION").to_owned(),
            capabilities: vec![CAPABILITY_JOBS.to_owned()],
            session: Bytes::copy_from_slice(&session),
            ..wire::Hello::default()
        };
        let mut out = BytesMut::new();
        encode(
            &mut out,
            FrameType::Hello,
            0,
            HELLO_CORRELATION,
            &hello,
            &[],
        );
        let request = wire::Backup {};
        let kind = FrameType::Backup;
        encode(&mut out, kind, 0, BACKUP_CORRELATION, &request, &[]);
        self.write(&out).await?;
        let frame = self.frame().await?;
        if frame.kind() != Some(FrameType::Welcome) {
            return Err(ClientError::protocol("something else came before WELCOME"));
        }
        let welcome: wire::Welcome = frame.message()?;
        if welcome.heartbeat_ms > 0 {
            self.heartbeat = Duration::from_millis(welcome.heartbeat_ms.into());
        }
        self.beat = Instant::now() + self.heartbeat;
        Ok(())
    }

    /// The next bytes; `None` when all have come.
    ///
    /// # Errors
    /// [`ClientError::BackupBrokenOff`] when the connection or the broker ended, and what the
    /// broker refuses. Then there is no backup.
    ///
    /// # Cancel safety
    /// Dropped, no byte is lost; call it again.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        if self.summary.is_some() {
            return Ok(None);
        }
        loop {
            let frame = self.frame().await?;
            match frame.kind() {
                Some(FrameType::BackupData) => {
                    let data: wire::BackupData = frame.message()?;
                    if data.offset != self.received {
                        return Err(ClientError::protocol("a piece of the backup is missing"));
                    }
                    self.received += frame.payload.len() as u64;
                    return Ok(Some(frame.payload));
                }
                Some(FrameType::BackupDone) => {
                    let done: wire::BackupDone = frame.message()?;
                    if done.bytes != self.received {
                        return Err(ClientError::protocol("the backup has another length"));
                    }
                    self.summary = Some(BackupSummary {
                        lsn: done.lsn,
                        bytes: done.bytes,
                    });
                    return Ok(None);
                }
                _ => {}
            }
        }
    }

    /// What it is, once [`Backup::next`] has returned `None`.
    #[must_use]
    pub fn summary(&self) -> Option<BackupSummary> {
        self.summary
    }

    /// The next frame that is no heartbeat and no refusal.
    async fn frame(&mut self) -> Result<Frame, ClientError> {
        let silence_max = self.heartbeat * HEARTBEATS_MISSED_MAX;
        let mut heard = Instant::now();
        loop {
            if Instant::now() >= self.beat {
                self.beat = Instant::now() + self.heartbeat;
                let mut out = BytesMut::new();
                encode_empty(&mut out, FrameType::Heartbeat, 0, 0);
                self.write(&out).await?;
            }
            while let Some(frame) = decode(&mut self.buffer)? {
                match frame.kind() {
                    Some(FrameType::Error) => return Err(ClientError::refused(frame.message()?)),
                    Some(FrameType::Goodbye) => {
                        return Err(broken_off("the broker is going down"));
                    }
                    Some(FrameType::Heartbeat) | None => {}
                    Some(_) => return Ok(frame),
                }
            }
            self.buffer.reserve(READ_BYTES);
            let until = self.beat.min(heard + silence_max);
            match timeout_at(until, self.transport.read_buf(&mut self.buffer)).await {
                Ok(Ok(0)) => return Err(broken_off("the broker closed the connection")),
                Ok(Ok(_)) => heard = Instant::now(),
                Ok(Err(error)) => return Err(broken_off(&error.to_string())),
                Err(_) if heard.elapsed() >= silence_max => {
                    return Err(broken_off("nothing came for two heartbeats"));
                }
                Err(_) => {}
            }
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        let written = async {
            self.transport.write_all(bytes).await?;
            self.transport.flush().await
        };
        written
            .await
            .map_err(|error| broken_off(&error.to_string()))
    }
}

fn broken_off(reason: &str) -> ClientError {
    ClientError::BackupBrokenOff {
        reason: reason.to_owned(),
    }
}

impl fmt::Debug for Backup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backup")
            .field("received", &self.received)
            .field("summary", &self.summary)
            .finish_non_exhaustive()
    }
}
