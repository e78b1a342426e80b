//! The first frame of each side: who is there, which version, which limits.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use verteilt_core::{JobId, SessionId};
use verteilt_protocol::limits::{
    BATCH_JOBS_MAX, BODY_BYTES_MAX, CLIENT_NAME_BYTES_MAX, FRAME_BYTES_MAX, HEADER_BYTES_MAX,
    HELD_LEASES_MAX, NAME_BYTES_MAX, NAMESPACE_DEFAULT,
};
use verteilt_protocol::{
    CAPABILITY_JOBS, CAPABILITY_REQUESTS, CAPABILITY_TOPICS, ErrorCode, Frame, FrameType, Name,
    VERSIONS, encode, wire,
};

use crate::convert::Bad;

/// A HELLO is a handful of short fields and the leases that are held; more is refused before it is
/// decoded.
const HELLO_BYTES_MAX: usize = 256 * 1024;

/// What WELCOME says on every connection of this run.
#[derive(Clone, Debug)]
pub(crate) struct Welcome {
    pub(crate) broker_id: [u8; 16],
    pub(crate) heartbeat_ms: u32,
    pub(crate) push_credit_bytes: u64,
}

/// What HELLO said.
#[derive(Debug)]
pub(crate) struct Greeting {
    pub(crate) session: SessionId,
    pub(crate) namespace: Arc<str>,
    pub(crate) client: String,
    /// The leases that the client still works on, if it names them.
    pub(crate) held: Option<Vec<(JobId, u64)>>,
    /// The correlation that WELCOME answers.
    pub(crate) hello: u64,
}

impl Welcome {
    /// The answer to the HELLO with this correlation.
    pub(crate) fn put(&self, out: &mut BytesMut, hello: u64, epoch: u64, leases_held: u32) {
        let message = wire::Welcome {
            version: *VERSIONS.end(),
            server_name: "verteilt".to_owned(),
            server_version: env!("CARGO_PKG_VERSION").to_owned(),
            capabilities: [CAPABILITY_JOBS, CAPABILITY_TOPICS, CAPABILITY_REQUESTS]
                .map(str::to_owned)
                .into(),
            broker_id: Bytes::copy_from_slice(&self.broker_id),
            epoch,
            limits: Some(wire::Limits {
                frame_bytes: FRAME_BYTES_MAX as u32,
                body_bytes: BODY_BYTES_MAX,
                header_bytes: HEADER_BYTES_MAX as u32,
                batch_jobs: BATCH_JOBS_MAX as u32,
                name_bytes: NAME_BYTES_MAX as u32,
            }),
            heartbeat_ms: self.heartbeat_ms,
            push_credit: self.push_credit_bytes,
            leases_held,
        };
        encode(out, FrameType::Welcome, 0, hello, &message, &[]);
    }
}

/// Reads HELLO. Whatever is wrong with it closes the connection.
pub(crate) fn greeting(frame: &Frame) -> Result<Greeting, Bad> {
    let bad = |code, message: String| Bad {
        code,
        message,
        close: true,
    };
    if frame.kind() != Some(FrameType::Hello) {
        let message = "the first frame must be HELLO".to_owned();
        return Err(bad(ErrorCode::HandshakeExpected, message));
    }
    if frame.meta.len() > HELLO_BYTES_MAX {
        let message = format!("HELLO is over {HELLO_BYTES_MAX} bytes");
        return Err(bad(ErrorCode::MalformedMessage, message));
    }
    let hello: wire::Hello = frame
        .message()
        .map_err(|error| bad(error.code(), error.to_string()))?;
    let (lowest, highest) = (*VERSIONS.start(), *VERSIONS.end());
    if hello.version_min > highest || hello.version_max < lowest {
        let message = format!(
            "the client speaks versions {} to {}, this broker {lowest} to {highest}",
            hello.version_min, hello.version_max
        );
        return Err(bad(ErrorCode::VersionUnsupported, message));
    }
    let Ok(session) = <[u8; 16]>::try_from(&hello.session[..]) else {
        let message = format!("session has {} bytes, not 16", hello.session.len());
        return Err(bad(ErrorCode::BadArgument, message));
    };
    let namespace = match hello.namespace.as_str() {
        "" => NAMESPACE_DEFAULT,
        name => name,
    };
    Name::check(namespace).map_err(|error| bad(ErrorCode::BadName, error.to_string()))?;
    let held = held(&hello).map_err(|message| bad(ErrorCode::BadArgument, message))?;
    let mut client = hello.client_name;
    while client.len() > CLIENT_NAME_BYTES_MAX {
        client.pop();
    }
    let session = SessionId(u128::from_le_bytes(session));
    Ok(Greeting {
        session,
        namespace: Arc::from(namespace),
        client,
        held,
        hello: frame.correlation,
    })
}

fn held(hello: &wire::Hello) -> Result<Option<Vec<(JobId, u64)>>, String> {
    let (ids, tokens) = (&hello.held_ids, &hello.held_tokens);
    if ids.len() != tokens.len() || ids.len() > HELD_LEASES_MAX {
        let (ids, tokens) = (ids.len(), tokens.len());
        return Err(format!(
            "{ids} held_ids and {tokens} held_tokens; as many of each, {HELD_LEASES_MAX} at most"
        ));
    }
    let leases = ids
        .iter()
        .zip(tokens)
        .map(|(id, token)| (JobId(*id), *token));
    Ok(hello.names_leases.then(|| leases.collect()))
}
