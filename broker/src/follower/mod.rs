//! The follower: reads durable batches beside the engine and brings what survives into the store.
//!
//! It has its own copy of the small state and applies the same events with the same code, so it
//! never touches the engine's memory. A job that was pushed, run and acknowledged between two
//! checkpoints is netted out and never reaches the store. A checkpoint is exact at one LSN.
//!
//! | file | what stands there |
//! |---|---|
//! | `mod.rs` | the thread's loop, and one checkpoint from end to end |
//! | `window.rs` | the jobs that the events of one checkpoint touch |
//! | `pages.rs` | the records of changed jobs, written anew |
//! | `records.rs` | records copied out of the journal, a block for each partition |
//! | `blocks.rs` | bodies copied out of the journal, worn blocks rewritten |

mod blocks;
mod pages;
mod records;
mod window;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bytes::BytesMut;
use verteilt_core::{Event, EventReader, JobId, Ledger, Lsn, Millis, TopicEvent, record};

use self::blocks::Births;
use self::records::Records;
use self::window::Window;
use crate::engine::Failure;
use crate::journal::{JournalLog, Place};
use crate::store::{
    BlockMeta, BlockReader, Catalog, PageMeta, PinnedCheckpoint, RecordBlockMeta, StoreError,
};

/// What the follower is asked to do.
#[derive(Debug)]
pub(crate) enum FollowerTask {
    /// Bring the store up to what is durable now.
    Checkpoint {
        /// What is copied from worn blocks into new ones on the way, about; the rest follows later.
        worn_bytes_max: u64,
    },
    /// Nobody looks into the journal up to here any more.
    Trim(Lsn),
    /// Hand out the newest checkpoint, to be kept as it is while it is read.
    Pin,
}

/// What the follower says.
#[derive(Debug)]
pub(crate) enum FollowerReport {
    /// A checkpoint is on disk; bodies up to its LSN are in these blocks.
    Written {
        /// Its LSN.
        lsn: Lsn,
        /// Bytes of journal that it covered.
        covered_bytes: u64,
        /// Bytes that live in the store.
        stored_bytes: u64,
        /// All blocks, in the order of ids.
        blocks: Arc<[BlockMeta]>,
        /// All record blocks, in the order of their places.
        records: Arc<[RecordBlockMeta]>,
    },
    /// The journal was trimmed.
    Trimmed {
        /// Up to here.
        lsn: Lsn,
    },
    /// The newest checkpoint; `None` when there is none yet.
    Pinned(Option<PinnedCheckpoint>),
    /// Nothing can be written any more.
    Failed(Failure),
}

/// The follower of one shard.
#[derive(Debug)]
pub(crate) struct Follower {
    shard: u16,
    log: Arc<dyn JournalLog>,
    catalog: Catalog,
    reader: BlockReader,
    ledger: Ledger,
    lsn: Lsn,
    now_ms: Millis,
    pages: Vec<PageMeta>,
    blocks: Vec<BlockMeta>,
    records: Vec<RecordBlockMeta>,
    /// Journal that one checkpoint covers at most; the rest follows with the next.
    window_bytes: u64,
    /// What one checkpoint copies from worn blocks, about: both lie in the store until it is done.
    worn_bytes_max: u64,
    /// Journal that the last checkpoint covered.
    covered_bytes: u64,
    stop: Arc<AtomicBool>,
}

/// Jobs that one checkpoint holds in memory, at about 100 bytes each, before it ends early.
const WINDOW_JOBS_MAX: usize = 100_000;
/// About what the record of a job takes in its page.
const JOB_RECORD_BYTES: u64 = 64;
/// About what a request of durability `disk` takes in the ledger.
const REQUEST_RECORD_BYTES: u64 = 128;
/// Journal that one checkpoint covers before it ends early: what it copies passes through memory.
const WINDOW_BYTES_MAX: u64 = 64 * 1024 * 1024;

impl Follower {
    /// Goes on from a checkpoint; without one from an empty ledger and LSN 0.
    pub(crate) fn new(
        shard: u16,
        log: Arc<dyn JournalLog>,
        catalog: Catalog,
        ledger: Ledger,
        (lsn, now_ms): (Lsn, Millis),
        (pages, blocks, records): (Vec<PageMeta>, Vec<BlockMeta>, Vec<RecordBlockMeta>),
        window_bytes: u64,
    ) -> Self {
        let reader = catalog.reader();
        let stop = Arc::default();
        Self {
            shard,
            log,
            catalog,
            reader,
            ledger,
            lsn,
            now_ms,
            pages,
            blocks,
            records,
            window_bytes: window_bytes.min(WINDOW_BYTES_MAX),
            worn_bytes_max: u64::MAX,
            covered_bytes: 0,
            stop,
        }
    }

    /// Set to make a checkpoint that is being written give up; the one before stays in force.
    pub(crate) fn stop_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    /// Does one task. `None` when it was told to stop meanwhile.
    pub(crate) fn work(&mut self, task: &FollowerTask) -> Option<FollowerReport> {
        let report = match task {
            FollowerTask::Checkpoint { worn_bytes_max } => {
                self.worn_bytes_max = *worn_bytes_max;
                self.checkpoint().map(|()| self.written())
            }
            FollowerTask::Trim(lsn) => {
                let trimmed = self.log.trim(self.shard, *lsn).map_err(Failure::from);
                trimmed.map(|()| FollowerReport::Trimmed { lsn: *lsn })
            }
            FollowerTask::Pin => Ok(FollowerReport::Pinned(self.catalog.pin())),
        };
        if self.stop.load(Ordering::Relaxed) {
            return None;
        }
        Some(report.unwrap_or_else(FollowerReport::Failed))
    }

    /// What the last checkpoint left.
    pub(crate) fn written(&self) -> FollowerReport {
        FollowerReport::Written {
            lsn: self.lsn,
            covered_bytes: self.covered_bytes,
            stored_bytes: self.stored_bytes(),
            blocks: self.blocks.clone().into(),
            records: self.records.clone().into(),
        }
    }

    /// What the checkpoint takes, without what the engine below adds to it.
    pub(crate) fn stored_bytes(&self) -> u64 {
        let bodies = self.blocks.iter().map(|block| u64::from(block.bytes));
        let records = self.records.iter().map(|block| u64::from(block.bytes));
        let pages = self.pages.iter().map(|page| u64::from(page.records));
        let requests = self.ledger.requests();
        let requests = (requests.open_len() + requests.results_len()) as u64;
        bodies.sum::<u64>()
            + records.sum::<u64>()
            + pages.sum::<u64>() * JOB_RECORD_BYTES
            + requests * REQUEST_RECORD_BYTES
    }

    /// Brings the store up to what is durable when it begins, or as far as one window reaches.
    ///
    /// # Errors
    /// Of the journal and the store; all final.
    pub(crate) fn checkpoint(&mut self) -> Result<(), Failure> {
        let began = Instant::now();
        let until = self.log.durable_lsn(self.shard);
        self.covered_bytes = 0;
        if until <= self.lsn {
            return Ok(());
        }
        let fresh_from = self.ledger.next_id();
        let mut window = Window::new(&self.pages, self.reader.clone());
        let mut published = Vec::new();
        let (births, lsn) = self.read_events(&mut window, &mut published, until)?;
        window.load_small_tail()?;

        let parts = self.ledger.parts();
        let mut writer = self.catalog.begin();
        let mut blocks = std::mem::take(&mut self.blocks);
        blocks::settle_losses(&mut blocks, window.gone(), fresh_from);
        let stop = &self.stop;
        self.blocks = blocks::write(
            &mut writer,
            (&self.reader, self.log.as_ref()),
            &blocks,
            &births,
            self.worn_bytes_max,
            |id| window.is_alive(id, &parts),
            || stop.load(Ordering::Relaxed),
        )?;
        self.pages = pages::write(&mut writer, window)?;
        let blocks = std::mem::take(&mut self.records);
        self.records = Records::begin(&mut writer, &self.reader, &self.ledger, blocks)?.copy(
            self.log.as_ref(),
            &published,
            || stop.load(Ordering::Relaxed),
        )?;
        let mut ledger = BytesMut::new();
        record::put_ledger(&mut ledger, &self.ledger);
        let summary = writer.commit(lsn, self.now_ms, &ledger)?;
        self.lsn = lsn;
        metrics::histogram!("verteilt_checkpoint_seconds").record(began.elapsed().as_secs_f64());
        metrics::counter!("verteilt_checkpoint_bytes_total").increment(summary.written_bytes);
        tracing::debug!(lsn, bytes = summary.written_bytes, "checkpoint written");
        Ok(())
    }

    /// `published`: the batches that hold records are added here.
    fn read_events(
        &mut self,
        window: &mut Window,
        published: &mut Vec<Place>,
        until: Lsn,
    ) -> Result<(Births, Lsn), Failure> {
        let mut births = Births::default();
        let mut lsn = self.lsn;
        while lsn < until && !self.stop.load(Ordering::Relaxed) {
            if self.covered_bytes >= self.window_bytes || window.len() >= WINDOW_JOBS_MAX {
                break;
            }
            let Some((batch, place)) = self.log.next(self.shard, lsn)? else {
                break;
            };
            let last_lsn = batch.last_lsn();
            self.covered_bytes += batch.payload.len() as u64;
            let mut ids: Option<(JobId, JobId)> = None;
            let mut has_records = false;
            for event in EventReader::new(batch.payload, batch.first_lsn, batch.time_ms) {
                let (event_lsn, now_ms, event) = event?;
                if event_lsn <= lsn {
                    continue;
                }
                self.now_ms = self.now_ms.max(now_ms);
                if let Some((first, last)) = bodies_of(&event) {
                    ids = Some((ids.map_or(first, |(first, _)| first), last));
                }
                has_records |= matches!(event, Event::Topic(TopicEvent::Published(_)));
                window.load(&event.named_jobs())?;
                window.lose_parts(&self.ledger.parts_freed_by(&event));
                self.ledger.apply(window, &event, self.now_ms);
            }
            if let Some((first_id, last_id)) = ids {
                births.add(place, first_id, last_id);
            }
            if has_records {
                published.push(place);
            }
            lsn = last_lsn;
        }
        Ok((births, lsn))
    }
}

fn bodies_of(event: &Event) -> Option<(JobId, JobId)> {
    match event {
        Event::Pushed(pushed) => {
            let last = pushed.first_id.0 + pushed.count() as u64 - 1;
            Some((pushed.first_id, JobId(last)))
        }
        Event::PartStored { id, .. } => Some((*id, *id)),
        Event::Request(event) => event.body().map(|id| (id, id)),
        _ => None,
    }
}

/// The thread takes the time that nobody else needs.
pub(crate) fn step_back() {
    let thread = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(thread), 10) {
        tracing::debug!(%error, "the thread runs at normal priority");
    }
}

/// Whether giving up was asked for; the checkpoint before stays in force.
fn stopped() -> StoreError {
    StoreError::Refused {
        reason: "the broker is stopping",
    }
}
