//! Frames on the wire and events in the journal: bytes from values and back, 256 jobs of 256 B at a time.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use verteilt_core::{BodyRun, Event, EventReader, JobId, Lengths, ProducerId, Pushed};
use verteilt_core::{QueueId, SessionId, encode_event};
use verteilt_protocol::{FrameType, decode, encode, split_payload, wire};

const JOBS: usize = 256;
const BODY_BYTES: usize = 256;

fn push() -> wire::Push {
    wire::Push {
        queue: "bench".to_owned(),
        producer: Bytes::from(vec![7; 16]),
        sequence: 1_000,
        body_lengths: vec![BODY_BYTES as u32; JOBS],
        ..wire::Push::default()
    }
}

fn frames(criterion: &mut Criterion) {
    let (message, payload) = (push(), verteilt_benches::body(JOBS * BODY_BYTES));
    let mut group = criterion.benchmark_group("frame of 256 jobs");
    group.throughput(Throughput::Elements(JOBS as u64));
    let mut out = BytesMut::new();
    group.bench_function("encode", |bencher| {
        bencher.iter(|| {
            out.clear();
            encode(
                &mut out,
                FrameType::Push,
                0,
                9,
                black_box(&message),
                &payload,
            );
            out.len()
        });
    });
    out.clear();
    encode(&mut out, FrameType::Push, 0, 9, &message, &payload);
    group.bench_function("decode", |bencher| {
        bencher.iter_batched(
            || out.clone(),
            |mut bytes| {
                let frame = decode(&mut bytes).expect("a frame").expect("a whole one");
                let push: wire::Push = frame.message().expect("a push");
                let slices =
                    split_payload(&frame.payload, &push.header_lengths, &push.body_lengths);
                slices
                    .expect("lengths that fit")
                    .map(|job| job.body.len())
                    .sum::<usize>()
            },
            criterion::BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn pushed() -> Event {
    Event::Pushed(Pushed {
        queue: QueueId(0),
        producer: Some((ProducerId(7), 1_000)),
        first_id: JobId(1_000_000),
        priority: 0,
        due_ms: 1_700_000_000_000,
        attempts_max: 20,
        lease_ms: 30_000,
        parts: Vec::new(),
        parts_bytes: 0,
        upload: 0,
        session: SessionId(0),
        lengths: Lengths {
            ends: (1..=JOBS).map(|at| (at * BODY_BYTES) as u32).collect(),
            headers: Vec::new(),
        },
        payload: verteilt_benches::body(JOBS * BODY_BYTES),
    })
}

fn events(criterion: &mut Criterion) {
    let event = pushed();
    let mut group = criterion.benchmark_group("event of 256 jobs");
    group.throughput(Throughput::Elements(JOBS as u64));
    let mut out = BytesMut::new();
    group.bench_function("encode", |bencher| {
        bencher.iter(|| {
            out.clear();
            encode_event(&mut out, black_box(&event))
        });
    });
    out.clear();
    encode_event(&mut out, &event);
    let bytes = out.freeze();
    group.bench_function("scan for bodies", |bencher| {
        bencher.iter(|| BodyRun::scan(black_box(&bytes)).expect("whole records"));
    });
    group.bench_function("read", |bencher| {
        bencher.iter(|| EventReader::new(black_box(bytes.clone()), 1, 0).count());
    });
    group.finish();
}

criterion_group!(benches, frames, events);
criterion_main!(benches);
