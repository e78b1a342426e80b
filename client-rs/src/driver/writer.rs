//! Frames on their way out: small ones are gathered in one buffer, large payloads are written from
//! where they are.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use prost::Message;
use tokio::io::AsyncWrite;
use verteilt_protocol::{FrameType, encode, encode_empty};

use crate::transport::Transport;

/// Bytes waiting to be written above which the driver takes no more: what callers push meanwhile
/// makes the next frames larger instead.
pub(super) const OUTBOX_BYTES: usize = 512 * 1024;
/// Payloads up to this are copied behind their message: cheaper than one more slice.
const COPIED_BYTES: usize = 8 * 1024;
/// Slices of one write.
const SLICES: usize = 32;

/// See the module.
#[derive(Default)]
pub(super) struct Outbox {
    segments: VecDeque<Bytes>,
    tail: BytesMut,
    bytes: usize,
    unflushed: bool,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0 && !self.unflushed
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes >= OUTBOX_BYTES
    }

    /// Appends frames that `encode` writes.
    pub(super) fn frames(&mut self, encode: impl FnOnce(&mut BytesMut)) {
        let before = self.tail.len();
        encode(&mut self.tail);
        self.bytes += self.tail.len() - before;
    }

    /// Appends a frame without message.
    pub(super) fn empty(&mut self, kind: FrameType, correlation: u64) {
        self.frames(|out| encode_empty(out, kind, 0, correlation));
    }

    /// Appends a frame with a payload that is already in memory.
    pub(super) fn with_payload<M: Message>(
        &mut self,
        kind: FrameType,
        correlation: u64,
        message: &M,
        payload: &Bytes,
    ) {
        if payload.len() <= COPIED_BYTES {
            self.frames(|out| encode(out, kind, 0, correlation, message, payload));
            return;
        }
        let start = self.tail.len();
        self.frames(|out| encode(out, kind, 0, correlation, message, &[]));
        // The header stands there without its payload: add that to the length in front.
        let mut length = [0; 4];
        length.copy_from_slice(&self.tail[start..start + 4]);
        let length = u32::from_le_bytes(length) + payload.len() as u32;
        self.tail[start..start + 4].copy_from_slice(&length.to_le_bytes());
        self.segments.push_back(self.tail.split().freeze());
        self.segments.push_back(payload.clone());
        self.bytes += payload.len();
    }

    /// Writes as much as the transport takes. `Ready`: all of it, and whether it was anything.
    pub(super) fn poll_write(
        &mut self,
        transport: &mut Box<dyn Transport>,
        context: &mut Context<'_>,
        wrote: &mut bool,
    ) -> Poll<io::Result<()>> {
        while self.bytes > 0 {
            let written = ready!(self.poll_write_some(transport, context))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *wrote = true;
            self.unflushed = true;
            self.advance(written);
        }
        if self.unflushed {
            ready!(Pin::new(transport).poll_flush(context))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_some(
        &self,
        transport: &mut Box<dyn Transport>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let transport = Pin::new(transport);
        if self.segments.is_empty() {
            return transport.poll_write(context, &self.tail);
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let filled = self
            .segments
            .iter()
            .map(Bytes::as_ref)
            .chain([self.tail.as_ref()]);
        let mut count = 0;
        for (slot, bytes) in slices.iter_mut().zip(filled) {
            *slot = IoSlice::new(bytes);
            count += 1;
        }
        transport.poll_write_vectored(context, &slices[..count])
    }

    fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        while let Some(front) = self.segments.front_mut() {
            if written < front.len() {
                front.advance(written);
                return;
            }
            written -= front.len();
            self.segments.pop_front();
        }
        if written == self.tail.len() {
            // Keeps the memory.
            self.tail.clear();
        } else {
            self.tail.advance(written);
        }
    }
}

#[cfg(test)]
mod tests {
    use verteilt_protocol::{decode, wire};

    use super::*;

    #[test]
    fn frames_with_large_and_small_payloads_come_out_in_order() {
        let mut outbox = Outbox::default();
        let large = Bytes::from(vec![7; 100_000]);
        let small = Bytes::from_static(b"small");
        let part = wire::PushPart {
            upload: 3,
            index: 1,
        };
        outbox.empty(FrameType::Heartbeat, 0);
        outbox.with_payload(FrameType::PushPart, 1, &part, &large);
        outbox.with_payload(FrameType::PushPart, 2, &part, &small);
        let mut stream = BytesMut::new();
        while outbox.bytes > 0 {
            // Takes odd pieces, as a socket may.
            let all: Vec<u8> = outbox
                .segments
                .iter()
                .flatten()
                .chain(&outbox.tail)
                .copied()
                .collect();
            assert_eq!(all.len(), outbox.bytes);
            let piece = all.len().min(33_333);
            stream.extend_from_slice(&all[..piece]);
            outbox.advance(piece);
        }
        assert_eq!(
            decode(&mut stream).unwrap().unwrap().kind(),
            Some(FrameType::Heartbeat)
        );
        let frame = decode(&mut stream).unwrap().unwrap();
        assert_eq!((frame.correlation, frame.payload), (1, large));
        let frame = decode(&mut stream).unwrap().unwrap();
        assert_eq!((frame.correlation, frame.payload), (2, small));
        assert!(decode(&mut stream).unwrap().is_none() && stream.is_empty());
    }
}
