//! What has to be told about topics.

use crate::id::{Millis, Offset, TopicId};
use crate::topic::Retention;

/// A partition that a subscription reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Which.
    pub partition: u32,
    /// The first record to send, unless the subscription reads this partition already.
    pub offset: Offset,
    /// Records before this time are passed over.
    pub from_ms: Millis,
}

/// The offsets of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionStats {
    /// The oldest record that is kept.
    pub start: Offset,
    /// The offset that the next record gets.
    pub next: Offset,
    /// Bytes that are kept, with what stands around them.
    pub bytes: u64,
}

/// The numbers of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicStats {
    /// Its name.
    pub topic: String,
    /// What is kept.
    pub retention: Retention,
    /// How many partitions it has.
    pub partitions: u32,
    /// Records that are kept.
    pub records: u64,
    /// Bytes that are kept.
    pub bytes: u64,
    /// Records that ever came.
    pub published: u64,
    /// Those who read it now, members of groups among them.
    pub subscriptions: u64,
    /// Consumer groups.
    pub groups: u64,
    /// Each partition; empty when several topics are described.
    pub offsets: Vec<PartitionStats>,
}

/// The numbers of one consumer group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStats {
    /// Its name.
    pub group: String,
    /// Members that are there.
    pub members: u32,
    /// Records that the group has not committed yet.
    pub lag: u64,
    /// Of each partition that it has begun: the partition, the next record, how many are left.
    pub positions: Vec<(u32, Offset, u64)>,
}

/// Something to tell about topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicEffect {
    /// A publish was taken.
    Published {
        /// Which request.
        correlation: u64,
        /// Where the records are.
        partition: u32,
        /// The first of them.
        first_offset: Offset,
        /// How many.
        count: u32,
        /// It had been taken before.
        duplicate: bool,
    },
    /// These are the partitions that a subscription reads from now on. What it reads already goes
    /// on where it is.
    Assigned {
        /// The client's number.
        subscription: u64,
        /// Of which topic.
        topic: TopicId,
        /// Counts the assignments of a group; 0 without one.
        generation: u64,
        /// All of them, in order.
        partitions: Vec<Assignment>,
        /// Most records sent and not consumed.
        credit_records: u32,
        /// Most bytes likewise; 0 for no limit.
        credit_bytes: u64,
    },
    /// A subscription may have more or less on its way.
    Credit {
        /// The client's number.
        subscription: u64,
        /// Most records.
        records: u32,
        /// Most bytes; 0 for no limit.
        bytes: u64,
    },
    /// Records up to this one are done with.
    Freed {
        /// The client's number.
        subscription: u64,
        /// Which partition.
        partition: u32,
        /// Up to and including this one.
        offset: Offset,
    },
    /// A subscription is over.
    Ended {
        /// The client's number.
        subscription: u64,
        /// Because its topic is gone; else because the client wished so.
        deleted: bool,
    },
    /// Topics.
    Topics {
        /// Which request.
        correlation: u64,
        /// A topic each.
        topics: Vec<TopicStats>,
        /// There are more, behind the last one here.
        more: bool,
    },
    /// Groups.
    Groups {
        /// Which request.
        correlation: u64,
        /// A group each.
        groups: Vec<GroupStats>,
        /// There are more, behind the last one here.
        more: bool,
    },
}
