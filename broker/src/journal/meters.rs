//! What the journal tells about itself. Handles are made once; recording is cheap.

use std::time::Duration;

use metrics::{Histogram, histogram};

pub(super) struct Meters {
    fsync_seconds: Histogram,
    append_bytes: Histogram,
    segment_wait_seconds: Histogram,
}

impl std::fmt::Debug for Meters {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Meters").finish_non_exhaustive()
    }
}

impl Meters {
    pub(super) fn new() -> Self {
        metrics::describe_histogram!(
            "verteilt_journal_fsync_seconds",
            metrics::Unit::Seconds,
            "How long the fdatasync of a batch took."
        );
        metrics::describe_histogram!(
            "verteilt_journal_append_bytes",
            metrics::Unit::Bytes,
            "Payload of a batch."
        );
        metrics::describe_histogram!(
            "verteilt_journal_segment_wait_seconds",
            metrics::Unit::Seconds,
            "How long an append waited for its next segment; near 0 while the preparer keeps up."
        );
        Self {
            fsync_seconds: histogram!("verteilt_journal_fsync_seconds"),
            append_bytes: histogram!("verteilt_journal_append_bytes"),
            segment_wait_seconds: histogram!("verteilt_journal_segment_wait_seconds"),
        }
    }

    pub(super) fn appended(&self, fsync: Duration, payload_bytes: usize) {
        self.fsync_seconds.record(fsync);
        self.append_bytes.record(payload_bytes as f64);
    }

    pub(super) fn rolled(&self, waited: Duration) {
        self.segment_wait_seconds.record(waited);
    }
}
