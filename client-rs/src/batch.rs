//! Push and publish frames under construction: one for each (queue or topic, options), filled by
//! callers, taken by the driver whenever it can write.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use prost::Message;
use tokio::time::Instant;
use verteilt_protocol::{Name, wire};

use crate::completion::Completion;
use crate::error::ClientError;
use crate::options::{BatchKey, Durability};

/// Payload bytes at which a frame of several jobs is cut: a quarter of the broker's first credit, so
/// that several frames are on their way at once.
const BATCH_BYTES: usize = 256 * 1024;
/// Frames open at one time; with more queues or options than this the oldest is cut.
const OPEN_MAX: usize = 64;
/// Payload buffers kept for the next frames.
const SPARE_MAX: usize = 4;
/// Bytes that a job costs beside its body and headers: lengths, wakers, a share of the frame.
pub(crate) const JOB_OVERHEAD_BYTES: usize = 64;
/// Most bytes of a PUSH message beside its lists of lengths.
const MESSAGE_BYTES_MAX: usize = 512;
/// Most bytes that a job or record adds to the lists of lengths: three numbers below 2^21.
const LENGTHS_BYTES_MAX: usize = 9;

/// What the broker said about a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    /// The first job, or the offset of the first record.
    pub(crate) first_id: u64,
    /// Of records.
    pub(crate) partition: u32,
    pub(crate) durability: Durability,
    pub(crate) duplicate: bool,
}

pub(crate) type PushCompletion = Completion<Result<Taken, ClientError>>;

/// A call's place in a frame.
pub(crate) struct Ticket {
    pub(crate) completion: Arc<PushCompletion>,
    /// Which job of the frame.
    pub(crate) slot: u32,
}

/// The limits that the broker announced, or those of the protocol before it has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameLimits {
    pub(crate) frame_bytes: usize,
    pub(crate) body_bytes: u64,
    pub(crate) header_bytes: usize,
    pub(crate) batch_jobs: usize,
}

impl FrameLimits {
    pub(crate) const PROTOCOL: Self = Self {
        frame_bytes: verteilt_protocol::limits::FRAME_BYTES_MAX,
        body_bytes: verteilt_protocol::limits::BODY_BYTES_MAX,
        header_bytes: verteilt_protocol::limits::HEADER_BYTES_MAX,
        batch_jobs: verteilt_protocol::limits::BATCH_JOBS_MAX,
    };

    /// Bytes of headers and body that still go into one frame; above it the body goes in parts.
    pub(crate) fn single_bytes(&self) -> usize {
        let margin = self.frame_bytes.min(64 * 1024) / 2 + MESSAGE_BYTES_MAX;
        verteilt_protocol::limits::PART_BYTES.min(self.frame_bytes.saturating_sub(margin))
    }
}

/// A frame that is complete but for its sequence.
pub(crate) struct PushBatch {
    pub(crate) queue: String,
    pub(crate) key: BatchKey,
    pub(crate) body_lengths: Vec<u32>,
    pub(crate) header_lengths: Vec<u32>,
    /// Of records.
    pub(crate) key_lengths: Vec<u32>,
    pub(crate) payload: BytesMut,
    /// The body of the only job, when it is too large for a frame.
    pub(crate) upload: Option<Bytes>,
    /// Bytes to give back to the budget when it is answered.
    pub(crate) cost_bytes: usize,
    pub(crate) deadline: Option<Instant>,
    pub(crate) completion: Arc<PushCompletion>,
}

impl PushBatch {
    /// `now` is asked for only if the frame has a deadline.
    pub(crate) fn new(queue: &str, key: BatchKey, jobs: usize, payload: BytesMut) -> Self {
        Self {
            queue: queue.to_owned(),
            key,
            body_lengths: Vec::with_capacity(jobs),
            header_lengths: Vec::new(),
            key_lengths: Vec::new(),
            payload,
            upload: None,
            cost_bytes: 0,
            deadline: key.deadline.map(|after| Instant::now() + after),
            completion: Arc::new(Completion::with_capacity(jobs)),
        }
    }

    pub(crate) fn jobs(&self) -> usize {
        self.body_lengths.len()
    }

    fn has_room(&self, jobs: usize, bytes: usize, limits: &FrameLimits) -> bool {
        let jobs = self.jobs() + jobs;
        let bytes = self.payload.len() + bytes;
        jobs <= limits.batch_jobs
            && bytes <= BATCH_BYTES
            && bytes + jobs * LENGTHS_BYTES_MAX + MESSAGE_BYTES_MAX <= limits.frame_bytes
    }

    /// Appends a record: key, header block, then value.
    pub(crate) fn append_record(
        &mut self,
        key: Option<&[u8]>,
        value: &[u8],
        headers: Option<&wire::Headers>,
    ) {
        if let Some(key) = key {
            self.payload.extend_from_slice(key);
            self.cost_bytes += key.len();
            // The records before this one had none.
            self.key_lengths.resize(self.body_lengths.len(), 0);
        }
        if key.is_some() || !self.key_lengths.is_empty() {
            self.key_lengths.push(key.map_or(0, <[u8]>::len) as u32);
        }
        self.append(value, headers);
    }

    /// Appends a job: header block, then body.
    pub(crate) fn append(&mut self, body: &[u8], headers: Option<&wire::Headers>) {
        let mut header_bytes = 0;
        if let Some(headers) = headers {
            let before = self.payload.len();
            headers
                .encode(&mut self.payload)
                .expect("a BytesMut grows as needed");
            header_bytes = self.payload.len() - before;
            // The jobs before this one had none.
            self.header_lengths.resize(self.body_lengths.len(), 0);
        }
        if headers.is_some() || !self.header_lengths.is_empty() {
            self.header_lengths.push(header_bytes as u32);
        }
        self.payload.extend_from_slice(body);
        // Both lengths are below the frame limit.
        self.body_lengths.push(body.len() as u32);
        self.cost_bytes += body.len() + header_bytes + JOB_OVERHEAD_BYTES;
    }
}

/// All frames that the driver has not taken yet. Bounded by the client's budget of bytes.
pub(crate) struct PushQueue {
    pub(crate) limits: FrameLimits,
    open: Vec<PushBatch>,
    sealed: VecDeque<PushBatch>,
    spare: Vec<BytesMut>,
    jobs_last: usize,
    payload_last_bytes: usize,
    /// Jobs in here, for the driver's judgement whether more are coming.
    pub(crate) jobs: usize,
}

impl PushQueue {
    pub(crate) fn new() -> Self {
        Self {
            limits: FrameLimits::PROTOCOL,
            open: Vec::new(),
            sealed: VecDeque::new(),
            spare: Vec::new(),
            jobs_last: 4,
            payload_last_bytes: 1024,
            jobs: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.jobs == 0
    }

    /// The open frame of this queue and key with room for so many jobs and bytes more.
    pub(crate) fn batch_for(
        &mut self,
        queue: &str,
        key: &BatchKey,
        jobs: usize,
        bytes: usize,
    ) -> Result<&mut PushBatch, ClientError> {
        self.jobs += jobs;
        // The last one opened is the likeliest.
        let known = self
            .open
            .iter()
            .rposition(|batch| batch.queue == queue && batch.key == *key);
        if let Some(at) = known {
            if self.open[at].has_room(jobs, bytes, &self.limits) {
                return Ok(&mut self.open[at]);
            }
            let full = self.open.remove(at);
            self.sealed.push_back(full);
        } else {
            check_name(queue).inspect_err(|_| self.jobs -= jobs)?;
            if self.open.len() == OPEN_MAX {
                let oldest = self.open.remove(0);
                self.sealed.push_back(oldest);
            }
        }
        let payload = self.payload_buffer(bytes);
        self.open.push(PushBatch::new(
            queue,
            *key,
            self.jobs_last.max(jobs),
            payload,
        ));
        Ok(self
            .open
            .last_mut()
            .expect("one was pushed in the line above"))
    }

    fn payload_buffer(&mut self, bytes: usize) -> BytesMut {
        match self.spare.pop() {
            Some(buffer) => buffer,
            None => BytesMut::with_capacity(self.payload_last_bytes.max(bytes)),
        }
    }

    /// A frame of one job whose body goes in parts. It keeps its place among the others.
    pub(crate) fn append_upload(
        &mut self,
        queue: &str,
        key: &BatchKey,
        body: Bytes,
        headers: Option<&wire::Headers>,
        budget_bytes: usize,
    ) -> Result<Ticket, ClientError> {
        check_name(queue)?;
        let mut batch = PushBatch::new(queue, *key, 1, BytesMut::new());
        batch.append(&[], headers);
        // A body larger than the whole budget has taken all of it, not more.
        batch.cost_bytes = (batch.cost_bytes + body.len()).min(budget_bytes);
        batch.upload = Some(body);
        // What was opened before goes before.
        self.sealed.extend(self.open.drain(..));
        self.jobs += 1;
        let ticket = Ticket {
            completion: Arc::clone(&batch.completion),
            slot: 0,
        };
        self.sealed.push_back(batch);
        Ok(ticket)
    }

    /// The next frame to send.
    pub(crate) fn take(&mut self) -> Option<PushBatch> {
        let batch = match self.sealed.pop_front() {
            Some(batch) => batch,
            None if self.open.is_empty() => return None,
            None => self.open.remove(0),
        };
        self.jobs -= batch.jobs();
        self.jobs_last = batch.jobs();
        if batch.upload.is_none() {
            // Some slack, so that the next one of about this size does not grow.
            self.payload_last_bytes = (batch.payload.len() * 5 / 4).clamp(1024, BATCH_BYTES);
        }
        Some(batch)
    }

    /// Bytes of payload of the frame that `take` would give.
    pub(crate) fn has_full(&self) -> bool {
        !self.sealed.is_empty()
    }

    /// Takes a buffer back for the next frames.
    pub(crate) fn recycle(&mut self, mut buffer: BytesMut) {
        if self.spare.len() < SPARE_MAX {
            buffer.clear();
            self.spare.push(buffer);
        }
    }

    /// Removes the frames whose deadline has passed, and says when the next one does.
    pub(crate) fn take_expired(&mut self, now: Instant) -> (Vec<PushBatch>, Option<Instant>) {
        let late = |batch: &PushBatch| batch.deadline.is_some_and(|at| at <= now);
        let mut expired: Vec<_> = self.open.extract_if(.., |batch| late(batch)).collect();
        let (gone, kept) = self.sealed.drain(..).partition::<Vec<_>, _>(late);
        self.sealed = kept.into();
        expired.extend(gone);
        self.jobs -= expired.iter().map(PushBatch::jobs).sum::<usize>();
        let rest = self.open.iter().chain(&self.sealed);
        (expired, rest.filter_map(|batch| batch.deadline).min())
    }
}

pub(crate) fn check_name(name: &str) -> Result<(), ClientError> {
    Name::check(name).map_err(|reason| ClientError::BadName {
        name: name.to_owned(),
        reason,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(queue: &mut PushQueue, name: &str, body: &[u8]) {
        let key = BatchKey::default();
        queue
            .batch_for(name, &key, 1, body.len())
            .unwrap()
            .append(body, None);
    }

    #[test]
    fn one_frame_a_queue_in_the_order_of_opening() {
        let mut queue = PushQueue::new();
        for (name, body) in [("b", "1"), ("a", "2"), ("b", "3")] {
            append(&mut queue, name, body.as_bytes());
        }
        assert_eq!(queue.jobs, 3);
        let first = queue.take().unwrap();
        assert_eq!(
            (first.queue.as_str(), &first.payload[..]),
            ("b", &b"13"[..])
        );
        assert_eq!(queue.take().unwrap().queue, "a");
        assert!(queue.take().is_none() && queue.is_empty());
    }

    #[test]
    fn a_full_frame_is_cut_and_goes_first() {
        let mut queue = PushQueue::new();
        let body = vec![7; BATCH_BYTES / 2];
        append(&mut queue, "other", b"x");
        for _ in 0..3 {
            append(&mut queue, "mail", &body);
        }
        assert!(queue.has_full());
        assert_eq!(queue.take().unwrap().jobs(), 2);
        assert_eq!(queue.take().unwrap().queue, "other");
        assert_eq!(queue.take().unwrap().jobs(), 1);
    }

    #[test]
    fn header_lengths_are_filled_up() {
        let mut queue = PushQueue::new();
        let headers = wire::Headers {
            entries: vec![wire::Header {
                name: "n".into(),
                value: Bytes::from_static(b"v"),
            }],
        };
        let batch = queue.batch_for("q", &BatchKey::default(), 3, 100).unwrap();
        batch.append(b"aa", None);
        batch.append(b"bb", Some(&headers));
        batch.append(b"cc", None);
        let length = headers.encoded_len() as u32;
        assert_eq!(batch.header_lengths, [0, length, 0]);
        assert_eq!(batch.body_lengths, [2, 2, 2]);
        assert_eq!(batch.payload.len(), 6 + length as usize);
    }

    #[test]
    fn many_queues_do_not_stay_open() {
        let mut queue = PushQueue::new();
        for number in 0..OPEN_MAX + 5 {
            append(&mut queue, &format!("q{number}"), b"x");
        }
        assert_eq!((queue.open.len(), queue.sealed.len()), (OPEN_MAX, 5));
        assert_eq!(queue.take().unwrap().queue, "q0");
        assert!(queue.batch_for("Bad", &BatchKey::default(), 1, 1).is_err());
        assert_eq!(queue.jobs, OPEN_MAX + 4);
    }
}
