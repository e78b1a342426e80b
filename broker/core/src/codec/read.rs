//! Bytes to events.

use bytes::{Buf, Bytes};

use super::wire::Fields;
use super::write::{HAS_HEADERS, HAS_PRODUCER, HAS_UPLOAD};
use super::{CodecError, request, tag, topic};
use crate::command::Lengths;
use crate::event::{Event, Pushed};
use crate::id::{JobId, Lsn, Millis, ProducerId, QueueId, SessionId, SubscriptionKey};

/// The events of a batch in order, each with its LSN and the time at which it was decided.
#[derive(Debug)]
pub struct EventReader {
    rest: Bytes,
    next_lsn: Lsn,
    now_ms: Millis,
}

impl EventReader {
    /// Reads a batch whose first event has this LSN; `now_ms` is the batch's time.
    #[must_use]
    pub fn new(batch: Bytes, first_lsn: Lsn, now_ms: Millis) -> Self {
        Self {
            rest: batch,
            next_lsn: first_lsn,
            now_ms,
        }
    }

    fn record(&mut self) -> Result<Option<Event>, CodecError> {
        let mut head = Fields(self.rest.clone());
        let length = head.u32()? as usize;
        head.need(length)?;
        let mut fields = Fields(head.0.split_to(length));
        self.rest = head.0;
        let tag = fields.u8()?;
        if tag == tag::CLOCK {
            self.now_ms = fields.varint()?;
            return Ok(None);
        }
        let event = event(tag, &mut fields, self.next_lsn)?;
        if !fields.0.is_empty() {
            return Err(CodecError::Impossible);
        }
        Ok(Some(event))
    }
}

impl Iterator for EventReader {
    type Item = Result<(Lsn, Millis, Event), CodecError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            match self.record() {
                Ok(None) => {}
                Ok(Some(event)) => {
                    let lsn = self.next_lsn;
                    self.next_lsn += 1;
                    return Some(Ok((lsn, self.now_ms, event)));
                }
                Err(error) => {
                    self.rest = Bytes::new();
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

fn event(tag: u8, fields: &mut Fields, lsn: Lsn) -> Result<Event, CodecError> {
    Ok(match tag {
        tag::STARTED => Event::Started {
            epoch: fields.varint()?,
        },
        tag::QUEUE_CREATED => Event::QueueCreated {
            queue: QueueId(fields.narrow()?),
            namespace: fields.text()?,
            name: fields.text()?,
        },
        tag::PUSHED => Event::Pushed(pushed(fields)?),
        tag::PART_STORED => Event::PartStored {
            session: SessionId(fields.u128()?),
            upload: fields.varint()?,
            id: JobId(fields.varint()?),
            payload: std::mem::take(&mut fields.0),
        },
        tag::UPLOAD_DROPPED => Event::UploadDropped {
            session: SessionId(fields.u128()?),
            upload: fields.varint()?,
        },
        tag::LEASED => Event::Leased {
            session: SessionId(fields.u128()?),
            token: lsn,
            subscription: SubscriptionKey(0),
            ids: fields.ids()?,
        },
        tag::ACKED => Event::Acked { ids: fields.ids()? },
        tag::FAILED => Event::Failed {
            jobs: fields.timed()?,
        },
        tag::DIED => Event::Died { ids: fields.ids()? },
        tag::REQUEUED => {
            let excused = fields.u8()? != 0;
            Event::Requeued {
                ids: fields.ids()?,
                excused,
            }
        }
        tag::TOUCHED => Event::Touched {
            jobs: fields.timed()?,
        },
        tag::QUEUE_PAUSED => Event::QueuePaused {
            queue: QueueId(fields.narrow()?),
            paused: fields.u8()? != 0,
        },
        tag::PURGED => Event::Purged { ids: fields.ids()? },
        tag::PRODUCERS_FORGOTTEN => {
            let count = fields.count()?;
            let producers = (0..count).map(|_| Ok(ProducerId(fields.u128()?)));
            Event::ProducersForgotten {
                producers: producers.collect::<Result<_, _>>()?,
            }
        }
        other => match request::event(other, fields)? {
            Some(event) => Event::Request(event),
            None => Event::Topic(topic::event(other, fields)?),
        },
    })
}

/// A push up to its tables of lengths.
pub(super) struct PushedHead {
    pub(super) pushed: Pushed,
    pub(super) count: usize,
    pub(super) has_headers: bool,
}

pub(super) fn pushed_head(fields: &mut Fields) -> Result<PushedHead, CodecError> {
    let queue = QueueId(fields.narrow()?);
    let flags = fields.u8()?;
    let mut pushed = Pushed {
        queue,
        producer: None,
        first_id: JobId(fields.varint()?),
        priority: fields.zigzag()?,
        due_ms: fields.varint()?,
        attempts_max: fields.narrow()?,
        lease_ms: fields.narrow()?,
        parts: Vec::new(),
        parts_bytes: 0,
        upload: 0,
        session: SessionId(0),
        lengths: Lengths::default(),
        payload: Bytes::new(),
    };
    if flags & HAS_PRODUCER != 0 {
        pushed.producer = Some((ProducerId(fields.u128()?), fields.varint()?));
    }
    if flags & HAS_UPLOAD != 0 {
        pushed.session = SessionId(fields.u128()?);
        pushed.upload = fields.varint()?;
        pushed.parts_bytes = fields.narrow()?;
        pushed.parts = fields.ids()?;
    }
    let count = fields.count()?;
    Ok(PushedHead {
        pushed,
        count,
        has_headers: flags & HAS_HEADERS != 0,
    })
}

fn pushed(fields: &mut Fields) -> Result<Pushed, CodecError> {
    let PushedHead {
        mut pushed,
        count,
        has_headers,
    } = pushed_head(fields)?;
    pushed.lengths.ends = words(fields, count)?;
    if has_headers {
        pushed.lengths.headers = words(fields, count)?;
    }
    pushed.payload = std::mem::take(&mut fields.0);
    let rising = pushed.lengths.ends.is_sorted();
    let whole = pushed
        .lengths
        .ends
        .last()
        .is_some_and(|end| *end as usize == pushed.payload.len());
    if rising && whole {
        Ok(pushed)
    } else {
        Err(CodecError::Impossible)
    }
}

pub(super) fn words(fields: &mut Fields, count: usize) -> Result<Vec<u32>, CodecError> {
    fields.need(4 * count)?;
    Ok((0..count).map(|_| fields.0.get_u32_le()).collect())
}
