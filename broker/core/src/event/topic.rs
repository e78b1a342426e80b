//! What has been decided about topics. All of it is durable.

use bytes::Bytes;

use crate::command::RecordLengths;
use crate::id::{Millis, Offset, PartitionId, ProducerId, TopicId};
use crate::topic::Retention;

/// What a publish takes in the store beside its payload, about: its head and its table of ends.
const PUBLISH_BYTES: u64 = 64;
const RECORD_BYTES: u64 = 4;

/// One thing that happened to a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicEvent {
    /// A topic was made.
    Created {
        /// Its number: the count of topics before it, those that are gone among them.
        topic: TopicId,
        /// The namespace it stands in.
        namespace: String,
        /// Its name there.
        name: String,
        /// How many.
        partitions: u32,
        /// What is kept.
        retention: Retention,
    },
    /// A topic keeps more or less from now on.
    Changed {
        /// Which.
        topic: TopicId,
        /// What is kept.
        retention: Retention,
    },
    /// A topic is gone, with its records and groups.
    Deleted {
        /// Which.
        topic: TopicId,
    },
    /// Records were taken in.
    Published(Published),
    /// Retention let go of records.
    Dropped {
        /// Which partition.
        partition: PartitionId,
        /// It begins here now.
        start: Offset,
    },
    /// A group's positions moved; they never move back.
    Committed {
        /// Which topic.
        topic: TopicId,
        /// Which group.
        group: String,
        /// Partition and the offset of the next record.
        positions: Vec<(u32, Offset)>,
    },
    /// Producers were silent for so long that the windows of their publishes are dropped.
    PublishersForgotten {
        /// The producers.
        producers: Vec<ProducerId>,
    },
}

/// Records that were taken in as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Where to.
    pub partition: PartitionId,
    /// The records are `first_offset`, `first_offset + 1`, ...
    pub first_offset: Offset,
    /// Their time, one for all.
    pub time_ms: Millis,
    /// Who numbered this publish, and how.
    pub producer: Option<(ProducerId, u64)>,
    /// How the payload divides into records.
    pub lengths: RecordLengths,
    /// Key, header block and value of each record, one after the other.
    pub payload: Bytes,
}

impl Published {
    /// What the records count against the limit of their partition.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.payload.len() as u64 + PUBLISH_BYTES + RECORD_BYTES * self.lengths.count() as u64
    }
}
