//! The members of a consumer group share the partitions of its topic. Whoever has a partition keeps
//! it as long as shares are even, so that a member that comes or goes moves as few as can be.

use std::collections::{BTreeMap, BTreeSet};

use super::{Decision, TopicChange, read};
use crate::effect::Assignment;
use crate::event::{Event, TopicEvent};
use crate::id::{Offset, SubscriptionKey};
use crate::shard::Shard;
use crate::topic::GroupKey;

/// Assigns partitions anew. From the change on only the new owners may commit; they begin at the
/// group's position, and a partition that has none gets it now, so that a start of "latest" means
/// the same record for every later owner.
pub(crate) fn settle(shard: &Shard, key: &GroupKey, out: &mut Decision) {
    let (Some(live), Some(topic)) = (
        shard.topics.groups.get(key),
        shard.ledger.topics.topics.get(&key.0),
    ) else {
        return;
    };
    let owners = shares(topic.partitions.len() as u32, &live.members, &live.owners);
    let mut positions: BTreeMap<u32, Offset> =
        topic.groups.get(&key.1).cloned().unwrap_or_default();
    let (mut begun, mut from_ms) = (Vec::new(), BTreeMap::new());
    for (number, member) in &owners {
        if !positions.contains_key(number) {
            let start = shard.topics.subscriptions[member].start;
            let partition = &topic.partitions[*number as usize];
            let (offset, from) = read::begin(partition, start);
            begun.push((*number, offset));
            positions.insert(*number, offset);
            from_ms.insert(*number, from);
        }
    }
    if !begun.is_empty() {
        out.event(Event::Topic(TopicEvent::Committed {
            topic: key.0,
            group: key.1.clone(),
            positions: begun,
        }));
    }
    let generation = live.generation + 1;
    out.change_topic(TopicChange::Assigned(key.clone(), owners.clone()));
    for member in &live.members {
        let subscription = &shard.topics.subscriptions[member];
        let Some(connection) = shard.connection_of(subscription.session) else {
            continue;
        };
        let own = owners.iter().filter(|(_, owner)| *owner == member);
        let partitions = own.map(|(number, _)| Assignment {
            partition: *number,
            offset: positions[number],
            from_ms: from_ms.get(number).copied().unwrap_or(0),
        });
        let effect = read::assigned(subscription, generation, partitions.collect());
        out.tell(connection, effect);
    }
}

/// Who has which partition: as even as can be, and with as little moved as can be.
fn shares(
    partitions: u32,
    members: &BTreeSet<SubscriptionKey>,
    owners: &BTreeMap<u32, SubscriptionKey>,
) -> BTreeMap<u32, SubscriptionKey> {
    let count = members.len() as u32;
    let (least, mut larger) = (partitions / count, partitions % count);
    let mut own: Vec<(SubscriptionKey, Vec<u32>)> =
        members.iter().map(|member| (*member, Vec::new())).collect();
    for (number, owner) in owners {
        if let Ok(at) = own.binary_search_by_key(owner, |(member, _)| *member) {
            own[at].1.push(*number);
        }
    }
    // Those who have most keep the larger shares; among equals those who came first.
    own.sort_by_key(|(member, own)| (std::cmp::Reverse(own.len()), *member));
    let mut shared = BTreeMap::new();
    let mut wanting = Vec::new();
    for (member, mut own) in own {
        let share = least + u32::from(larger > 0);
        larger = larger.saturating_sub(1);
        own.truncate(share as usize);
        wanting.push((member, share - own.len() as u32));
        shared.extend(own.into_iter().map(|number| (number, member)));
    }
    let mut free = (0..partitions).filter(|number| !shared.contains_key(number));
    let mut given = Vec::new();
    for (member, wants) in wanting {
        given.extend(
            free.by_ref()
                .take(wants as usize)
                .map(|number| (number, member)),
        );
    }
    drop(free);
    shared.extend(given);
    shared
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(keys: &[u64]) -> BTreeSet<SubscriptionKey> {
        keys.iter().map(|key| SubscriptionKey(*key)).collect()
    }

    fn moved(
        before: &BTreeMap<u32, SubscriptionKey>,
        after: &BTreeMap<u32, SubscriptionKey>,
    ) -> usize {
        after
            .iter()
            .filter(|(number, owner)| before.get(number) != Some(owner))
            .count()
    }

    #[test]
    fn shares_are_even_and_little_moves() {
        for partitions in [1, 2, 3, 7, 8, 100, 1_024] {
            let mut owners = BTreeMap::new();
            let story: [&[u64]; 7] = [
                &[1],
                &[1, 2],
                &[1, 2, 3],
                &[2, 3],
                &[2, 3, 4, 5],
                &[5],
                &[6],
            ];
            for keys in story {
                let before = owners.clone();
                owners = shares(partitions, &members(keys), &before);
                assert_eq!(owners.len(), partitions as usize, "each has an owner");
                let count = |key: &u64| owners.values().filter(|owner| owner.0 == *key).count();
                let (least, most) = (keys.iter().map(count).min(), keys.iter().map(count).max());
                assert!(
                    most.unwrap() - least.unwrap() <= 1,
                    "{partitions} of {keys:?}"
                );
                // Nothing moves between two who were there and are: only to who is short of some.
                let gone = before
                    .values()
                    .filter(|owner| !keys.contains(&owner.0))
                    .count();
                let fresh = keys
                    .iter()
                    .filter(|key| !before.values().any(|o| o.0 == **key));
                let wanted: usize = fresh.map(count).sum();
                let first = partitions as usize - before.len();
                assert!(moved(&before, &owners) <= first + gone.max(wanted) + keys.len());
            }
        }
    }
}
