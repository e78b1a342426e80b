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

#[cfg(test)]
mod tests {
    use verteilt_protocol::{decode, wire};

    use super::*;
    use crate::engine::bodies::Loaded;
    use crate::store::{BlockMeta, Body};

    const SOURCE: Source = Source::Block {
        number: 1,
        parts: 1,
    };

    fn bodies() -> Bodies {
        let block = BlockMeta {
            number: 1,
            first_id: 1,
            last_id: 2,
            entries: 2,
            live: 2,
            bytes: 1_000_000,
            parts: 1,
        };
        // However small the cache is, what was read last can be sent.
        Bodies::new([block].into(), 1)
    }

    fn loaded(ids: &[u64]) -> Loaded {
        let body = |id: &u64| Body {
            id: *id,
            header_length: 0,
            bytes: vec![*id as u8; FRAME_ROOM_BYTES + 10].into(),
        };
        Loaded::Block(ids.iter().map(body).collect())
    }

    fn stream() -> Stream {
        let parts = vec![JobId(1), JobId(2)];
        let to_come = 2 * (FRAME_ROOM_BYTES as u64 + 10) + 3;
        Stream::new((JobId(9), 8, 7), parts, "end".into(), to_come)
    }

    #[test]
    fn parts_go_out_in_order_and_the_last_one_says_so() {
        let mut bodies = bodies();
        let mut stream = stream();
        let mut out = BytesMut::new();
        assert_eq!(stream.go_on(&mut out, &bodies), Progress::Needs(SOURCE));
        assert!(out.is_empty());
        bodies.add_loaded(SOURCE, loaded(&[1, 2]));
        let mut steps = 0;
        while stream.go_on(&mut out, &bodies) == Progress::Sent {
            steps += 1;
        }
        assert_eq!(stream.go_on(&mut out, &bodies), Progress::Ended);
        assert_eq!(steps, 5);
        let (mut body, mut to_come) = (Vec::new(), u64::MAX);
        while let Some(frame) = decode(&mut out).unwrap() {
            let part: wire::DeliverPart = frame.message().unwrap();
            assert_eq!((part.id, part.token, frame.correlation), (9, 8, 7));
            assert!(part.to_come < to_come);
            to_come = part.to_come;
            body.extend_from_slice(&frame.payload);
        }
        assert_eq!(to_come, 0);
        let long = FRAME_ROOM_BYTES + 10;
        assert_eq!(
            body,
            [vec![1; long], vec![2; long], b"end".to_vec()].concat()
        );
    }

    #[test]
    fn a_part_that_lies_nowhere_is_missed() {
        let mut bodies = bodies();
        bodies.add_loaded(SOURCE, loaded(&[2]));
        assert_eq!(
            stream().go_on(&mut BytesMut::new(), &bodies),
            Progress::Missing
        );
    }
}
