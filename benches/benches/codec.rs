//! Frames on the wire and events in the journal: bytes from values and back, 256 jobs of 256 B at a time.

#[path = "fixtures/event.rs"]
mod event;
#[path = "fixtures/frame.rs"]
mod frame;

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use verteilt_core::{BodyRun, EventReader, encode_event};
use verteilt_protocol::{FrameType, encode};

const JOBS: usize = 256;
const BODY_BYTES: usize = 256;

fn frames(criterion: &mut Criterion) {
    let (message, payload) = (
        frame::push(JOBS, BODY_BYTES),
        verteilt_benches::body(JOBS * BODY_BYTES),
    );
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
            |mut bytes| frame::take_apart(&mut bytes),
            criterion::BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn events(criterion: &mut Criterion) {
    let event = event::pushed(JOBS, BODY_BYTES);
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
