//! Checkpoint and journal together: that they fit, that the journal can be replayed onto the
//! checkpoint, and that every job and every part of a large body has its bytes. A record that does
//! not follow on the one before it in its partition cannot be replayed, so what the journal holds of
//! a topic goes on where the checkpoint ends.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use verteilt_core::JobId;

use super::state::{BodyLengths, Checkpoint, whole_length};
use super::{Proven, QueueReport, Report, TopicReport, VerifyError, newer};
use crate::config::BrokerConfig;
use crate::engine::{Engine, Found, Loaded, Source, read};
use crate::error::StartError;
use crate::journal::{JournalLog, Recovered};
use crate::recovery;
use crate::store::{BlockReader, Store};

/// Brings both together as a start would, and counts the jobs.
pub(super) fn check(
    config: &BrokerConfig,
    store: &Arc<dyn Store>,
    checkpoint: &Checkpoint,
    (recovered, log): (&Recovered, &dyn JournalLog),
    file: &Path,
    report: &mut Report,
) -> Result<Option<Proven>, VerifyError> {
    let load = || recovery::load(config, Arc::clone(store), log, recovered);
    // Events that do not follow on the state end the process of a broker.
    let loaded = match caught(load) {
        Ok(Ok(loaded)) => loaded,
        Ok(Err(StartError::Recovery(failure))) => {
            if let Some(newer) = newer(&failure) {
                return Err(newer);
            }
            report.problem(file.to_owned(), failure.to_string());
            return Ok(None);
        }
        Ok(Err(other)) => {
            report.problem(file.to_owned(), other.to_string());
            return Ok(None);
        }
        Err(panic) => {
            let what = format!("the journal does not follow on the checkpoint: {panic}");
            report.problem(file.to_owned(), what);
            return Ok(None);
        }
    };
    let shard = loaded.engine.shard();
    report.last_lsn = shard.lsn();
    report.jobs = shard.jobs_len() as u64;
    report.queues = shard.all_stats().into_iter().map(queue).collect();
    report.topics = shard.all_topics().into_iter().map(topic).collect();
    report.records = report.topics.iter().map(|topic| topic.records).sum();

    let mut places = Places {
        engine: &loaded.engine,
        log,
        blocks: loaded.catalog.reader(),
        in_blocks: &checkpoint.bodies,
        last: None,
    };
    let ledger = shard.ledger();
    for (id, job) in shard.jobs() {
        let length = whole_length(ledger, id, |part| places.length_of(part));
        if length != Some(u64::from(job.length)) {
            let id = id.0;
            let what = format!("the body of job {id} is missing, or has another length");
            report.problem(file.to_owned(), what);
        }
    }
    for part in ledger.parts() {
        if places.length_of(part).is_none() {
            let id = part.0;
            report.problem(
                file.to_owned(),
                format!("body {id}, of a request or a part of a large one, is missing"),
            );
        }
    }
    for body in ledger.requests().bodies() {
        let length = places.length_of(body.id);
        if length.is_some_and(|length| length != body.length) {
            let id = body.id.0;
            report.problem(file.to_owned(), format!("body {id} has another length"));
        }
    }
    Ok((!report.is_damaged()).then(|| Proven {
        epoch: shard.epoch(),
        now_ms: shard.now_ms(),
    }))
}

/// Where bodies lie, and what was read last: jobs are asked for in the order in which they lie.
struct Places<'a> {
    engine: &'a Engine,
    log: &'a dyn JournalLog,
    blocks: BlockReader,
    in_blocks: &'a BodyLengths,
    last: Option<(Source, Loaded)>,
}

impl Places<'_> {
    fn length_of(&mut self, id: JobId) -> Option<u32> {
        let length = |(_, bytes): Found| u32::try_from(bytes.len()).ok();
        let source = match self.engine.bodies.find(id) {
            Ok(found) => return length(found),
            Err(source) => source?,
        };
        if matches!(source, Source::Block { .. }) {
            // Every block has been read and proven.
            return self.in_blocks.of(id);
        }
        if self.last.as_ref().is_none_or(|(last, _)| *last != source) {
            self.last = Some((source, read(self.log, &self.blocks, source).ok()?));
        }
        let (_, loaded) = self.last.as_ref()?;
        loaded.find(id).and_then(length)
    }
}

fn queue((namespace, stats): (String, verteilt_core::QueueStats)) -> QueueReport {
    QueueReport {
        namespace,
        queue: stats.queue,
        paused: stats.paused,
        scheduled: stats.scheduled,
        ready: stats.ready,
        leased: stats.leased,
        failed: stats.failed,
        dead: stats.dead,
    }
}

fn topic((namespace, stats): (String, verteilt_core::TopicStats)) -> TopicReport {
    TopicReport {
        namespace,
        topic: stats.topic,
        partitions: stats.partitions,
        records: stats.records,
        bytes: stats.bytes,
        groups: stats.groups,
    }
}

/// What `work` gives, or what it panicked with.
pub(super) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let owned = panic.downcast_ref::<String>().cloned();
        let text = owned.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
        text.unwrap_or_else(|| "an invariant does not hold".to_owned())
    })
}
