//! The names of things: newtypes, so that a job id is never taken for a queue id.

use std::hash::{BuildHasherDefault, Hasher};

/// Milliseconds since 1970 on the broker's clock, which never runs backwards.
pub type Millis = u64;

/// The number of a durable event in its shard: 1, 2, 3 ... without a gap.
pub type Lsn = u64;

/// A job, or one part of a large body. Dense per shard; ids of `memory` jobs have the top bit set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

const VOLATILE_BIT: u64 = 1 << 63;
/// Bits that count inside one epoch; 2^40 volatile ids or tokens a run are never used up.
const VOLATILE_COUNT_BITS: u32 = 40;

impl JobId {
    /// Whether the job lives in memory only.
    #[must_use]
    pub const fn is_volatile(self) -> bool {
        self.0 & VOLATILE_BIT != 0
    }
}

/// The first of the volatile numbers (job ids or lease tokens) of an epoch; the numbers of two
/// epochs never meet, so a restart cannot give an old one a new meaning.
#[must_use]
pub(crate) const fn volatile_base(epoch: u64) -> u64 {
    VOLATILE_BIT | ((epoch << VOLATILE_COUNT_BITS) & (VOLATILE_BIT - 1))
}

/// Whether a lease token was given to `memory` jobs.
#[must_use]
pub(crate) const fn token_is_volatile(token: u64) -> bool {
    token & VOLATILE_BIT != 0
}

/// A queue of the shard, in the order in which they came into being.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueId(pub u32);

/// A topic of the shard; a number is never given twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub u32);

/// The place of a record in its partition: 0, 1, 2 ... without a gap.
pub type Offset = u64;

/// One partition of a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId {
    /// Whose.
    pub topic: TopicId,
    /// From 0.
    pub number: u32,
}

/// One record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId {
    /// Where it stands.
    pub partition: PartitionId,
    /// Its place there.
    pub offset: Offset,
}

/// What a client calls itself for its lifetime; its leases belong to this.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u128);

/// Who numbers pushes so that none is taken twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProducerId(pub u128);

/// A request, named by its caller: 16 random bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u128);

/// An inbox, named by its client: 16 random bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GatewayId(pub u128);

/// Microseconds on the broker's clock, which never runs backwards.
pub type Micros = u64;

/// A connection of this run of the broker. Never written to disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// A subscription or a waiting pull of this run of the broker; 0 stands for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionKey(pub u64);

/// A hasher for dense integer keys with a fixed seed: the same run twice gives the same table.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct IdHasher(u64);

pub(crate) type IdBuild = BuildHasherDefault<IdHasher>;

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    // Fibonacci hashing; the fold brings the good high bits down to where the table looks.
    fn write_u64(&mut self, value: u64) {
        let mixed = (self.0 ^ value).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ (mixed >> 32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volatile_numbers_of_two_epochs_never_meet() {
        assert!(volatile_base(1) > volatile_base(0) + ((1 << VOLATILE_COUNT_BITS) - 1));
        assert!(JobId(volatile_base(7)).is_volatile());
        assert!(!JobId(u64::MAX >> 1).is_volatile());
    }
}
