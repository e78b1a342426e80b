//! Bodies too large for one frame: the rest goes out in parts, as fast as the peer takes them.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use verteilt_core::JobId;

use super::bodies::{Bodies, Source};
use crate::convert::{FRAME_ROOM_BYTES, part};

/// The rest of one body.
#[derive(Debug)]
pub(super) struct Stream {
    id: JobId,
    token: u64,
    /// Of the DELIVER that it goes on from.
    correlation: u64,
    /// Parts with ids of their own, still to be looked up.
    parts: VecDeque<JobId>,
    /// What follows the parts.
    last: Bytes,
    /// The part that is being sent.
    current: Bytes,
    to_come: u64,
}

/// What a stream did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Sent a part; there may be more.
    Sent,
    /// All is sent.
    Ended,
    /// The next part has to be read.
    Needs(Source),
    /// The next part lies nowhere.
    Missing,
}

impl Stream {
    pub(super) fn new(
        (id, token, correlation): (JobId, u64, u64),
        parts: Vec<JobId>,
        last: Bytes,
        to_come: u64,
    ) -> Self {
        Self {
            id,
            token,
            correlation,
            parts: parts.into(),
            last,
            current: Bytes::new(),
            to_come,
        }
    }

    /// The job and the lease it is sent for.
    pub(super) fn lease(&self) -> (JobId, u64) {
        (self.id, self.token)
    }

    /// Sends the next part.
    pub(super) fn go_on(&mut self, out: &mut BytesMut, bodies: &Bodies) -> Progress {
        while self.current.is_empty() {
            match self.parts.front() {
                Some(id) => match bodies.find(*id) {
                    Ok((_, bytes)) => self.take_up(bytes),
                    Err(Some(source)) => return Progress::Needs(source),
                    Err(None) => return Progress::Missing,
                },
                None if self.last.is_empty() => return Progress::Ended,
                None => self.current = std::mem::take(&mut self.last),
            }
        }
        let now = self
            .current
            .split_to(self.current.len().min(FRAME_ROOM_BYTES));
        self.to_come -= now.len() as u64;
        let lease = (self.id.0, self.token);
        part(out, self.correlation, lease, self.to_come, &now);
        Progress::Sent
    }

    fn take_up(&mut self, bytes: Bytes) {
        self.parts.pop_front();
        self.current = bytes;
    }
}
