//! One append to the file journal, write and `fdatasync`, as the acknowledgement waits for it. On the
//! disk that the build folder lies on.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use verteilt_benches::program::data_folder;
use verteilt_benches::scratch::Scratch;
use verteilt_broker::journal::{Batch, FileJournal, Journal as _, JournalOptions};

/// Appended before the oldest are let go of, as a checkpoint does: files are used again.
const KEPT_BATCHES: u64 = 64;

fn appends(criterion: &mut Criterion) {
    let folder = data_folder().expect("cargo runs this");
    let scratch = Scratch::new(folder).expect("a folder on a disk");
    let mut group = criterion.benchmark_group("journal append");
    group
        .sample_size(30)
        .measurement_time(Duration::from_secs(4));
    for bytes in [4 * 1024, 64 * 1024, 1024 * 1024] {
        let folder = scratch.fresh(&bytes.to_string()).expect("an empty folder");
        let opened = FileJournal::open(&folder, JournalOptions::default());
        let (mut journal, _) = opened.expect("a new journal");
        let log = journal.log();
        let mut batch = Batch {
            shard: 0,
            first_lsn: 1,
            events: 1,
            time_ms: 1,
            payload: verteilt_benches::body(bytes),
        };
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(BenchmarkId::from_parameter(bytes), |bencher| {
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

criterion_group!(benches, appends);
criterion_main!(benches);
