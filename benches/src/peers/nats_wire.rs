//! The protocol of NATS, as far as a load needs it.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf as _, Bytes};
use serde_json::json;

use super::wire::Wire;

const PROGRAM: &str = "nats-server";
/// Subjects of no stream.
const INBOX: &str = "_INBOX";
const PING: &[u8] = b"PING\r\n";

/// Beside the build, where `make bench-tools` puts it, or in the path.
pub(super) fn program() -> PathBuf {
    let tools = crate::program::tools_folder().ok();
    let ours = tools.map(|tools| tools.join("bin").join(PROGRAM));
    ours.filter(|path| path.exists())
        .unwrap_or_else(|| PROGRAM.into())
}

/// A connection that subscribes to an inbox of its own.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) wire: Wire,
    /// Where its answers come in; unlike jobs, they are of no stream.
    pub(super) inbox: String,
}

/// What came on a subscription.
pub(super) struct Message {
    pub(super) subject: Bytes,
    /// Where it is answered or acked.
    pub(super) reply: Option<Bytes>,
    pub(super) body: Bytes,
}

impl Connection {
    pub(super) async fn open(port: u16) -> Result<Self> {
        let mut wire = Wire::open(port).await?;
        let options = json!({
            "verbose": false, "pedantic": false, "headers": true, "no_responders": true,
            "lang": "rust", "version": "0", "protocol": 0,
        });
        let inbox = format!("{INBOX}.{}", wire.local_port()?);
        let hello = format!("CONNECT {options}\r\nSUB {inbox} 1\r\nPING\r\n");
        wire.send(hello.as_bytes()).await?;
        let (info, pong) = (wire.line().await?, wire.line().await?);
        let is_greeting = info.starts_with(b"INFO ") && pong.as_ref() == b"PONG";
        ensure!(is_greeting, "NATS greeted with {info:?} {pong:?}");
        Ok(Self { wire, inbox })
    }

    /// The next message, if all of it is here.
    pub(super) fn message_here(&mut self) -> Result<Option<Message>> {
        let incoming = &mut self.wire.incoming;
        // It asks once to see how far we are away. Nothing is lost if we do not say.
        if incoming.starts_with(PING) {
            incoming.advance(PING.len());
        }
        let Some(end) = incoming.windows(2).position(|two| two == b"\r\n") else {
            return Ok(None);
        };
        let line = std::str::from_utf8(&incoming[..end])?;
        let words: Vec<&str> = line.split(' ').collect();
        // MSG subject subscription [reply] bytes
        let (Some(&"MSG"), Some(length)) = (words.first(), words.last()) else {
            bail!("NATS said {line:?}");
        };
        let length: usize = length.parse()?;
        if incoming.len() < end + 2 + length + 2 {
            return Ok(None);
        }
        let has_reply = words.len() == 5;
        let line = incoming.split_to(end).freeze();
        incoming.advance(2);
        let body = incoming.split_to(length).freeze();
        incoming.advance(2);
        let word = |at: usize| {
            let words = line.split(|byte| *byte == b' ').nth(at);
            words.map(|word| line.slice_ref(word))
        };
        Ok(Some(Message {
            subject: word(1).context("no subject")?,
            reply: has_reply.then(|| word(3)).flatten(),
            body,
        }))
    }

    pub(super) async fn message(&mut self) -> Result<Message> {
        loop {
            if let Some(message) = self.message_here()? {
                return Ok(message);
            }
            self.wire.more().await?;
        }
    }
}

/// A message to a subject, which is answered where `reply` says.
pub(super) fn publish(subject: &str, reply: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("PUB {subject} {reply} {}\r\n", body.len());
    [head.as_bytes(), body, b"\r\n"].concat()
}
