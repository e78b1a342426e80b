//! Topics: the durable state beside the records themselves, and what each event makes of it.

mod live;
mod partition;

use std::collections::BTreeMap;

pub(crate) use live::{GroupKey, LiveTopics, TopicSubscription};
pub(crate) use partition::{Mark, Partition};

use crate::event::{Published, TopicEvent};
use crate::id::{Millis, Offset, PartitionId, ProducerId, RecordId, TopicId};
use crate::producer::{Producer, Taken};

/// What a partition keeps; 0 stands for no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Records older than so many milliseconds go.
    pub age_ms: Millis,
    /// A partition keeps at most so many bytes.
    pub bytes: u64,
}

/// All topics of a shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Topics {
    /// The number of the next one.
    pub(crate) next: u32,
    pub(crate) topics: BTreeMap<TopicId, Topic>,
    names: BTreeMap<String, BTreeMap<String, TopicId>>,
    pub(crate) publishers: BTreeMap<ProducerId, Producer<RecordId>>,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Topic {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) retention: Retention,
    /// Publishes so far; those without a partition take turns by it.
    pub(crate) publishes: u64,
    pub(crate) partitions: Vec<Partition>,
    /// For each group the next offset of each partition.
    pub(crate) groups: BTreeMap<String, BTreeMap<u32, Offset>>,
}

impl Topics {
    pub(crate) fn find(&self, namespace: &str, name: &str) -> Option<TopicId> {
        self.names.get(namespace)?.get(name).copied()
    }

    /// The topics of a namespace behind this name, in the order of their names.
    pub(crate) fn behind(&self, namespace: &str, name: &str) -> impl Iterator<Item = TopicId> {
        use std::ops::Bound::{Excluded, Unbounded};
        let range = (Excluded(name.to_owned()), Unbounded);
        let names = self.names.get(namespace).into_iter();
        names
            .flat_map(move |names| names.range(range.clone()))
            .map(|(_, topic)| *topic)
    }

    pub(crate) fn partition(&self, id: PartitionId) -> Option<&Partition> {
        let topic = self.topics.get(&id.topic)?;
        topic.partitions.get(id.number as usize)
    }

    /// Partitions of all topics together.
    pub(crate) fn partitions_len(&self) -> usize {
        self.topics
            .values()
            .map(|topic| topic.partitions.len())
            .sum()
    }

    pub(crate) fn apply(&mut self, event: &TopicEvent, window: u32, now_ms: Millis) {
        match event {
            TopicEvent::Created {
                topic,
                namespace,
                name,
                partitions,
                retention,
            } => {
                assert_eq!(topic.0, self.next, "topics are numbered in order");
                self.next += 1;
                let partitions = vec![Partition::default(); *partitions as usize];
                self.insert(
                    *topic,
                    Topic {
                        namespace: namespace.clone(),
                        name: name.clone(),
                        retention: *retention,
                        publishes: 0,
                        partitions,
                        groups: BTreeMap::new(),
                    },
                );
            }
            TopicEvent::Changed { topic, retention } => self.get(*topic).retention = *retention,
            TopicEvent::Deleted { topic } => {
                let gone = self.topics.remove(topic).expect("a topic that is there");
                if let Some(names) = self.names.get_mut(&gone.namespace) {
                    names.remove(&gone.name);
                }
            }
            TopicEvent::Published(published) => self.publish(published, window, now_ms),
            TopicEvent::Dropped { partition, start } => {
                let topic = self.get(partition.topic);
                topic.partitions[partition.number as usize].drop_before(*start);
            }
            TopicEvent::Committed {
                topic,
                group,
                positions,
            } => {
                let groups = &mut self.get(*topic).groups;
                let of_group = groups.entry(group.clone()).or_default();
                of_group.extend(positions.iter().copied());
            }
            TopicEvent::PublishersForgotten { producers } => {
                for producer in producers {
                    self.publishers.remove(producer);
                }
            }
        }
    }

    /// Puts a topic where it belongs; also when a checkpoint is read.
    pub(crate) fn insert(&mut self, id: TopicId, topic: Topic) {
        let names = self.names.entry(topic.namespace.clone()).or_default();
        names.insert(topic.name.clone(), id);
        self.topics.insert(id, topic);
    }

    fn get(&mut self, topic: TopicId) -> &mut Topic {
        let topic = self.topics.get_mut(&topic);
        topic.expect("an event names a topic that is there")
    }

    fn publish(&mut self, published: &Published, window: u32, now_ms: Millis) {
        let id = published.partition;
        let count = published.lengths.count() as u32;
        let topic = self.get(id.topic);
        topic.publishes += 1;
        let (partition, retention) = (&mut topic.partitions[id.number as usize], topic.retention);
        assert_eq!(published.first_offset, partition.next, "offsets are dense");
        partition.publish(
            count,
            published.stored_bytes(),
            published.time_ms,
            retention,
        );
        if let Some((producer, sequence)) = published.producer {
            let first_id = RecordId {
                partition: id,
                offset: published.first_offset,
            };
            let taken = Taken {
                sequence,
                first_id,
                count,
            };
            let producer = self.publishers.entry(producer).or_default();
            producer.take(taken, window, now_ms);
        }
    }
}
