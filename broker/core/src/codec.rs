//! The bytes of events in the journal, format 1.
//!
//! A batch is a row of records `length u32 | tag u8 | fields`, little-endian, integers as LEB128
//! unless a width is named. A tag means one layout for ever: a changed layout takes a new tag, so
//! that journals of every released version can be read. Tag 0 is no event: it tells the time of
//! the events behind it.

mod body;
mod book;
mod read;
pub mod record;
mod request;
mod run;
mod topic;
mod topics;
mod wire;
mod write;

pub use body::BodyRun;
pub use read::EventReader;
pub use run::{RecordRun, RecordTables};
pub use write::{Written, encode_clock, encode_event};

/// Bytes that are no record of this format. The journal checks its own sums, so this means a
/// newer writer or a fault of ours, never a worn disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// A record ends before its fields do.
    #[error("a record ends too early")]
    Short,
    /// The tag is not one of this version.
    #[error("unknown record tag {0}: written by a newer version of verteilt; start that version")]
    UnknownTag(u8),
    /// A field has a value that it cannot have.
    #[error("a record holds an impossible value")]
    Impossible,
}

mod tag {
    pub(super) const CLOCK: u8 = 0;
    pub(super) const STARTED: u8 = 1;
    pub(super) const QUEUE_CREATED: u8 = 2;
    pub(super) const PUSHED: u8 = 3;
    pub(super) const PART_STORED: u8 = 4;
    pub(super) const UPLOAD_DROPPED: u8 = 5;
    pub(super) const LEASED: u8 = 6;
    pub(super) const ACKED: u8 = 7;
    pub(super) const FAILED: u8 = 8;
    pub(super) const DIED: u8 = 9;
    pub(super) const REQUEUED: u8 = 10;
    pub(super) const TOUCHED: u8 = 11;
    pub(super) const QUEUE_PAUSED: u8 = 12;
    pub(super) const PURGED: u8 = 13;
    pub(super) const PRODUCERS_FORGOTTEN: u8 = 14;
    pub(super) const TOPIC_CREATED: u8 = 15;
    pub(super) const TOPIC_CHANGED: u8 = 16;
    pub(super) const TOPIC_DELETED: u8 = 17;
    pub(super) const RECORDS_PUBLISHED: u8 = 18;
    pub(super) const RECORDS_DROPPED: u8 = 19;
    pub(super) const GROUP_COMMITTED: u8 = 20;
    pub(super) const PUBLISHERS_FORGOTTEN: u8 = 21;
    pub(super) const REQUEST_ACCEPTED: u8 = 22;
    pub(super) const REQUEST_STARTED: u8 = 23;
    pub(super) const REQUEST_FORWARDED: u8 = 24;
    pub(super) const REQUEST_REPLIED: u8 = 25;
    pub(super) const REQUEST_FAILED: u8 = 26;
    pub(super) const REQUESTS_FORGOTTEN: u8 = 27;
}

#[cfg(test)]
mod tests;
