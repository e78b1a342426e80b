//! From a data folder to an engine that serves: the last checkpoint, then what the journal holds
//! behind it.

use std::sync::Arc;

use tokio::time::Instant;
use verteilt_core::{JobId, Ledger, Millis, Shard, record};

use crate::bare::Ground;
use crate::clock::{Clock, wall_ms};
use crate::config::BrokerConfig;
use crate::engine::{Bodies, Engine, Failure, Records, Workers};
use crate::error::StartError;
use crate::folder::Folder;
use crate::follower::Follower;
use crate::journal::{FileJournal, Journal, JournalLog, JournalOptions, Recovered};
use crate::space::FolderSpace;
use crate::store::{BlockReader, Catalog, SledOptions, SledStore, Snapshot, Store};

/// Version 1 runs one shard.
pub(crate) const SHARD: u16 = 0;

/// What recovery leaves.
pub(crate) struct Opened {
    pub(crate) engine: Engine,
    pub(crate) journal: Box<dyn Journal>,
    pub(crate) follower: Follower,
    pub(crate) blocks: BlockReader,
    pub(crate) clock: Clock,
}

/// What a broker on this data folder stands on.
pub(crate) fn ground(config: &BrokerConfig, folder: &Folder) -> Result<Ground, Failure> {
    let options = SledOptions {
        cache_bytes: config.store_cache_bytes,
        ..SledOptions::default()
    };
    let store = SledStore::open(&folder.store(), options)?;
    let options = JournalOptions {
        segment_bytes: config.segment_bytes,
        ..JournalOptions::default()
    };
    let (journal, recovered) = FileJournal::open(&folder.journal(), options)?;
    Ok(Ground {
        store: Arc::new(store),
        journal: Box::new(journal),
        recovered,
        space: Some(Arc::new(FolderSpace(config.data.clone()))),
        broker_id: folder.id,
        wall_ms: wall_ms(),
        workers: Workers::Threads,
    })
}

/// Everything but the files: what the store and the journal hold, brought together. `wall_ms` is the
/// wall clock of now.
pub(crate) fn assemble(
    config: &BrokerConfig,
    store: Arc<dyn Store>,
    journal: Box<dyn Journal>,
    recovered: &Recovered,
    wall_ms: Millis,
) -> Result<Opened, StartError> {
    let began = Instant::now();
    let Loaded {
        mut engine,
        catalog,
        snapshot,
        ledger,
    } = load(config, store, journal.log().as_ref(), recovered)?;
    let blocks = catalog.reader();
    let journaled_ms = recovered.last_time_ms.max(snapshot.time_ms);
    let clock = Clock::starting_at(wall_ms, journaled_ms, began);
    tracing::info!(
        jobs = engine.shard().jobs_len(),
        lsn = engine.shard().lsn(),
        checkpoint_lsn = snapshot.lsn,
        cut_bytes = recovered.cut_bytes,
        took_ms = began.elapsed().as_millis() as u64,
        "recovered"
    );
    engine.start(clock.now_ms());
    let at = (snapshot.lsn, snapshot.time_ms);
    let metas = (snapshot.pages, snapshot.blocks, snapshot.records);
    let window_bytes = config.checkpoint_bytes;
    let follower = Follower::new(
        SHARD,
        journal.log(),
        catalog,
        ledger,
        at,
        metas,
        window_bytes,
    );
    Ok(Opened {
        engine,
        journal,
        follower,
        blocks,
        clock,
    })
}

/// The state that a store and a journal hold together, before anybody is served.
pub(crate) struct Loaded {
    pub(crate) engine: Engine,
    pub(crate) catalog: Catalog,
    /// The checkpoint that the journal was replayed onto; LSN 0 and empty when there is none.
    pub(crate) snapshot: Snapshot,
    /// The ledger of that checkpoint.
    pub(crate) ledger: Ledger,
}

/// Brings together what the store and the journal hold; changes neither.
pub(crate) fn load(
    config: &BrokerConfig,
    store: Arc<dyn Store>,
    log: &dyn JournalLog,
    recovered: &Recovered,
) -> Result<Loaded, StartError> {
    let (catalog, snapshot) = Catalog::open(store, SHARD).map_err(Failure::from)?;
    fits_together(snapshot.as_ref(), recovered)?;

    let limits = config.limits();
    let snapshot = snapshot.unwrap_or(Snapshot {
        lsn: 0,
        time_ms: 0,
        ledger: bytes::Bytes::new(),
        pages: Vec::new(),
        blocks: Vec::new(),
        records: Vec::new(),
    });
    let ledger = if snapshot.lsn == 0 {
        Ledger::new(JobId(1), limits.producer_window)
    } else {
        record::ledger(snapshot.ledger.clone(), limits.producer_window).map_err(Failure::from)?
    };
    let shard = restore(limits, &snapshot, ledger.clone(), &catalog.reader())?;
    let bodies = Bodies::new(snapshot.blocks.clone().into(), config.cache_bytes);
    let records = Records::new(snapshot.records.clone().into(), config.cache_bytes);
    let mut engine = Engine::new(SHARD, shard, bodies, records);
    replay(&mut engine, log)?;
    Ok(Loaded {
        engine,
        catalog,
        snapshot,
        ledger,
    })
}

fn fits_together(snapshot: Option<&Snapshot>, recovered: &Recovered) -> Result<(), StartError> {
    let store = snapshot.map_or(0, |snapshot| snapshot.lsn);
    match (recovered.first_lsn, recovered.last_lsn) {
        (Some(journal), _) if journal > store + 1 => Err(StartError::Gap { store, journal }),
        (_, last) if last.unwrap_or(0) < store => Err(StartError::JournalBehind {
            store,
            journal: last.unwrap_or(0),
        }),
        _ => Ok(()),
    }
}

fn restore(
    limits: verteilt_core::Limits,
    snapshot: &Snapshot,
    ledger: Ledger,
    blocks: &BlockReader,
) -> Result<Shard, Failure> {
    let mut failure = None;
    let pages = snapshot
        .pages
        .iter()
        .map_while(|page| match blocks.read_page(page.number) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                failure = Some(Failure::from(error));
                None
            }
        });
    let mut broken = None;
    let jobs = pages.flat_map(record::jobs).map_while(|job| match job {
        Ok(job) => Some(job),
        Err(error) => {
            broken = Some(Failure::from(error));
            None
        }
    });
    let shard = Shard::restore(limits, snapshot.lsn, snapshot.time_ms, ledger, jobs);
    match failure.or(broken) {
        Some(failure) => Err(failure),
        None => Ok(shard),
    }
}

fn replay(engine: &mut Engine, log: &dyn JournalLog) -> Result<(), Failure> {
    while let Some((batch, place)) = log.next(SHARD, engine.shard().lsn())? {
        engine.replay(&batch, place)?;
    }
    Ok(())
}
