//! Every way in which the journal can refuse, each text with what to do next.

use std::{io, path::PathBuf, sync::Arc};

use thiserror::Error;

/// Why the journal refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The journal stopped for good. Nothing that was unacknowledged may be acknowledged now.
    #[error(
        "the journal has stopped: {cause}. Nothing was acknowledged after this; \
         remove the cause and start the broker again, it recovers by itself"
    )]
    Failed {
        /// The first failure.
        #[source]
        cause: Arc<Self>,
    },

    /// Bytes that were once durable are no longer what was written.
    #[error(
        "{} is damaged at offset {offset} (log sequence number {lsn}): {why}. Acknowledged data \
         is affected, so the broker does not start; check the disk, then restore the data folder \
         from a backup or a replica", file.display()
    )]
    Damaged {
        /// The damaged file.
        file: PathBuf,
        /// The log sequence number that should stand there; 0 when the file holds none.
        lsn: u64,
        /// Where in the file.
        offset: u64,
        /// What is wrong.
        why: &'static str,
    },

    /// The journal ends before the place up to which it is known to have been durable.
    #[error(
        "the journal ends at log sequence number {recovered}, but {watermark} was durable before: \
         {} was cut or removed. Acknowledged data is missing, so the broker does not start; check \
         the disk, then restore the data folder from a backup or a replica", file.display()
    )]
    CutShort {
        /// The segment up to which the watermark reaches.
        file: PathBuf,
        /// The last log sequence number that can be read; 0 when none.
        recovered: u64,
        /// The log sequence number that the watermark names.
        watermark: u64,
    },

    /// A file was written by a version that this one does not know.
    #[error(
        "{} has format version {version}, which this version of the broker cannot read; \
         start the version that wrote it, or a newer one", file.display()
    )]
    UnknownFormat {
        /// The file.
        file: PathBuf,
        /// The version that it carries.
        version: u16,
    },

    /// The operating system refused.
    #[error(
        "cannot {op} {}: {source}. Check that the disk is healthy and not full and that the \
         broker may write there, then start again", path.display()
    )]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried, as a verb.
        op: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },

    /// The disk had no room for the next segment for too long.
    #[error(
        "no room for another journal segment in {} within {waited_ms} ms; free some space on the \
         disk, then start the broker again", path.display()
    )]
    DiskFull {
        /// The folder of the journal.
        path: PathBuf,
        /// How long the append waited.
        waited_ms: u64,
    },

    /// What was asked for has been trimmed.
    #[error(
        "segment {segment} of the journal was trimmed, what it held is in the store; read it there"
    )]
    Trimmed {
        /// Use number of the segment, or of the oldest one left when reading by number.
        segment: u64,
    },

    /// A place reaches beyond what is durable.
    #[error(
        "offset {offset} and {length} bytes reach beyond the durable end of segment {segment}; \
         ask only for places that an append or a read returned"
    )]
    NotDurable {
        /// Use number of the segment.
        segment: u64,
        /// Offset asked for.
        offset: u32,
        /// Length asked for.
        length: u32,
    },

    /// A batch does not follow the one before it.
    #[error(
        "a batch of shard {shard} starts at log sequence number {found}, but {expected} comes \
         next; this is a defect of the broker, report it"
    )]
    OutOfOrder {
        /// The shard.
        shard: u16,
        /// The number that comes next.
        expected: u64,
        /// The number that was given.
        found: u64,
    },

    /// A batch without events.
    #[error(
        "a batch of shard {shard} holds no event; only a seal may, this is a defect of the \
         broker, report it"
    )]
    EmptyBatch {
        /// The shard.
        shard: u16,
    },

    /// A batch is over the limit.
    #[error("a batch of {bytes} bytes is over the limit of {bytes_max}; split it")]
    BatchTooLarge {
        /// Its payload in bytes.
        bytes: usize,
        /// The most that is allowed.
        bytes_max: usize,
    },

    /// The options do not make sense.
    #[error("bad journal options: {why}; correct the configuration")]
    BadOptions {
        /// What is wrong.
        why: &'static str,
    },

    /// The journal was closed.
    #[error("the journal is closed; open it again")]
    Closed,
}
