//! Changes to what is known of those who read topics; not events, as the others in `change.rs`.

use std::collections::BTreeMap;

use crate::id::{PartitionId, SubscriptionKey};
use crate::shard::Shard;
use crate::topic::{GroupKey, TopicSubscription};

#[derive(Debug)]
pub(crate) enum TopicChange {
    Reads(TopicSubscription),
    /// Most records and bytes on their way.
    Credit(SubscriptionKey, u32, u64),
    Dropped(SubscriptionKey),
    /// The members of a group have these partitions.
    Assigned(GroupKey, BTreeMap<u32, SubscriptionKey>),
    /// Retention has seen to a partition.
    LookedAt(PartitionId),
}

impl TopicChange {
    pub(super) fn make(self, shard: &mut Shard) {
        match self {
            Self::Reads(subscription) => {
                let key = shard.fresh_subscription();
                let sessions = &mut shard.jobs.index.sessions;
                let session = sessions.entry(subscription.session).or_default();
                session.readers.insert(subscription.number, key);
                shard.topics.add(key, subscription);
            }
            Self::Credit(key, records, bytes) => {
                if let Some(subscription) = shard.topics.subscriptions.get_mut(&key) {
                    subscription.credit_records = records;
                    subscription.credit_bytes = bytes;
                }
            }
            Self::Assigned(group, owners) => {
                if let Some(live) = shard.topics.groups.get_mut(&group) {
                    live.generation += 1;
                    live.owners = owners;
                }
                shard.topics.unsettled.remove(&group);
            }
            Self::LookedAt(partition) => {
                shard.topics.too_large.remove(&partition);
                shard.topics.forget_expiry(partition);
                shard.topics.look_at(&shard.ledger.topics, partition);
            }
            Self::Dropped(key) => {
                let gone = shard.topics.remove(key);
                let sessions = &mut shard.jobs.index.sessions;
                if let Some(gone) = gone
                    && let Some(session) = sessions.get_mut(&gone.session)
                {
                    session.readers.remove(&gone.number);
                }
            }
        }
    }
}
