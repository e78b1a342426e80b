//! The journal batch that is being gathered: the events of one round after the other, until the
//! journal is free to take them.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use verteilt_core::{
    BodyRun, CodecError, Event, JobId, Lsn, Millis, RecordRun, Written, encode_clock, encode_event,
};

use crate::journal::Batch;

/// Bodies are found again, cached and read by pieces of about this size.
const SPAN_BYTES: usize = 64 * 1024;

/// A piece of a batch that holds bodies with neighbouring ids.
#[derive(Debug)]
pub(super) struct Span {
    pub(super) first_id: JobId,
    pub(super) last_id: JobId,
    /// Where it lies in the batch.
    pub(super) start: usize,
    pub(super) end: usize,
    /// Positions count from the beginning of the batch.
    pub(super) runs: Vec<BodyRun>,
}

/// A piece of a batch that holds records of topics.
#[derive(Debug)]
pub(super) struct Piece {
    /// Where it lies in the batch.
    pub(super) start: usize,
    pub(super) end: usize,
    /// Positions count from the beginning of the batch.
    pub(super) runs: Vec<RecordRun>,
}

/// What of a batch is looked up again.
#[derive(Debug, Default)]
pub(super) struct Fresh {
    pub(super) spans: Vec<Span>,
    pub(super) pieces: Vec<Piece>,
}

/// What is gathered beyond this goes into a further batch. One event adds little more than a frame,
/// so that every batch fits into the smallest segment.
const BATCH_BYTES: usize = 2 * 1024 * 1024;

/// What waits for the journal: full batches, then the one that is being filled.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    full: VecDeque<Gathered>,
    full_bytes: usize,
    open: Gathered,
    /// Of the batch that was taken last.
    length_before: usize,
}

#[derive(Debug, Default)]
struct Gathered {
    bytes: BytesMut,
    first_lsn: Lsn,
    events: u32,
    time_ms: Millis,
    clock_ms: Millis,
    fresh: Fresh,
}

impl Gathering {
    /// Bytes gathered so far.
    pub(super) fn len(&self) -> usize {
        self.full_bytes + self.open.bytes.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.full.is_empty() && self.open.events == 0
    }

    /// Adds a durable event that was decided at `now_ms`.
    pub(super) fn add(&mut self, event: &Event, lsn: Lsn, now_ms: Millis) {
        if self.open.bytes.len() >= BATCH_BYTES {
            let full = std::mem::take(&mut self.open);
            self.full_bytes += full.bytes.len();
            self.full.push_back(full);
        }
        self.open.add(event, lsn, now_ms);
    }

    /// The next batch and the pieces of it that hold bodies and records.
    pub(super) fn take(&mut self, shard: u16) -> (Batch, Fresh) {
        let next = self.full.pop_front();
        self.full_bytes -= next.as_ref().map_or(0, |full| full.bytes.len());
        let next = next.unwrap_or_else(|| {
            // The next one is likely to be as large as one of the last two; growing it would copy it
            // again and again.
            let length = self.open.bytes.len();
            let before = std::mem::replace(&mut self.length_before, length);
            let bytes = BytesMut::with_capacity(length.max(before));
            let open = Gathered {
                bytes,
                ..Gathered::default()
            };
            std::mem::replace(&mut self.open, open)
        });
        let batch = Batch {
            shard,
            first_lsn: next.first_lsn,
            events: next.events,
            time_ms: next.time_ms,
            payload: next.bytes.freeze(),
        };
        (batch, next.fresh)
    }
}

impl Gathered {
    fn add(&mut self, event: &Event, lsn: Lsn, now_ms: Millis) {
        if self.events == 0 {
            self.first_lsn = lsn;
            self.time_ms = now_ms;
            self.clock_ms = now_ms;
        }
        if self.clock_ms != now_ms {
            encode_clock(&mut self.bytes, now_ms);
            self.clock_ms = now_ms;
        }
        let expected = self.first_lsn + Lsn::from(self.events);
        debug_assert_eq!(lsn, expected, "LSNs have no gap");
        self.events += 1;
        let start = self.bytes.len();
        match encode_event(&mut self.bytes, event) {
            Written::Bodies(run) => note(&mut self.fresh.spans, run, start..self.bytes.len()),
            Written::Records(run) => {
                note_records(&mut self.fresh.pieces, run, start..self.bytes.len());
            }
            Written::Nothing => {}
        }
    }
}

/// The pieces of a batch that was written earlier.
pub(super) fn spans_of(payload: &Bytes) -> Result<Vec<Span>, CodecError> {
    let mut spans = Vec::new();
    for (record, run) in BodyRun::scan_records(payload)? {
        note(&mut spans, run, record);
    }
    Ok(spans)
}

/// The pieces with records of a batch that was written earlier.
pub(super) fn pieces_of(payload: &Bytes) -> Result<Vec<Piece>, CodecError> {
    let mut pieces = Vec::new();
    for (record, run) in RecordRun::scan_records(payload)? {
        note_records(&mut pieces, run, record);
    }
    Ok(pieces)
}

fn note_records(pieces: &mut Vec<Piece>, run: RecordRun, record: Range<usize>) {
    match pieces.last_mut() {
        Some(piece) if record.end - piece.start <= SPAN_BYTES => {
            piece.end = record.end;
            piece.runs.push(run);
        }
        _ => pieces.push(Piece {
            start: record.start,
            end: record.end,
            runs: vec![run],
        }),
    }
}

fn note(spans: &mut Vec<Span>, run: BodyRun, record: Range<usize>) {
    let last_id = JobId(run.first_id.0 + u64::from(run.count) - 1);
    match spans.last_mut() {
        Some(span) if record.end - span.start <= SPAN_BYTES => {
            span.last_id = last_id;
            span.end = record.end;
            span.runs.push(run);
        }
        _ => {
            let (first_id, runs) = (run.first_id, vec![run]);
            spans.push(Span {
                first_id,
                last_id,
                start: record.start,
                end: record.end,
                runs,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use verteilt_core::EventReader;

    use super::*;

    #[test]
    fn much_at_once_becomes_several_batches_without_a_gap() {
        let mut gathering = Gathering::default();
        let ids: Vec<JobId> = (1..=100_000).map(|id| JobId(id * 7_919)).collect();
        for lsn in 1..=40 {
            gathering.add(&Event::Acked { ids: ids.clone() }, lsn, lsn / 10);
        }
        let (total, mut taken, mut next) = (gathering.len(), 0, 1);
        while !gathering.is_empty() {
            let (batch, _) = gathering.take(0);
            assert!(batch.payload.len() < 2 * BATCH_BYTES);
            assert_eq!(batch.first_lsn, next);
            taken += batch.payload.len();
            for event in EventReader::new(batch.payload, batch.first_lsn, batch.time_ms) {
                let (lsn, now_ms, _) = event.unwrap();
                assert_eq!((lsn, now_ms), (next, next / 10));
                next += 1;
            }
        }
        assert_eq!((taken, next, gathering.len()), (total, 41, 0));
    }
}
