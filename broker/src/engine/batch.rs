//! The journal batch that is being gathered: the events of one round after the other, until the
//! journal is free to take them.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use verteilt_core::{BodyRun, CodecError, Event, JobId, Lsn, Millis, encode_clock, encode_event};

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

#[derive(Debug, Default)]
pub(super) struct Gathering {
    bytes: BytesMut,
    first_lsn: Lsn,
    events: u32,
    time_ms: Millis,
    clock_ms: Millis,
    spans: Vec<Span>,
}

impl Gathering {
    /// Bytes gathered so far.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events == 0
    }

    /// Adds a durable event that was decided at `now_ms`.
    pub(super) fn add(&mut self, event: &Event, lsn: Lsn, now_ms: Millis) {
        if self.events == 0 {
            self.first_lsn = lsn;
            self.time_ms = now_ms;
            self.clock_ms = now_ms;
        }
        if self.clock_ms != now_ms {
            encode_clock(&mut self.bytes, now_ms);
            self.clock_ms = now_ms;
        }
        debug_assert_eq!(
            lsn,
            self.first_lsn + Lsn::from(self.events),
            "LSNs have no gap"
        );
        self.events += 1;
        let start = self.bytes.len();
        if let Some(run) = encode_event(&mut self.bytes, event) {
            self.note(run, start);
        }
    }

    /// The batch and the pieces of it that hold bodies; afterwards nothing is gathered.
    pub(super) fn take(&mut self, shard: u16) -> (Batch, Vec<Span>) {
        let payload = Bytes::from(std::mem::take(&mut self.bytes));
        let (first_lsn, events, time_ms) = (self.first_lsn, self.events, self.time_ms);
        self.events = 0;
        let batch = Batch {
            shard,
            first_lsn,
            events,
            time_ms,
            payload,
        };
        (batch, std::mem::take(&mut self.spans))
    }

    fn note(&mut self, run: BodyRun, start: usize) {
        let end = self.bytes.len();
        note(&mut self.spans, run, start..end);
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
