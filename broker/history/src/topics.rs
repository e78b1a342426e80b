//! Topics: what clients published and read, held against the promises.
//!
//! A history of topics is a list of its own, in the order of real time. It knows operations of
//! producers, what readers were given and got, and what groups committed. The bodies of a topic
//! have to be different, so that each record is known by its value.

mod check;

use serde::{Deserialize, Serialize};

pub use check::check_topics;

use crate::{Body, Producer};

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Partition {
    /// The topic; with a namespace in front where the history has several.
    pub topic: String,
    /// The number of the partition.
    pub number: u32,
}

/// One thing that a client did or saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum TopicRecord {
    /// A publish is about to be sent. It ends in `published` or `publish_failed`, or stays open.
    Publish {
        /// Unique in the history.
        operation: u64,
        /// Where to.
        topic: String,
        /// Number against doubles; publishes of the same number are one publish sent again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        producer: Option<Producer>,
        /// One for each record.
        values: Vec<Body>,
    },
    /// It was acknowledged.
    Published {
        /// Which one.
        operation: u64,
        /// Where its records are.
        partition: u32,
        /// The offset of the first; the others follow.
        first_offset: u64,
        /// It had been taken before.
        #[serde(default)]
        duplicate: bool,
    },
    /// It was definitely not done.
    PublishFailed {
        /// Which one.
        operation: u64,
    },
    /// A reader begins in a partition, or begins there again.
    Begins {
        /// One subscription is one reader.
        reader: u64,
        /// Its group, if it has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<String>,
        /// Where.
        partition: Partition,
        /// With which record.
        offset: u64,
    },
    /// A reader got a record.
    Read {
        /// Which one.
        reader: u64,
        /// Where from.
        partition: Partition,
        /// The record's offset.
        offset: u64,
        /// So many right before it were said to be dropped by retention.
        #[serde(default)]
        skipped: u64,
        /// As it came.
        value: Body,
    },
    /// A member of a group is about to commit.
    Commit {
        /// Unique in the history, among publishes, too.
        operation: u64,
        /// The group.
        group: String,
        /// Where.
        partition: Partition,
        /// Up to and including this record.
        offset: u64,
    },
    /// The commit was acknowledged.
    Committed {
        /// Which one.
        operation: u64,
    },
    /// What the broker says of a partition in the end, when nothing is published any more.
    Ends {
        /// Which.
        partition: Partition,
        /// The oldest record that it holds.
        first_offset: u64,
        /// The offset that the next record would get.
        next_offset: u64,
        /// Somebody has read all of it by then.
        read: bool,
    },
}
