//! The checkpoint in a store: its directory, every page, every block, and how they fit each other.
//! Record blocks are in `records.rs`.

use std::path::Path;
use std::sync::Arc;

use verteilt_core::{JobId, Ledger, record};

use super::{Report, VerifyError, newer};
use crate::engine::Failure;
use crate::recovery::SHARD;
use crate::store::{BlockMeta, BlockReader, Catalog, PageMeta, Snapshot, Store, StoreError};

/// A checkpoint that holds together.
#[derive(Debug)]
pub(super) struct Checkpoint {
    /// 0 when there is none yet.
    pub(super) lsn: u64,
    pub(super) pages: usize,
    pub(super) blocks: usize,
    pub(super) record_blocks: usize,
    pub(super) bodies: BodyLengths,
}

/// The length of every body in the blocks, in the order of ids.
#[derive(Debug, Default)]
pub(super) struct BodyLengths(Vec<(u64, u32)>);

impl BodyLengths {
    pub(super) fn of(&self, id: JobId) -> Option<u32> {
        let at = self.0.binary_search_by_key(&id.0, |(id, _)| *id).ok()?;
        Some(self.0[at].1)
    }
}

/// Checks the newest checkpoint; `None` when it is damaged. `file` names the store in the report.
pub(super) fn check(
    store: &Arc<dyn Store>,
    file: &Path,
    window: u32,
    report: &mut Report,
) -> Result<Option<Checkpoint>, VerifyError> {
    let mut look = Look { file, report };
    let Some((catalog, snapshot)) = look.at(Catalog::open(Arc::clone(store), SHARD))? else {
        return Ok(None);
    };
    let Some(snapshot) = snapshot else {
        return Ok(Some(Checkpoint {
            lsn: 0,
            pages: 0,
            blocks: 0,
            record_blocks: 0,
            bodies: BodyLengths::default(),
        }));
    };
    let ledger = record::ledger(snapshot.ledger.clone(), window);
    let Some(ledger) = look.at(ledger)? else {
        return Ok(None);
    };
    let reader = catalog.reader();
    let jobs = look.pages(&reader, &snapshot.pages)?;
    let parts = ledger.parts();
    let bodies = look.blocks(&reader, &snapshot, &jobs, &parts)?;
    look.records(&reader, &snapshot.records, &ledger)?;
    if look.report.is_damaged() {
        return Ok(None);
    }
    look.every_job_has_its_body(&jobs, &ledger, &bodies);
    look.report.checkpoint_lsn = snapshot.lsn;
    Ok((!look.report.is_damaged()).then_some(Checkpoint {
        lsn: snapshot.lsn,
        pages: snapshot.pages.len(),
        blocks: snapshot.blocks.len(),
        record_blocks: snapshot.records.len(),
        bodies,
    }))
}

/// One look at a checkpoint: where it is, and what is found.
pub(super) struct Look<'a> {
    file: &'a Path,
    report: &'a mut Report,
}

impl Look<'_> {
    /// The value, or `None` and a line in the report.
    pub(super) fn at<T, E: Into<Failure>>(
        &mut self,
        found: Result<T, E>,
    ) -> Result<Option<T>, VerifyError> {
        let failure = match found {
            Ok(value) => return Ok(Some(value)),
            Err(error) => error.into(),
        };
        if let Some(newer) = newer(&failure) {
            return Err(newer);
        }
        let what = match &failure {
            Failure::Store(StoreError::Damaged { key, reason }) => format!("{key}: {reason}"),
            other => other.to_string(),
        };
        self.wrong(what);
        Ok(None)
    }

    pub(super) fn wrong(&mut self, what: String) {
        self.report.problem(self.file.to_owned(), what);
    }

    /// Every page: its records, as many and from where to where as the directory says. Returns the
    /// ids of all jobs with their lengths, in order.
    fn pages(
        &mut self,
        reader: &BlockReader,
        pages: &[PageMeta],
    ) -> Result<Vec<(JobId, u32)>, VerifyError> {
        let mut jobs = Vec::new();
        for page in pages {
            let Some(bytes) = self.at(reader.read_page(page.number))? else {
                continue;
            };
            let records: Result<Vec<_>, _> = record::jobs(bytes).collect();
            let Some(records) = self.at(records)? else {
                continue;
            };
            let ids = |at: Option<&(JobId, _)>| at.map(|(id, _)| id.0);
            let is_as_named = records.len() == page.records as usize
                && ids(records.first()) == Some(page.first_id)
                && ids(records.last()) == Some(page.last_id)
                && records.is_sorted_by(|a, b| a.0 < b.0);
            if !is_as_named {
                let number = page.number;
                self.wrong(format!(
                    "page {number}: it does not hold what the directory says"
                ));
            }
            jobs.extend(records.into_iter().map(|(id, job)| (id, job.length)));
        }
        Ok(jobs)
    }

    /// Every block: its bodies, as many, from where to where, and as many of them live as the
    /// directory says.
    fn blocks(
        &mut self,
        reader: &BlockReader,
        snapshot: &Snapshot,
        jobs: &[(JobId, u32)],
        parts: &[JobId],
    ) -> Result<BodyLengths, VerifyError> {
        let is_live = |id: u64| {
            let is_job = jobs.binary_search_by_key(&id, |(job, _)| job.0).is_ok();
            is_job || parts.binary_search(&JobId(id)).is_ok()
        };
        let mut lengths = Vec::new();
        for block in &snapshot.blocks {
            let bodies = self.at(reader.read_block(block.number, block.parts))?;
            let Some(bodies) = bodies else { continue };
            let ids = || bodies.iter().map(|body| body.id);
            let live = ids().filter(|id| is_live(*id)).count();
            self.block(block, ids().next(), ids().next_back(), bodies.len(), live);
            let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
            lengths.extend(
                bodies
                    .iter()
                    .map(|body| (body.id, length(body.bytes.len()))),
            );
        }
        Ok(BodyLengths(lengths))
    }

    fn block(
        &mut self,
        block: &BlockMeta,
        first: Option<u64>,
        last: Option<u64>,
        entries: usize,
        live: usize,
    ) {
        let is_as_named = (first, last) == (Some(block.first_id), Some(block.last_id))
            && entries == block.entries as usize;
        let number = block.number;
        if !is_as_named {
            self.wrong(format!(
                "block {number}: it does not hold what the directory says"
            ));
        } else if live != block.live as usize {
            let counted = block.live;
            self.wrong(format!(
                "block {number}: {live} of its bodies are needed, the directory counts {counted}"
            ));
        }
    }

    fn every_job_has_its_body(
        &mut self,
        jobs: &[(JobId, u32)],
        ledger: &Ledger,
        bodies: &BodyLengths,
    ) {
        for (id, length) in jobs {
            let whole = whole_length(ledger, *id, |part| bodies.of(part));
            if whole != Some(u64::from(*length)) {
                let id = id.0;
                self.wrong(format!(
                    "the body of job {id} is missing, or has another length"
                ));
            }
        }
    }
}

/// The length of a body with its parts; `None` when one of them is nowhere.
pub(super) fn whole_length(
    ledger: &Ledger,
    id: JobId,
    mut length_of: impl FnMut(JobId) -> Option<u32>,
) -> Option<u64> {
    let own = u64::from(length_of(id)?);
    let mut parts = ledger.parts_of(id).iter();
    parts.try_fold(own, |sum, part| Some(sum + u64::from(length_of(*part)?)))
}
