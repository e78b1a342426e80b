//! The paths whose instructions are counted.

use std::hint::black_box;

use bytes::BytesMut;
use verteilt_broker::journal::{Batch, Journal as _, MemoryDisk, MemoryJournal};
use verteilt_core::encode_event;
use verteilt_protocol::{FrameType, encode};

use crate::callgrind::repeat;
use crate::desk::Desk;
use crate::{client, event, frame};

const BODY_BYTES: usize = 256;
const FEW: usize = 1;
const MANY: usize = 256;
/// Other jobs in the queue, so that its indexes have a depth.
const QUEUED: usize = 10_000;
const SEGMENT_BYTES: u32 = 64 * 1024 * 1024;

/// A hot path.
pub(crate) struct HotPath {
    /// Also in `budgets.toml`.
    pub(crate) name: &'static str,
    /// Repeats one call of it.
    pub(crate) run: fn(),
}

/// All of them.
pub(crate) const PATHS: &[HotPath] = &[
    path("client, push 1 to its answer", || client::pushes(FEW)),
    path("client, push 256 at once to their answers", || {
        client::pushes(MANY)
    }),
    path("core, push 1", || core_push(FEW)),
    path("core, push 256", || core_push(MANY)),
    path("core, reserve and ack 1", || core_work(FEW)),
    path("core, reserve and ack 256", || core_work(MANY)),
    path("event of 1 job, encode", || event_encode(FEW)),
    path("event of 256 jobs, encode", || event_encode(MANY)),
    path("frame of 1 job, decode", || frame_decode(FEW)),
    path("frame of 1 job, encode", || frame_encode(FEW)),
    path("frame of 256 jobs, decode", || frame_decode(MANY)),
    path("frame of 256 jobs, encode", || frame_encode(MANY)),
    path("journal in memory, append 256 jobs", || {
        journal_append(MANY)
    }),
];

const fn path(name: &'static str, run: fn()) -> HotPath {
    HotPath { name, run }
}

fn frame_encode(jobs: usize) {
    let (message, payload) = (
        frame::push(jobs, BODY_BYTES),
        verteilt_benches::body(jobs * BODY_BYTES),
    );
    let mut out = BytesMut::with_capacity(2 * payload.len() + 1_024);
    repeat(|| {
        out.clear();
        let message = black_box(&message);
        encode(&mut out, FrameType::Push, 0, 9, message, &payload);
    });
}

fn frame_decode(jobs: usize) {
    let payload = verteilt_benches::body(jobs * BODY_BYTES);
    let mut bytes = BytesMut::new();
    let message = frame::push(jobs, BODY_BYTES);
    encode(&mut bytes, FrameType::Push, 0, 9, &message, &payload);
    repeat(|| {
        // The copy is a copy of so many bytes, and a decode makes none.
        let mut bytes = bytes.clone();
        black_box(frame::take_apart(&mut bytes));
    });
}

fn event_encode(jobs: usize) {
    let event = event::pushed(jobs, BODY_BYTES);
    let mut out = BytesMut::with_capacity(2 * jobs * BODY_BYTES + 1_024);
    repeat(|| {
        out.clear();
        encode_event(&mut out, black_box(&event));
    });
}

/// What a batch takes beside the system calls: its header, its checksum, its place.
fn journal_append(jobs: usize) {
    let mut payload = BytesMut::new();
    encode_event(&mut payload, &event::pushed(jobs, BODY_BYTES));
    let (mut journal, _) = MemoryJournal::open(&MemoryDisk::new(SEGMENT_BYTES));
    let mut batch = Batch {
        shard: 0,
        first_lsn: 1,
        events: 1,
        time_ms: 1,
        payload: payload.freeze(),
    };
    repeat(|| {
        journal.append(&batch).expect("memory takes it");
        batch.first_lsn += 1;
    });
}

fn core_push(jobs: usize) {
    let mut desk = Desk::new(QUEUED, jobs);
    repeat(|| {
        desk.push();
        desk.clear();
    });
}

fn core_work(jobs: usize) {
    let mut desk = Desk::new(QUEUED, jobs);
    repeat(|| {
        desk.lease();
        assert_eq!(desk.take_leases(), jobs, "the credit is used up each time");
        desk.ack();
        desk.clear();
    });
}
