//! The core alone: 256 jobs are pushed, lent and acked, in an empty queue and behind a million others.

#[path = "fixtures/desk.rs"]
mod desk;

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use desk::Desk;

const JOBS: usize = 256;

/// What push, lease and ack took.
fn turn(desk: &mut Desk) -> [Duration; 3] {
    let begun = Instant::now();
    desk.push();
    let push = begun.elapsed();
    let begun = Instant::now();
    desk.lease();
    let lease = begun.elapsed();
    assert_eq!(desk.take_leases(), JOBS, "the credit is used up each time");
    let begun = Instant::now();
    desk.ack();
    let ack = begun.elapsed();
    desk.clear();
    [push, lease, ack]
}

fn turns(criterion: &mut Criterion) {
    for (at, name) in ["push", "lease", "ack"].into_iter().enumerate() {
        let mut group = criterion.benchmark_group(format!("core: {name} 256"));
        group.throughput(Throughput::Elements(JOBS as u64));
        for depth in [0, 1_000_000] {
            let mut desk = Desk::new(depth, JOBS);
            let id = BenchmarkId::new("queued", depth);
            group.bench_function(id, |bencher| {
                bencher.iter_custom(|turns| (0..turns).map(|_| turn(&mut desk)[at]).sum());
            });
        }
        group.finish();
    }
}

criterion_group!(benches, turns);
criterion_main!(benches);
