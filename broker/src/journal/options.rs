//! What can be set.

use std::time::Duration;

use super::{
    BATCH_BYTES_MAX, JournalError,
    header::HEADER_BYTES,
    layout::{DATA_OFFSET, PAGE_BYTES},
};

const SEGMENT_BYTES_MIN: u32 = 64 * 1024;
const SEGMENT_BYTES_MAX: u32 = 1024 * 1024 * 1024;

/// Options of the file journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalOptions {
    /// Size of a segment file: a multiple of 4096 from 64 KiB to 1 GiB. Below about 17 MiB the
    /// largest batch is what fits in one segment. Existing files keep theirs.
    pub segment_bytes: u32,
    /// How many empty segments are kept ready beyond the one that is written; at least 1. They
    /// are also what is left to append when the disk is full.
    pub spare_segments: usize,
    /// How many trimmed files are kept for their next use; more are deleted.
    pub recycled_segments_max: usize,
    /// How long an append waits for a segment before it gives up.
    pub segment_wait: Duration,
    /// How often the watermark moves.
    pub watermark_interval: Duration,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 64 * 1024 * 1024,
            spare_segments: 2,
            recycled_segments_max: 4,
            segment_wait: Duration::from_secs(30),
            watermark_interval: Duration::from_secs(1),
        }
    }
}

impl JournalOptions {
    pub(super) fn check(&self) -> Result<(), JournalError> {
        let refuse = |why| Err(JournalError::BadOptions { why });
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&self.segment_bytes) {
            return refuse("a segment is from 64 KiB to 1 GiB");
        }
        if !self.segment_bytes.is_multiple_of(PAGE_BYTES) {
            return refuse("the size of a segment is a multiple of 4096");
        }
        if self.spare_segments == 0 {
            return refuse("at least one spare segment is needed");
        }
        Ok(())
    }

    /// The largest payload that fits in an empty segment of `segment_bytes`, within the limit.
    pub(super) fn batch_bytes_max(segment_bytes: u32) -> usize {
        let room = segment_bytes.saturating_sub(DATA_OFFSET) as usize;
        room.saturating_sub(HEADER_BYTES).min(BATCH_BYTES_MAX)
    }
}
