//! Records that outlived their retention go.

use std::collections::BTreeSet;

use super::{Decision, TopicChange};
use crate::event::{Event, TopicEvent};
use crate::id::{Millis, PartitionId, ProducerId};
use crate::shard::Shard;

/// Partitions looked at in one tick, at most: the rest follows with the next.
const LOOKED_AT_MAX: usize = 4096;
/// Producers forgotten in one event, at most.
const FORGOTTEN_MAX: usize = 4096;

/// Whatever a partition holds beyond its limits by now goes.
pub(crate) fn retain(shard: &Shard, now_ms: Millis, out: &mut Decision) {
    let large = shard.topics.too_large.iter().copied();
    let all = large.chain(shard.topics.expired(now_ms));
    let all: BTreeSet<PartitionId> = all.take(LOOKED_AT_MAX).collect();
    for id in all {
        let topic = shard.ledger.topics.topics.get(&id.topic);
        if let Some(topic) = topic {
            let partition = &topic.partitions[id.number as usize];
            if let Some(start) = partition.outlived(topic.retention, now_ms) {
                let partition = id;
                out.event(Event::Topic(TopicEvent::Dropped { partition, start }));
            }
        }
        out.change_topic(TopicChange::LookedAt(id));
    }
}

/// Producers whose last publish is so long ago that it cannot come again. False: there are more.
pub(super) fn forget_publishers(shard: &Shard, now_ms: Millis, out: &mut Decision) -> bool {
    let idle_ms = shard.limits.producer_idle_ms;
    let publishers = &shard.ledger.topics.publishers;
    let idle = publishers
        .iter()
        .filter(|(_, p)| p.is_idle(now_ms, idle_ms));
    let producers: Vec<ProducerId> = idle.map(|(id, _)| *id).take(FORGOTTEN_MAX).collect();
    let all = producers.len() < FORGOTTEN_MAX;
    if !producers.is_empty() {
        out.event(Event::Topic(TopicEvent::PublishersForgotten { producers }));
    }
    all
}
