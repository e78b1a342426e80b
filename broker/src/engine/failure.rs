//! Why the engine stopped by itself. Every cause is final: nothing is acknowledged after it.

use crate::journal::JournalError;
use crate::store::StoreError;

/// What ended the engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The journal could not be written, or was found damaged.
    #[error("{0}")]
    Journal(#[from] JournalError),
    /// The store failed or was found damaged.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// What the journal holds cannot be read.
    #[error("a record of the journal cannot be read: {0}")]
    Codec(#[from] verteilt_core::CodecError),
    /// Bytes of the journal changed on the disk after they were proved at the start.
    #[error(
        "segment {segment} of the journal is damaged behind offset {offset}: the bytes changed on \
         the disk. Nothing wrong was handed out; check the disk, then restore the data folder"
    )]
    BodyDamaged {
        /// Use number of the segment.
        segment: u64,
        /// Where in the file.
        offset: u32,
    },
    /// The body of a job is nowhere.
    #[error(
        "the body of job {0} is neither in the journal nor in the store. Stop using this data \
         folder, keep a copy of it, and report this"
    )]
    BodyMissing(u64),
    /// A thread of the engine ended without being asked to.
    #[error("the {0} thread ended unexpectedly; its panic is in the log. Start the broker again")]
    ThreadGone(&'static str),
}
