//! All jobs of a shard by id: small pages found by hashing, because ids are dense and work on
//! neighbours comes together. About 50 bytes a job, and no long pause to grow a big array of them.

use std::collections::HashMap;

use crate::id::{IdBuild, JobId};
use crate::job::Job;

const PAGE_JOBS: u64 = 32;

#[derive(Debug, Default)]
struct Page {
    used: usize,
    slots: [Option<Job>; PAGE_JOBS as usize],
}

/// Jobs by id.
#[derive(Debug, Default)]
pub(crate) struct JobTable {
    pages: HashMap<u64, Box<Page>, IdBuild>,
    jobs: usize,
}

const fn split(id: JobId) -> (u64, usize) {
    (id.0 / PAGE_JOBS, (id.0 % PAGE_JOBS) as usize)
}

impl JobTable {
    pub(crate) fn len(&self) -> usize {
        self.jobs
    }

    pub(crate) fn get(&self, id: JobId) -> Option<&Job> {
        let (page, slot) = split(id);
        self.pages.get(&page)?.slots[slot].as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: JobId) -> Option<&mut Job> {
        let (page, slot) = split(id);
        self.pages.get_mut(&page)?.slots[slot].as_mut()
    }

    pub(crate) fn insert(&mut self, id: JobId, job: Job) {
        let (page, slot) = split(id);
        let page = self.pages.entry(page).or_default();
        let before = page.slots[slot].replace(job);
        assert!(before.is_none(), "a job id is given once");
        page.used += 1;
        self.jobs += 1;
    }

    /// Jobs with neighbouring ids, a page at a time; `each` sees them before.
    pub(crate) fn insert_all(
        &mut self,
        first_id: JobId,
        jobs: impl Iterator<Item = Job>,
        mut each: impl FnMut(&Job),
    ) {
        let mut jobs = jobs.inspect(|job| each(job)).peekable();
        let mut next = first_id.0;
        while jobs.peek().is_some() {
            let (number, slot) = split(JobId(next));
            let page = self.pages.entry(number).or_default();
            let mut came = 0;
            for (slot, job) in page.slots[slot..].iter_mut().zip(&mut jobs) {
                assert!(slot.replace(job).is_none(), "a job id is given once");
                came += 1;
            }
            page.used += came;
            self.jobs += came;
            next += came as u64;
        }
    }

    pub(crate) fn remove(&mut self, id: JobId) -> Option<Job> {
        let (number, slot) = split(id);
        let page = self.pages.get_mut(&number)?;
        let job = page.slots[slot].take()?;
        page.used -= 1;
        self.jobs -= 1;
        if page.used == 0 {
            self.pages.remove(&number);
        }
        Some(job)
    }

    /// Every job in the order of ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (JobId, &Job)> {
        let mut numbers: Vec<u64> = self.pages.keys().copied().collect();
        numbers.sort_unstable();
        numbers.into_iter().flat_map(|number| {
            let slots = self.pages[&number].slots.iter().enumerate();
            slots.filter_map(move |(slot, job)| {
                Some((JobId(number * PAGE_JOBS + slot as u64), job.as_ref()?))
            })
        })
    }
}
