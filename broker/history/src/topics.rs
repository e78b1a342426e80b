//! Topics: what clients published and read, held against the promises.
//!
//! A history of topics is a list of its own, in the order of real time. It knows operations of
//! producers, what readers were given and got, what groups committed, and what was said about what a
//! topic keeps. The values of a topic have to be different, so that each record is known by its value.

mod check;
mod drops;
mod groups;
mod log;
mod names;
mod readers;

use std::io::Write;

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

/// Where a reader asked to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// With the oldest record.
    Earliest,
    /// With the next one.
    Latest,
    /// At this offset of each partition.
    Offset(u64),
    /// With the first record of this time of the broker's or later.
    Time(u64),
}

/// A publish, of which each record is an operation of its own where they may go to different
/// partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publish {
    /// Unique in the history, among commits, too.
    pub operation: u64,
    /// Where to.
    pub topic: String,
    /// Number against doubles; publishes of the same number are one publish sent again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub producer: Option<Producer>,
    /// Whoever publishes: what it sends the same way (by key, to a partition, or to any) keeps its
    /// order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<u32>,
    /// What decides on the partition, if anything does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The partition that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u32>,
    /// One for each record.
    pub values: Vec<Body>,
}

/// A record as a reader got it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// Whose.
    pub reader: u64,
    /// Where from.
    pub partition: Partition,
    /// The record's offset.
    pub offset: u64,
    /// So many right before it were said to be dropped by retention.
    #[serde(default)]
    pub skipped: u64,
    /// When the broker took it, by the broker's clock; 0: not known.
    #[serde(default)]
    pub time_ms: u64,
    /// As it came.
    pub value: Body,
}

/// One thing that a client did or saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum TopicRecord {
    /// What follows happened at this time of the clock of those who write the history.
    Time {
        /// Since any moment.
        at_ms: u64,
    },
    /// The broker's clock was set to another time: nothing is known of ages from here on.
    ClockSet,
    /// A topic is about to be made, or to keep more or less from now on; 0 is without a limit.
    Keeps {
        /// Which.
        topic: String,
        /// How old records may become.
        age_ms: u64,
        /// How many bytes a partition may hold.
        bytes: u64,
    },
    /// The topic is gone, acknowledged.
    Deleted {
        /// Which.
        topic: String,
    },
    /// A publish is about to be sent. It ends in `published` or `publish_failed`, or stays open.
    Publish(Publish),
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
    /// Somebody is about to read.
    Subscribes {
        /// One subscription is one reader.
        reader: u64,
        /// Of this.
        topic: String,
        /// As a member of this group.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<String>,
        /// From here, or from where its group is.
        start: Start,
    },
    /// It was told that it begins.
    Subscribed {
        /// Which one.
        reader: u64,
    },
    /// A reader begins in a partition, or begins there again; for those who are told where.
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
    Read(Read),
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
    /// What the broker says of a partition while all goes on.
    Holds {
        /// Which.
        partition: Partition,
        /// The oldest record that it holds.
        first_offset: u64,
    },
    /// Where the broker says a group is, when nobody commits any more.
    GroupEnds {
        /// Which.
        group: String,
        /// Where.
        partition: Partition,
        /// Its next record.
        offset: u64,
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

/// Writes a history of topics, one record a line.
///
/// # Errors
/// What the output says.
pub fn write_topics(history: &[TopicRecord], mut output: impl Write) -> std::io::Result<()> {
    for record in history {
        serde_json::to_writer(&mut output, record)?;
        output.write_all(b"\n")?;
    }
    Ok(())
}
