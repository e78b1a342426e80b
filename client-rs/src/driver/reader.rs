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
/// Room for this many frames as large as the largest of late, while that is no more than the maximum.
const READ_FRAMES: usize = 4;
const READ_BYTES_MAX: usize = 512 * 1024;

/// See the module.
#[derive(Default)]
pub(super) struct Inflow {
    buffer: BytesMut,
    /// Of the largest one of late: what a smaller one leaves of it shrinks.
    frame_bytes: usize,
}

impl Inflow {
    /// Reads once. An end of the stream is an error here.
    pub(super) fn poll_read(
        &mut self,
        transport: &mut Box<dyn Transport>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        self.make_room();
        let read = ready!(pin!(transport.read_buf(&mut self.buffer)).poll(context))?;
        if read == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        Poll::Ready(Ok(()))
    }

    // What has come of a frame that does not fit has to be copied into a larger buffer. So another one
    // is begun where the next frame would hardly fit.
    fn make_room(&mut self) {
        let room = self.buffer.capacity() - self.buffer.len();
        let next = if self.buffer.is_empty() {
            self.frame_bytes.min(READ_BYTES_MAX / 2)
        } else {
            0
        };
        if room >= READ_BYTES_MIN.max(next) {
            return;
        }
        let frames = (READ_FRAMES * self.frame_bytes).min(READ_BYTES_MAX);
        let bytes = frames.max(READ_BYTES);
        if self.buffer.is_empty() && self.buffer.try_reclaim(bytes) {
            return;
        }
        let mut larger = BytesMut::with_capacity(self.buffer.len() + bytes);
        larger.extend_from_slice(&self.buffer);
        self.buffer = larger;
    }

    /// The next whole frame.
    pub(super) fn frame(&mut self) -> Result<Option<Frame>, FrameError> {
        if self.buffer.is_empty() {
            return Ok(None);
        }
        let before = self.buffer.len();
        let frame = decode(&mut self.buffer)?;
        if frame.is_some() {
            let bytes = before - self.buffer.len();
            self.frame_bytes = bytes.max(self.frame_bytes / 8 * 7);
        }
        Ok(frame)
    }
}
