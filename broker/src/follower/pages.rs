//! The records of changed jobs, written into new pages. Ranges of pages never overlap, so a new
//! page ends where a page that stays begins.

use bytes::BytesMut;
use verteilt_core::{Job, JobId, record};

use super::window::Window;
use crate::engine::Failure;
use crate::store::{CheckpointWriter, PAGE_BYTES_MAX, PageMeta};

/// The most that one record takes: eleven integers, a token, a session.
const RECORD_BYTES_MAX: usize = 128;

/// Writes the window's jobs; returns all pages that the checkpoint has, in order.
pub(super) fn write(
    writer: &mut CheckpointWriter<'_>,
    window: Window,
) -> Result<Vec<PageMeta>, Failure> {
    let (kept, dropped, jobs) = window.into_parts();
    for page in dropped {
        writer.drop_page(page.number)?;
    }
    let mut pages = Vec::with_capacity(kept.len() + jobs.len() / 1_000 + 1);
    let mut kept = kept.into_iter().peekable();
    let mut open = OpenPage::default();
    for (id, job) in &jobs {
        while let Some(page) = kept.next_if(|page| page.first_id <= id.0) {
            open.close(writer, &mut pages)?;
            pages.push(page);
        }
        if open.bytes.len() + RECORD_BYTES_MAX > PAGE_BYTES_MAX {
            open.close(writer, &mut pages)?;
        }
        open.add(*id, job);
    }
    open.close(writer, &mut pages)?;
    pages.extend(kept);
    Ok(pages)
}

#[derive(Default)]
struct OpenPage {
    bytes: BytesMut,
    first_id: JobId,
    last_id: JobId,
    records: u32,
}

impl OpenPage {
    fn add(&mut self, id: JobId, job: &Job) {
        if self.records == 0 {
            self.first_id = id;
            self.last_id = JobId(0);
        }
        record::put_job(&mut self.bytes, self.last_id, id, job);
        self.last_id = id;
        self.records += 1;
    }

    fn close(
        &mut self,
        writer: &mut CheckpointWriter<'_>,
        pages: &mut Vec<PageMeta>,
    ) -> Result<(), Failure> {
        if self.records > 0 {
            let (first, last) = (self.first_id.0, self.last_id.0);
            pages.push(writer.add_page(first, last, self.records, &self.bytes)?);
            self.bytes.clear();
            self.records = 0;
        }
        Ok(())
    }
}
