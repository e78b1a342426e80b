//! The jobs that the events of one checkpoint touch: new ones, and those of pages that were read
//! because an event names one of their jobs. A page that was read is written anew.

use std::collections::{BTreeMap, HashSet};

use verteilt_core::{Job, JobId, JobSlots, QueueId, record};

use crate::engine::Failure;
use crate::store::{BlockReader, PageMeta};

/// A page at the end with fewer records is filled up instead of leaving it as it is.
const SMALL_PAGE_RECORDS: u32 = 512;

pub(super) struct Window {
    reader: BlockReader,
    /// In the order of ids.
    pages: Vec<PageMeta>,
    loaded: Vec<bool>,
    jobs: BTreeMap<JobId, Job>,
    /// Ids whose bodies nobody needs any more.
    gone: Vec<JobId>,
    /// The last page that was only looked at.
    seen: Option<(usize, HashSet<JobId>)>,
}

impl JobSlots for Window {
    fn insert(&mut self, id: JobId, job: Job) {
        self.jobs.insert(id, job);
    }

    fn update(&mut self, id: JobId, change: impl FnOnce(&mut Job)) -> QueueId {
        let job = self
            .jobs
            .get_mut(&id)
            .expect("the page of a named job was read before");
        change(job);
        job.queue
    }

    fn remove_all(&mut self, ids: &[JobId], mut each: impl FnMut(JobId, &Job)) {
        for id in ids {
            self.gone.push(*id);
            let job = self.jobs.remove(id);
            each(*id, &job.expect("the page of a named job was read before"));
        }
    }
}

impl Window {
    pub(super) fn new(pages: &[PageMeta], reader: BlockReader) -> Self {
        Self {
            reader,
            pages: pages.to_vec(),
            loaded: vec![false; pages.len()],
            jobs: BTreeMap::new(),
            gone: Vec::new(),
            seen: None,
        }
    }

    /// Jobs in memory.
    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Makes the jobs ready to be changed.
    pub(super) fn load(&mut self, ids: &[JobId]) -> Result<(), Failure> {
        for id in ids {
            if let Some(at) = self.page_of(*id).filter(|at| !self.loaded[*at]) {
                self.load_page(at)?;
            }
        }
        Ok(())
    }

    /// Small pages at the end are written together with what is new.
    pub(super) fn load_small_tail(&mut self) -> Result<(), Failure> {
        for at in (0..self.pages.len()).rev() {
            if self.pages[at].records >= SMALL_PAGE_RECORDS {
                break;
            }
            if !self.loaded[at] {
                self.load_page(at)?;
            }
        }
        Ok(())
    }

    pub(super) fn lose_parts(&mut self, parts: &[JobId]) {
        self.gone.extend_from_slice(parts);
    }

    pub(super) fn gone(&self) -> &[JobId] {
        &self.gone
    }

    /// Whether somebody still needs the body with this id; `parts` are the ids of parts of large
    /// bodies that are needed, in order.
    pub(super) fn is_alive(&mut self, id: JobId, parts: &[JobId]) -> Result<bool, Failure> {
        if self.jobs.contains_key(&id) || parts.binary_search(&id).is_ok() {
            return Ok(true);
        }
        let Some(at) = self.page_of(id).filter(|at| !self.loaded[*at]) else {
            return Ok(false);
        };
        if self.seen.as_ref().is_none_or(|(page, _)| *page != at) {
            let records = record::jobs(self.reader.read_page(self.pages[at].number)?);
            let ids = records.map(|record| record.map(|(id, _)| id));
            self.seen = Some((at, ids.collect::<Result<_, _>>()?));
        }
        Ok(self.seen.as_ref().is_some_and(|(_, ids)| ids.contains(&id)))
    }

    /// Pages as they are, pages to drop, and the jobs to write instead.
    pub(super) fn into_parts(self) -> (Vec<PageMeta>, Vec<PageMeta>, BTreeMap<JobId, Job>) {
        let pairs = self.pages.into_iter().zip(self.loaded);
        let (dropped, kept): (Vec<_>, Vec<_>) = pairs.partition(|(_, loaded)| *loaded);
        let pages =
            |pairs: Vec<(PageMeta, bool)>| pairs.into_iter().map(|(page, _)| page).collect();
        (pages(kept), pages(dropped), self.jobs)
    }

    fn page_of(&self, id: JobId) -> Option<usize> {
        let at = self
            .pages
            .partition_point(|page| page.first_id <= id.0)
            .checked_sub(1)?;
        (self.pages[at].last_id >= id.0).then_some(at)
    }

    fn load_page(&mut self, at: usize) -> Result<(), Failure> {
        for record in record::jobs(self.reader.read_page(self.pages[at].number)?) {
            let (id, job) = record?;
            self.jobs.insert(id, job);
        }
        self.loaded[at] = true;
        Ok(())
    }
}
