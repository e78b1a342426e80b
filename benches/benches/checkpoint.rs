//! What the follower does to the store in a checkpoint: bodies into blocks, records into a page, the
//! manifest, and what the one before held deleted. In memory it is the format alone, on the disk it
//! includes the two flushes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use verteilt_benches::program::data_folder;
use verteilt_benches::scratch::Scratch;
use verteilt_broker::store::{
    Body, Catalog, MemoryStore, PAGE_BYTES_MAX, SledOptions, SledStore, Store,
};

const BODY_BYTES: usize = 256;
/// About what the follower writes of one waiting job.
const RECORD_BYTES: usize = 40;
const LEDGER_BYTES: usize = 1_000;

/// A catalog, and the checkpoint that the next one replaces.
struct Writer {
    catalog: Catalog,
    lsn: u64,
    blocks: Vec<u64>,
    pages: Vec<u64>,
}

impl Writer {
    fn new(store: Arc<dyn Store>) -> Self {
        let (catalog, _) = Catalog::open(store, 0).expect("an empty store");
        Self {
            catalog,
            lsn: 0,
            blocks: Vec::new(),
            pages: Vec::new(),
        }
    }

    /// A checkpoint that holds these jobs and nothing of the one before.
    fn write(&mut self, bodies: &[Body]) {
        let mut writer = self.catalog.begin();
        for block in self.blocks.drain(..) {
            writer.drop_block(block).expect("it is there");
        }
        for page in self.pages.drain(..) {
            writer.drop_page(page).expect("it is there");
        }
        let blocks = writer.add_bodies(bodies).expect("the store takes them");
        self.blocks.extend(blocks.iter().map(|block| block.number));
        for jobs in bodies.chunks(PAGE_BYTES_MAX / RECORD_BYTES) {
            let (first, last) = (jobs[0].id, jobs[jobs.len() - 1].id);
            let records = vec![7; jobs.len() * RECORD_BYTES];
            let page = writer.add_page(first, last, jobs.len() as u32, &records);
            self.pages.push(page.expect("the store takes it").number);
        }
        self.lsn += 1;
        let ledger = [7; LEDGER_BYTES];
        let written = writer.commit(self.lsn, 1_700_000_000_000, &ledger);
        written.expect("the checkpoint is on the disk");
    }
}

fn bodies(jobs: u64) -> Vec<Body> {
    let bytes = verteilt_benches::body(BODY_BYTES);
    let body = |id| Body {
        id,
        header_length: 0,
        bytes: Bytes::clone(&bytes),
    };
    (1..=jobs).map(body).collect()
}

fn checkpoints(criterion: &mut Criterion) {
    let folder = data_folder().expect("cargo builds this");
    let scratch = Scratch::new(folder).expect("a folder on a disk");
    let mut group = criterion.benchmark_group("checkpoint");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(4));
    for jobs in [1_000, 10_000] {
        let bodies = bodies(jobs);
        group.throughput(Throughput::Elements(jobs));
        let mut writer = Writer::new(Arc::new(MemoryStore::new()));
        group.bench_function(BenchmarkId::new("memory", jobs), |bencher| {
            bencher.iter(|| writer.write(&bodies));
        });
        let folder = scratch.fresh("store").expect("an empty folder");
        let store = SledStore::open(&folder, SledOptions::default()).expect("a new store");
        let mut writer = Writer::new(Arc::new(store));
        group.bench_function(BenchmarkId::new("disk", jobs), |bencher| {
            bencher.iter(|| writer.write(&bodies));
        });
    }
    group.finish();
}

criterion_group!(benches, checkpoints);
criterion_main!(benches);
