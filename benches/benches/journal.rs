//! One append to the file journal, write and `fdatasync`, as the acknowledgement waits for it: the event
//! of a push of 1, 16 and 256 jobs, and a batch of 1 MiB. On the disk that the build folder lies on.

#[path = "fixtures/event.rs"]
mod event;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use verteilt_benches::program::data_folder;
use verteilt_benches::scratch::Scratch;
use verteilt_broker::journal::{Batch, FileJournal, Journal as _, JournalOptions};
use verteilt_core::encode_event;

const BODY_BYTES: usize = 256;

/// Appended before the oldest are let go of, as a checkpoint does: files are used again.
const KEPT_BATCHES: u64 = 64;

fn appends(criterion: &mut Criterion) {
    let folder = data_folder().expect("cargo builds this");
    let scratch = Scratch::new(folder).expect("a folder on a disk");
    let mut group = criterion.benchmark_group("journal append");
    group
        .sample_size(30)
        .measurement_time(Duration::from_secs(4));
    let jobs = |jobs| (format!("{jobs} jobs"), push_of(jobs));
    let large = ("1 MiB".to_owned(), verteilt_benches::body(1024 * 1024));
    for (name, payload) in [jobs(1), jobs(16), jobs(256), large] {
        let folder = scratch.fresh("journal").expect("an empty folder");
        let opened = FileJournal::open(&folder, JournalOptions::default());
        let (mut journal, _) = opened.expect("a new journal");
        let log = journal.log();
        group.throughput(Throughput::Bytes(payload.len() as u64));
        let mut batch = Batch {
            shard: 0,
            first_lsn: 1,
            events: 1,
            time_ms: 1,
            payload,
        };
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| {
                journal.append(&batch).expect("the disk takes it");
                if batch.first_lsn.is_multiple_of(KEPT_BATCHES) {
                    log.trim(0, batch.first_lsn).expect("the journal goes on");
                }
                batch.first_lsn += 1;
            });
        });
    }
    group.finish();
}

fn push_of(jobs: usize) -> Bytes {
    let mut payload = BytesMut::new();
    encode_event(&mut payload, &event::pushed(jobs, BODY_BYTES));
    payload.freeze()
}

criterion_group!(benches, appends);
criterion_main!(benches);
