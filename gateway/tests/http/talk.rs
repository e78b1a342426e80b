//! One connection, read piece by piece.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Far longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) struct Talk {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Talk {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    pub(crate) async fn say(&mut self, text: impl AsRef<[u8]>) {
        self.stream.write_all(text.as_ref()).await.unwrap();
    }

    /// As [`Self::say`], of bytes that the other side may refuse. False: it has.
    pub(crate) async fn try_say(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    pub(crate) async fn close_writing(&mut self) {
        // Closed by the other side already, maybe.
        let _ = self.stream.shutdown().await;
    }

    /// Whether an answer has begun to come.
    pub(crate) async fn has_come(&mut self) -> bool {
        match self.stream.try_read_buf(&mut self.buffer) {
            Ok(bytes) => bytes > 0,
            Err(_) => !self.buffer.is_empty(),
        }
    }

    /// Status line and header fields, in lower case.
    pub(crate) async fn head(&mut self) -> String {
        let end = self.find(b"\r\n\r\n").await;
        let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
        String::from_utf8(head).unwrap().to_lowercase()
    }

    /// A chunk of a chunked body; empty: its end.
    pub(crate) async fn chunk(&mut self) -> Vec<u8> {
        let end = self.find(b"\r\n").await;
        let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
        let length = usize::from_str_radix(std::str::from_utf8(&line[..end]).unwrap(), 16).unwrap();
        let mut chunk = self.bytes(length + 2).await;
        chunk.truncate(length);
        chunk
    }

    pub(crate) async fn bytes(&mut self, length: usize) -> Vec<u8> {
        while self.buffer.len() < length {
            assert!(self.more().await, "the connection ended early");
        }
        self.buffer.drain(..length).collect()
    }

    /// Everything up to the end of the connection.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.buffer)
    }

    async fn find(&mut self, what: &[u8]) -> usize {
        loop {
            let mut windows = self.buffer.windows(what.len());
            if let Some(at) = windows.position(|window| window == what) {
                return at;
            }
            assert!(
                self.more().await,
                "the connection ended early: {:?}",
                String::from_utf8_lossy(&self.buffer)
            );
        }
    }

    /// False: the end.
    async fn more(&mut self) -> bool {
        let read = self.stream.read_buf(&mut self.buffer);
        let read = tokio::time::timeout(DEADLINE, read).await.unwrap();
        matches!(read, Ok(bytes) if bytes > 0)
    }
}
