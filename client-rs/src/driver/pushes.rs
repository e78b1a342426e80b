//! Push and publish frames from the moment they have a sequence until they are answered.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;
use verteilt_protocol::{ErrorCode, FrameType, limits, wire};

use super::timer::earlier;
use super::writer::{OUTBOX_BYTES, Outbox};
use crate::batch::{PushBatch, PushCompletion, PushQueue, Taken};
use crate::error::ClientError;
use crate::options::{Durability, Target};
use crate::reconnect::backoff;
use crate::shared::Shared;
use crate::topic::forgets_partitions;

/// Between the oldest unanswered sequence and the newest, so that the broker's window of
/// [`limits::PRODUCER_WINDOW`] always knows whether it has taken a repeated one.
const SEQUENCES_OPEN_MAX: u64 = limits::PRODUCER_WINDOW - 24;
/// Wait after the first refusal that asks to come again, doubled for each further one.
const RETRY_DELAY_FIRST: Duration = Duration::from_millis(50);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(5);
/// Times an upload is begun again because its parts are gone.
const UPLOADS_MAX: u32 = 8;

/// A frame with its sequence. Kept until it is answered, to be sent again.
struct Outgoing {
    /// Of a publish, the lists and names are those of its PUBLISH.
    message: wire::Push,
    target: Target,
    key_lengths: Vec<u32>,
    payload: Bytes,
    upload: Option<Bytes>,
    cost_bytes: usize,
    deadline: Option<Instant>,
    limit: Duration,
    completion: Arc<PushCompletion>,
    refusals: u32,
    /// Why a part of its upload was refused.
    part_refused: Option<ClientError>,
    /// Why it waits to be sent again, if the broker is known not to have taken it.
    not_taken: Option<ClientError>,
}

impl Outgoing {
    /// What it says if it brings records.
    fn publish(&self) -> Option<wire::Publish> {
        let partition = match self.target {
            Target::Queue => return None,
            Target::Partition(partition) => Some(partition),
            Target::Turn | Target::Key(_) => None,
        };
        Some(wire::Publish {
            topic: self.message.queue.clone(),
            partition,
            durability: 0,
            producer: self.message.producer.clone(),
            sequence: self.message.sequence,
            value_lengths: self.message.body_lengths.clone(),
            key_lengths: self.key_lengths.clone(),
            header_lengths: self.message.header_lengths.clone(),
        })
    }
}

/// The frame whose body is being sent in parts.
struct Uploading {
    frame: Outgoing,
    index: u32,
    rest: Bytes,
}

/// See the module.
pub(super) struct PushLedger {
    shared: Arc<Shared>,
    producer: Bytes,
    sequence_next: u64,
    /// Bytes that may be sent; one frame may take it below zero.
    credit_bytes: i64,
    /// To send, by sequence.
    queue: VecDeque<Outgoing>,
    /// Sent, by correlation; `None`: answered, but not the first.
    sent: VecDeque<(u64, Option<Outgoing>)>,
    uploading: Option<Uploading>,
    /// Correlations of PUSH_PART frames and their uploads.
    parts: VecDeque<(u64, u64)>,
    unanswered: BTreeSet<u64>,
    hold_until: Option<Instant>,
    /// Payload buffers to use again.
    spare: Vec<BytesMut>,
    /// No deadline is before this.
    deadline: Option<Instant>,
}

impl PushLedger {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            producer: Bytes::copy_from_slice(&shared.config.producer),
            shared,
            sequence_next: 1,
            credit_bytes: 0,
            queue: VecDeque::new(),
            sent: VecDeque::new(),
            uploading: None,
            parts: VecDeque::new(),
            unanswered: BTreeSet::new(),
            hold_until: None,
            spare: Vec::new(),
            deadline: None,
        }
    }

    fn wait(&self, refusals: u32) -> Duration {
        let random = &self.shared.config.random;
        backoff(RETRY_DELAY_FIRST, RETRY_DELAY_MAX, refusals, random)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.unanswered.is_empty()
    }

    /// Whether a frame may leave now.
    pub(super) fn may_send(&self) -> bool {
        self.credit_bytes > 0 && self.hold_until.is_none() && self.window_is_open()
    }

    /// Whether older frames go before those that callers fill.
    pub(super) fn has_older(&self) -> bool {
        !self.queue.is_empty() || self.uploading.is_some()
    }

    fn window_is_open(&self) -> bool {
        let oldest = self
            .unanswered
            .first()
            .copied()
            .unwrap_or(self.sequence_next);
        self.sequence_next - oldest < SEQUENCES_OPEN_MAX
    }

    /// Takes frames from the callers, as many as can be sent now.
    pub(super) fn take_new(&mut self, pushes: &mut PushQueue) {
        while let Some(buffer) = self.spare.pop() {
            pushes.recycle(buffer);
        }
        if self.has_older() {
            return;
        }
        let mut room = OUTBOX_BYTES as i64;
        let mut credit_bytes = self.credit_bytes;
        while room > 0 && credit_bytes > 0 && self.window_is_open() {
            let Some(batch) = pushes.take() else { return };
            room -= batch.payload.len() as i64;
            credit_bytes -= batch.payload.len() as i64;
            let is_upload = batch.upload.is_some();
            let frame = self.with_sequence(batch);
            self.queue.push_back(frame);
            if is_upload {
                return;
            }
        }
    }

    fn with_sequence(&mut self, batch: PushBatch) -> Outgoing {
        let sequence = self.sequence_next;
        self.sequence_next += 1;
        self.unanswered.insert(sequence);
        self.deadline = earlier(self.deadline, batch.deadline);
        let message = wire::Push {
            queue: batch.queue,
            options: batch.key.to_wire(),
            producer: self.producer.clone(),
            sequence,
            body_lengths: batch.body_lengths,
            header_lengths: batch.header_lengths,
            upload: 0,
            upload_parts: 0,
        };
        Outgoing {
            message,
            target: batch.key.target,
            key_lengths: batch.key_lengths,
            payload: batch.payload.freeze(),
            upload: batch.upload,
            cost_bytes: batch.cost_bytes,
            deadline: batch.deadline,
            limit: batch.key.deadline.unwrap_or_default(),
            completion: batch.completion,
            refusals: 0,
            part_refused: None,
            not_taken: None,
        }
    }

    /// Writes what credit and the outbox allow.
    pub(super) fn write(&mut self, outbox: &mut Outbox, correlation: &mut u64) {
        if self.hold_until.is_some() {
            return;
        }
        while self.credit_bytes > 0 && !outbox.is_full() {
            if self.uploading.is_some() {
                self.write_part(outbox, correlation);
                continue;
            }
            let Some(mut frame) = self.queue.pop_front() else {
                return;
            };
            if let Some(body) = &frame.upload {
                // A number of its own for each try: parts of the last one may still lie there.
                frame.message.upload = self.shared.next_number();
                frame.part_refused = None;
                let rest = body.clone();
                self.uploading = Some(Uploading {
                    frame,
                    index: 0,
                    rest,
                });
                continue;
            }
            self.write_push(outbox, correlation, frame);
        }
    }

    fn write_push(&mut self, outbox: &mut Outbox, correlation: &mut u64, mut frame: Outgoing) {
        *correlation += 1;
        let (number, payload) = (*correlation, &frame.payload);
        match frame.publish() {
            None => outbox.with_payload(FrameType::Push, number, &frame.message, payload),
            Some(publish) => {
                outbox.with_payload(FrameType::Publish, number, &publish, payload);
            }
        }
        self.credit_bytes -= frame.payload.len() as i64;
        frame.not_taken = None;
        self.sent.push_back((*correlation, Some(frame)));
    }

    fn write_part(&mut self, outbox: &mut Outbox, correlation: &mut u64) {
        let Some(mut uploading) = self.uploading.take() else {
            return;
        };
        let headers = uploading
            .frame
            .message
            .header_lengths
            .first()
            .map_or(0, |n| *n as usize);
        let single_bytes = self.shared.pending.lock().pushes.limits.single_bytes();
        if uploading.rest.len() + headers <= single_bytes {
            // The last one travels in the PUSH itself, behind the headers.
            let mut frame = uploading.frame;
            let mut payload = BytesMut::with_capacity(headers + uploading.rest.len());
            payload.extend_from_slice(&frame.payload[..headers]);
            payload.extend_from_slice(&uploading.rest);
            frame.message.upload_parts = uploading.index;
            frame.message.body_lengths = vec![uploading.rest.len() as u32];
            frame.payload = payload.freeze();
            self.write_push(outbox, correlation, frame);
            return;
        }
        *correlation += 1;
        let upload = uploading.frame.message.upload;
        let part = uploading
            .rest
            .split_to(single_bytes.min(uploading.rest.len()));
        let message = wire::PushPart {
            upload,
            index: uploading.index,
        };
        outbox.with_payload(FrameType::PushPart, *correlation, &message, &part);
        self.credit_bytes -= part.len() as i64;
        self.parts.push_back((*correlation, upload));
        uploading.index += 1;
        self.uploading = Some(uploading);
    }

    /// The broker grants bytes.
    pub(super) fn grant(&mut self, bytes: u64) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.credit_bytes = self.credit_bytes.saturating_add(bytes);
    }

    /// A result of PUSHED. One for a push that was given up is passed over.
    pub(super) fn pushed(&mut self, result: &wire::PushResult) -> Result<(), ClientError> {
        let Some(frame) = self.take_sent(result.correlation) else {
            return Ok(());
        };
        if result.count as usize != frame.message.body_lengths.len() {
            let jobs = frame.message.body_lengths.len();
            let reason = format!("{} ids came for a push of {jobs} jobs", result.count);
            self.finish(frame, Err(ClientError::protocol(reason.clone())));
            return Err(ClientError::protocol(reason));
        }
        let taken = Taken {
            first_id: result.first_id,
            partition: 0,
            durability: Durability::from_wire(result.durability),
            duplicate: result.duplicate,
        };
        self.finish(frame, Ok(taken));
        Ok(())
    }

    /// A result of PUBLISHED.
    pub(super) fn published(&mut self, result: &wire::PublishResult) -> Result<(), ClientError> {
        let Some(frame) = self.take_sent(result.correlation) else {
            return Ok(());
        };
        if result.count as usize != frame.message.body_lengths.len() {
            let records = frame.message.body_lengths.len();
            let reason = format!("{} offsets came for {records} records", result.count);
            self.finish(frame, Err(ClientError::protocol(reason.clone())));
            return Err(ClientError::protocol(reason));
        }
        let taken = Taken {
            first_id: result.first_offset,
            partition: result.partition,
            durability: Durability::from_wire(result.durability),
            duplicate: result.duplicate,
        };
        self.finish(frame, Ok(taken));
        Ok(())
    }

    fn take_sent(&mut self, correlation: u64) -> Option<Outgoing> {
        let at = self
            .sent
            .binary_search_by_key(&correlation, |(known, _)| *known)
            .ok()?;
        let frame = self.sent[at].1.take();
        while let Some((_, None)) = self.sent.front() {
            self.sent.pop_front();
        }
        frame
    }

    fn finish(&mut self, frame: Outgoing, outcome: Result<Taken, ClientError>) {
        self.unanswered.remove(&frame.message.sequence);
        self.shared.budget.add_permits(frame.cost_bytes);
        frame.completion.complete(outcome);
        if let Ok(buffer) = frame.payload.try_into_mut() {
            self.spare.push(buffer);
        }
    }

    /// ERROR for a PUSH or a PUSH_PART; false: the correlation is neither.
    pub(super) fn refused(&mut self, correlation: u64, error: &ClientError) -> bool {
        if let Some(frame) = self.take_sent(correlation) {
            self.refused_frame(frame, error.clone());
            return true;
        }
        let Some(at) = self
            .parts
            .iter()
            .position(|(known, _)| *known == correlation)
        else {
            return false;
        };
        let upload = self.parts.remove(at).map_or(0, |(_, upload)| upload);
        match self.uploading.take() {
            Some(uploading) if uploading.frame.message.upload == upload => {
                self.refused_frame(uploading.frame, error.clone());
            }
            other => {
                self.uploading = other;
                // Its PUSH is on the way and will be refused too: this is the reason then.
                let sent = self.sent.iter_mut().filter_map(|(_, frame)| frame.as_mut());
                for frame in sent.filter(|frame| frame.message.upload == upload) {
                    frame.part_refused.get_or_insert(error.clone());
                }
            }
        }
        true
    }

    /// OK for a PUSH_PART; false: the correlation is none.
    pub(super) fn part_taken(&mut self, correlation: u64) -> bool {
        let at = self
            .parts
            .iter()
            .position(|(known, _)| *known == correlation);
        at.and_then(|at| self.parts.remove(at)).is_some()
    }

    fn refused_frame(&mut self, mut frame: Outgoing, error: ClientError) {
        let parts_gone = error.code() == Some(ErrorCode::UploadUnknown) && frame.upload.is_some();
        let error = match frame.part_refused.take() {
            Some(cause) if parts_gone => cause,
            _ => error,
        };
        let again = error.is_retryable() || (parts_gone && frame.refusals < UPLOADS_MAX);
        let now = Instant::now();
        if !again || frame.deadline.is_some_and(|deadline| deadline <= now) {
            if frame.target != Target::Queue && forgets_partitions(&error) {
                self.shared.partitions.lock().remove(&frame.message.queue);
            }
            self.finish(frame, Err(error));
            return;
        }
        let advice = match &error {
            ClientError::Refused { retry_after, .. } => *retry_after,
            _ => Duration::ZERO,
        };
        let delay = self.wait(frame.refusals).max(advice);
        tracing::debug!(%error, ?delay, "a push is tried again");
        frame.refusals += 1;
        // What is refused for want of room was looked up among what was taken before.
        let is_certain = matches!(
            error.code(),
            Some(ErrorCode::DiskFull | ErrorCode::MemoryFull)
        );
        frame.not_taken = is_certain.then_some(error);
        // What is full for one is full for all, and their order stays.
        let until = now + delay;
        self.hold_until = Some(self.hold_until.map_or(until, |known| known.max(until)));
        self.requeue(frame);
    }

    fn requeue(&mut self, frame: Outgoing) {
        let sequence = frame.message.sequence;
        let at = self
            .queue
            .partition_point(|known| known.message.sequence < sequence);
        self.queue.insert(at, frame);
    }

    /// A new connection: everything unanswered goes again, in order.
    pub(super) fn reconnected(&mut self, credit_bytes: u64) {
        self.credit_bytes = i64::try_from(credit_bytes).unwrap_or(i64::MAX);
        self.hold_until = None;
        self.parts.clear();
        let sent = std::mem::take(&mut self.sent);
        let uploading = self.uploading.take().map(|uploading| uploading.frame);
        let again = sent
            .into_iter()
            .filter_map(|(_, frame)| frame)
            .chain(uploading);
        self.queue.extend(again);
        self.queue
            .make_contiguous()
            .sort_by_key(|frame| frame.message.sequence);
    }

    /// The end of a pause.
    pub(super) fn resume(&mut self, now: Instant) -> Option<Instant> {
        self.hold_until = self.hold_until.filter(|until| *until > now);
        self.hold_until
    }

    /// When the first deadline of the frames here passes.
    fn first_deadline(&self) -> Option<Instant> {
        let sent = self.sent.iter().filter_map(|(_, frame)| frame.as_ref());
        let uploading = self.uploading.iter().map(|uploading| &uploading.frame);
        self.queue
            .iter()
            .chain(sent)
            .chain(uploading)
            .filter_map(|frame| frame.deadline)
            .min()
    }

    /// Fails the frames whose deadline has passed, and says when the next one does.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Instant> {
        if self.deadline.is_none_or(|deadline| deadline > now) {
            return self.deadline;
        }
        let late = |frame: &Outgoing| frame.deadline.is_some_and(|at| at <= now);
        let mut expired = Vec::new();
        for frame in std::mem::take(&mut self.queue) {
            if late(&frame) {
                expired.push(frame);
            } else {
                self.queue.push_back(frame);
            }
        }
        for (_, frame) in &mut self.sent {
            expired.extend(frame.take_if(|frame| late(frame)));
        }
        if let Some(uploading) = self.uploading.take_if(|uploading| late(&uploading.frame)) {
            expired.push(uploading.frame);
        }
        for frame in expired {
            let (limit, what) = (frame.limit, "the push");
            let error = ClientError::Deadline { what, limit };
            // Refused for all that time: then that is the answer.
            let error = frame.not_taken.clone().unwrap_or(error);
            self.finish(frame, Err(error));
        }
        self.deadline = self.first_deadline();
        self.deadline
    }

    /// Frames that callers still fill, given up before they had a sequence.
    pub(super) fn expire_batches(&self, expired: Vec<PushBatch>) {
        for batch in expired {
            self.shared.budget.add_permits(batch.cost_bytes);
            let limit = batch.key.deadline.unwrap_or_default();
            let error = ClientError::Deadline {
                what: "the push",
                limit,
            };
            batch.completion.complete(Err(error));
        }
    }

    /// The time at which something here has to be looked at.
    pub(super) fn due(&self) -> Option<Instant> {
        earlier(self.deadline, self.hold_until)
    }

    /// The client has ended.
    pub(super) fn fail_all(&mut self, error: &ClientError) {
        self.reconnected(0);
        for frame in std::mem::take(&mut self.queue) {
            self.finish(frame, Err(error.clone()));
        }
    }
}
