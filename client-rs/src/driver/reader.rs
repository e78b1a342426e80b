//! Bytes on their way in.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use verteilt_protocol::{Frame, FrameError, decode};

use crate::transport::Transport;

/// Bytes asked of the transport at one time.
const READ_BYTES: usize = 64 * 1024;
/// Less room than this in the buffer: get more before reading.
const READ_BYTES_MIN: usize = 8 * 1024;

/// See the module.
#[derive(Default)]
pub(super) struct Inflow {
    buffer: BytesMut,
}

impl Inflow {
    /// Reads once. An end of the stream is an error here.
    pub(super) fn poll_read(
        &mut self,
        transport: &mut Box<dyn Transport>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.buffer.capacity() - self.buffer.len() < READ_BYTES_MIN {
            self.buffer.reserve(READ_BYTES);
        }
        let read = ready!(pin!(transport.read_buf(&mut self.buffer)).poll(context))?;
        if read == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        Poll::Ready(Ok(()))
    }

    /// The next whole frame.
    pub(super) fn frame(&mut self) -> Result<Option<Frame>, FrameError> {
        if self.buffer.is_empty() {
            return Ok(None);
        }
        decode(&mut self.buffer)
    }
}
