//! What somebody asks about topics.

use std::sync::Arc;

use bytes::Bytes;

use super::QueueName;
use crate::id::{Millis, Offset, ProducerId};
use crate::topic::Retention;

/// A topic as clients name it: the same two parts, under the same rules.
pub type TopicName = QueueName;

/// How a payload divides into records: key, header block and value of each, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordLengths {
    /// Where each record ends in the payload; never falling.
    pub ends: Vec<u32>,
    /// Bytes of each key; empty when no record has one.
    pub keys: Vec<u32>,
    /// Bytes of each header block; empty when no record has one.
    pub headers: Vec<u32>,
}

impl RecordLengths {
    /// Number of records.
    #[must_use]
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    /// Whether they divide a payload of so many bytes into at least one record.
    pub(crate) fn divide(&self, payload_bytes: usize) -> bool {
        let is_whole = |end: &u32| *end as usize == payload_bytes;
        let of_all = |list: &[u32]| list.is_empty() || list.len() == self.ends.len();
        self.ends.is_sorted()
            && self.ends.last().is_some_and(is_whole)
            && of_all(&self.keys)
            && of_all(&self.headers)
            && self.parts_fit()
    }

    // Without keys and header blocks, the common case, there is nothing to look through.
    fn parts_fit(&self) -> bool {
        if self.keys.is_empty() && self.headers.is_empty() {
            return true;
        }
        let mut start = 0;
        self.ends.iter().enumerate().all(|(at, end)| {
            let part = |list: &[u32]| u64::from(list.get(at).copied().unwrap_or(0));
            let fits = part(&self.keys) + part(&self.headers) <= u64::from(end - start);
            start = *end;
            fits
        })
    }
}

/// Where the records of a publish go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// To this partition.
    Partition(u32),
    /// To the partition of their keys; one hash a record. They must have one partition in common.
    Keys(Vec<u32>),
    /// To the next partition in turn.
    Turn,
}

/// Records for one partition of a topic.
#[derive(Clone, Debug)]
pub struct Publish {
    /// Where to.
    pub topic: TopicName,
    /// Which partition.
    pub target: Target,
    /// Who numbers the publish, and its number.
    pub producer: Option<(ProducerId, u64)>,
    /// How the payload divides; at least one record.
    pub lengths: RecordLengths,
    /// Key, header block and value of each record.
    pub payload: Bytes,
}

/// Where a reader begins in a partition. A group begins at its own position if it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the oldest record that is kept.
    Earliest,
    /// With the next record.
    Latest,
    /// At this offset.
    Offset(Offset),
    /// With the first record of this time or later.
    Time(Millis),
}

/// Somebody wants the records of a topic.
#[derive(Clone, Debug)]
pub struct TopicSubscribe {
    /// The client's number for it, not 0.
    pub subscription: u64,
    /// From where.
    pub topic: TopicName,
    /// The consumer group, whose members share the partitions; none: all of them.
    pub group: Option<String>,
    /// Where to begin.
    pub start: Start,
    /// Partitions, each with a start of its own if it has one; none: all, from `start`.
    pub partitions: Vec<(u32, Option<Offset>)>,
    /// Most records sent and not yet consumed; 0 holds.
    pub credit_records: u32,
    /// Most bytes likewise; 0 for no limit. One record is always allowed.
    pub credit_bytes: u64,
}

/// Everything that can be asked about topics.
#[derive(Clone, Debug)]
pub enum TopicCommand {
    /// Make a topic. Asked again with the same numbers it is done already.
    Create {
        /// Which.
        topic: TopicName,
        /// How many.
        partitions: u32,
        /// What is kept.
        retention: Retention,
    },
    /// Keep more or less from now on.
    Change {
        /// Which.
        topic: TopicName,
        /// What is kept.
        retention: Retention,
    },
    /// Drop a topic with all of its records and groups.
    Delete {
        /// Which.
        topic: TopicName,
    },
    /// Take records in.
    Publish(Publish),
    /// Send records while credit lasts; again: change the credit.
    Subscribe(TopicSubscribe),
    /// Records up to an offset are done with: they free credit.
    Consumed {
        /// The client's number for the subscription.
        subscription: u64,
        /// Which partition.
        partition: u32,
        /// Up to and including this one.
        offset: Offset,
        /// The group's position moves behind it, too.
        commit: bool,
    },
    /// Describe one topic, or all in the namespace.
    Stats {
        /// The namespace.
        namespace: Arc<str>,
        /// The topic, with its partitions; none for all, without.
        topic: Option<String>,
        /// Of all, only those behind this name.
        after: String,
    },
    /// Describe the groups of a topic.
    Groups {
        /// Which.
        topic: TopicName,
        /// Only those behind this name.
        after: String,
    },
}
