//! What is known of topics while the shard runs: who reads, which member of a group has which
//! partition, and which partitions retention has to look at. Never stored.

use std::collections::{BTreeMap, BTreeSet};

use super::Topics;
use crate::command::Start;
use crate::id::{Millis, Offset, PartitionId, SessionId, SubscriptionKey, TopicId};

/// A consumer group of a topic.
pub(crate) type GroupKey = (TopicId, String);

/// Somebody who reads a topic.
#[derive(Clone, Debug)]
pub(crate) struct TopicSubscription {
    /// The client's number for it.
    pub(crate) number: u64,
    pub(crate) session: SessionId,
    pub(crate) topic: TopicId,
    pub(crate) group: Option<String>,
    pub(crate) start: Start,
    /// Without a group: the partitions, each with a start of its own if it has one; none: all.
    pub(crate) partitions: BTreeMap<u32, Option<Offset>>,
    pub(crate) credit_records: u32,
    pub(crate) credit_bytes: u64,
}

/// The members of a group that are there.
#[derive(Clone, Debug, Default)]
pub(crate) struct LiveGroup {
    /// Counts the assignments.
    pub(crate) generation: u64,
    pub(crate) members: BTreeSet<SubscriptionKey>,
    pub(crate) owners: BTreeMap<u32, SubscriptionKey>,
}

#[derive(Debug, Default)]
pub(crate) struct LiveTopics {
    pub(crate) subscriptions: BTreeMap<SubscriptionKey, TopicSubscription>,
    pub(crate) groups: BTreeMap<GroupKey, LiveGroup>,
    /// How many read a topic.
    pub(crate) readers: BTreeMap<TopicId, u64>,
    /// Groups whose members have changed since partitions were assigned.
    pub(crate) unsettled: BTreeSet<GroupKey>,
    /// Partitions that hold more than they may.
    pub(crate) too_large: BTreeSet<PartitionId>,
    /// When partitions hold records that are too old; not later than that.
    expiry: BTreeSet<(Millis, PartitionId)>,
    expiring: BTreeMap<PartitionId, Millis>,
}

impl LiveTopics {
    pub(crate) fn add(&mut self, key: SubscriptionKey, subscription: TopicSubscription) {
        if let Some(group) = &subscription.group {
            let group = (subscription.topic, group.clone());
            self.groups
                .entry(group.clone())
                .or_default()
                .members
                .insert(key);
            self.unsettled.insert(group);
        }
        *self.readers.entry(subscription.topic).or_default() += 1;
        self.subscriptions.insert(key, subscription);
    }

    /// The subscription is over; from now on it commits nothing.
    pub(crate) fn remove(&mut self, key: SubscriptionKey) -> Option<TopicSubscription> {
        let subscription = self.subscriptions.remove(&key)?;
        if let Some(readers) = self.readers.get_mut(&subscription.topic) {
            *readers -= 1;
            if *readers == 0 {
                self.readers.remove(&subscription.topic);
            }
        }
        if let Some(name) = &subscription.group {
            let key_of_group = (subscription.topic, name.clone());
            if let Some(group) = self.groups.get_mut(&key_of_group) {
                group.members.remove(&key);
                group.owners.retain(|_, owner| *owner != key);
                if group.members.is_empty() {
                    self.groups.remove(&key_of_group);
                    self.unsettled.remove(&key_of_group);
                } else {
                    self.unsettled.insert(key_of_group);
                }
            }
        }
        Some(subscription)
    }

    /// Groups of a topic that have members.
    pub(crate) fn groups_of(&self, topic: TopicId) -> impl Iterator<Item = &String> + Clone {
        let groups = self.groups.range((topic, String::new())..);
        let groups = groups.take_while(move |((of, _), _)| *of == topic);
        groups.map(|((_, name), _)| name)
    }

    /// Whether the subscription may speak for the partition.
    pub(crate) fn has(&self, key: SubscriptionKey, partition: u32) -> bool {
        let Some(subscription) = self.subscriptions.get(&key) else {
            return false;
        };
        match &subscription.group {
            None => {
                let chosen = &subscription.partitions;
                chosen.is_empty() || chosen.contains_key(&partition)
            }
            Some(name) => {
                let group = self.groups.get(&(subscription.topic, name.clone()));
                group.is_some_and(|group| group.owners.get(&partition) == Some(&key))
            }
        }
    }

    /// Records came to a partition, or what it may keep was changed.
    pub(crate) fn look_at(&mut self, topics: &Topics, id: PartitionId) {
        let Some(topic) = topics.topics.get(&id.topic) else {
            return;
        };
        let partition = &topic.partitions[id.number as usize];
        if partition.is_too_large(topic.retention) {
            self.too_large.insert(id);
        }
        // The time only moves on as records come, so the earlier one is good enough.
        if let Some(at_ms) = partition.expires_ms(topic.retention) {
            let known = self.expiring.get(&id);
            if known.is_none_or(|known_ms| *known_ms > at_ms) {
                self.forget_expiry(id);
                self.expiry.insert((at_ms, id));
                self.expiring.insert(id, at_ms);
            }
        }
    }

    pub(crate) fn forget_expiry(&mut self, id: PartitionId) {
        if let Some(at_ms) = self.expiring.remove(&id) {
            self.expiry.remove(&(at_ms, id));
        }
    }

    /// When a partition has to be looked at next.
    pub(crate) fn next_expiry(&self) -> Option<Millis> {
        self.expiry.first().map(|(at_ms, _)| *at_ms)
    }

    /// Partitions that hold records that may be too old.
    pub(crate) fn expired(&self, now_ms: Millis) -> impl Iterator<Item = PartitionId> {
        let due = self
            .expiry
            .iter()
            .take_while(move |(at_ms, _)| *at_ms <= now_ms);
        due.map(|(_, id)| *id)
    }
}
