//! From nothing to a connection on which frames may flow.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::future::poll_fn;
use tokio::io::AsyncWriteExt;
use verteilt_protocol::{
    CAPABILITY_JOBS, CAPABILITY_TOPICS, ErrorCode, Frame, FrameType, VERSIONS, encode, limits, wire,
};

use super::reader::Inflow;
use crate::batch::FrameLimits;
use crate::error::ClientError;
use crate::shared::Shared;
use crate::transport::Transport;

/// HELLO takes the first correlation of a connection.
const HELLO_CORRELATION: u64 = 1;

/// A connection after its handshake.
pub(super) struct Connection {
    pub(super) transport: Box<dyn Transport>,
    pub(super) inflow: Inflow,
    pub(super) welcome: wire::Welcome,
    pub(super) correlation: u64,
}

/// Connects and says hello, within the connect timeout; `held` are the leases that jobs or
/// unanswered settlings still stand for.
pub(super) async fn connect(
    shared: &Shared,
    held: &[(u64, u64)],
) -> Result<Connection, ClientError> {
    let limit = shared.config.connect_timeout;
    let attempt = tokio::time::timeout(limit, connect_unbounded(shared, held)).await;
    attempt.unwrap_or_else(|_| {
        let source = std::io::Error::new(
            std::io::ErrorKind::TimedOut,
            format!("no connection and welcome within {limit:?}"),
        );
        Err(connect_error(shared, source))
    })
}

async fn connect_unbounded(
    shared: &Shared,
    held: &[(u64, u64)],
) -> Result<Connection, ClientError> {
    let failed = |source| connect_error(shared, source);
    let mut transport = shared.config.connector.connect().await.map_err(failed)?;
    let mut out = BytesMut::new();
    encode(
        &mut out,
        FrameType::Hello,
        0,
        HELLO_CORRELATION,
        &hello(shared, held),
        &[],
    );
    let said = match transport.write_all(&out).await {
        Ok(()) => transport.flush().await,
        failed => failed,
    };
    let mut inflow = Inflow::default();
    let welcome = loop {
        let Some(frame) = inflow.frame()? else {
            let read = poll_fn(|context| inflow.poll_read(&mut transport, context));
            // A broker that takes no more connections says why and closes at once, perhaps before it
            // was greeted: its reason counts for more than that it could not be.
            if let Err(error) = read.await {
                return Err(failed(said.err().unwrap_or(error)));
            }
            continue;
        };
        if let Some(welcome) = welcome(&frame)? {
            break welcome;
        }
    };
    Ok(Connection {
        transport,
        inflow,
        welcome,
        correlation: HELLO_CORRELATION,
    })
}

fn connect_error(shared: &Shared, source: std::io::Error) -> ClientError {
    let address = shared.config.connector.address();
    ClientError::Connect {
        address,
        source: Arc::new(source),
    }
}

fn hello(shared: &Shared, held: &[(u64, u64)]) -> wire::Hello {
    let (held_ids, held_tokens) = held.iter().copied().take(limits::HELD_LEASES_MAX).unzip();
    let config = &shared.config;
    wire::Hello {
        version_min: *VERSIONS.start(),
        version_max: *VERSIONS.end(),
        client_name: config.client_name.clone(),
        client_version: env!("CARGO_PKG_VERSION").to_owned(),
        capabilities: [CAPABILITY_JOBS, CAPABILITY_TOPICS]
            .map(str::to_owned)
            .into(),
        authentication: None,
        namespace: config
            .namespace
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        session: Bytes::copy_from_slice(&config.session),
        held_ids,
        held_tokens,
        names_leases: true,
    }
}

/// `None`: a frame that may come before WELCOME.
fn welcome(frame: &Frame) -> Result<Option<wire::Welcome>, ClientError> {
    match frame.kind() {
        Some(FrameType::Welcome) => {
            let welcome: wire::Welcome = frame.message()?;
            if VERSIONS.contains(&welcome.version) {
                return Ok(Some(welcome));
            }
            let text = format!("the broker chose protocol version {}", welcome.version);
            Err(ClientError::refused(
                ErrorCode::VersionUnsupported.error(text),
            ))
        }
        Some(FrameType::Error) => Err(ClientError::refused(frame.message()?)),
        Some(FrameType::Heartbeat) => Ok(None),
        _ => Err(ClientError::protocol(format!(
            "a frame of type {:#04x} came instead of WELCOME",
            frame.frame_type
        ))),
    }
}

/// What the broker announced, within what this client was made for.
pub(super) fn frame_limits(welcome: &wire::Welcome) -> FrameLimits {
    let known = FrameLimits::PROTOCOL;
    let Some(announced) = &welcome.limits else {
        return known;
    };
    let at_most = |known: usize, announced: u32| match announced {
        0 => known,
        _ => known.min(announced as usize),
    };
    FrameLimits {
        // Below this nothing useful fits.
        frame_bytes: at_most(known.frame_bytes, announced.frame_bytes).max(4 * 1024),
        body_bytes: match announced.body_bytes {
            0 => known.body_bytes,
            bytes => known.body_bytes.min(bytes),
        },
        header_bytes: at_most(known.header_bytes, announced.header_bytes),
        batch_jobs: at_most(known.batch_jobs, announced.batch_jobs),
    }
}

/// Milliseconds between heartbeats; 0 announces none, and the protocol's number is used.
pub(super) fn heartbeat_ms(welcome: &wire::Welcome) -> u64 {
    match welcome.heartbeat_ms {
        0 => u64::from(limits::HEARTBEAT_MS),
        ms => u64::from(ms.max(20)),
    }
}
