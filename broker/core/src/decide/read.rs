//! Somebody reads a topic, and says how far.

use std::collections::BTreeMap;

use super::{Decision, TopicChange, topic};
use crate::command::{Caller, Start, TopicSubscribe};
use crate::effect::{Assignment, Effect, Refusal, TopicEffect};
use crate::event::{Event, TopicEvent};
use crate::id::{Offset, SubscriptionKey};
use crate::session::SubscriptionName;
use crate::shard::Shard;
use crate::topic::{Partition, TopicSubscription};

pub(super) fn subscribe(
    shard: &Shard,
    caller: Caller,
    asked: TopicSubscribe,
    out: &mut Decision,
) -> Result<(), Refusal> {
    let number = asked.subscription;
    if number == 0 {
        return Err(Refusal::BadArgument);
    }
    let session = shard.jobs.index.sessions.get(&caller.session);
    let session = session
        .filter(|session| session.connection == Some(caller.connection))
        .ok_or(Refusal::Cancelled)?;
    let id = topic::known(shard, &asked.topic)?;
    if session
        .subscriptions
        .contains_key(&SubscriptionName::Standing(number))
    {
        return Err(Refusal::SubscriptionExists);
    }
    if let Some(key) = session.readers.get(&number) {
        return change_credit(shard, caller, *key, &asked, out);
    }
    if session.subscriptions_len() >= shard.limits.subscriptions_max as usize {
        return Err(Refusal::SubscriptionLimit);
    }
    let topic = &shard.ledger.topics.topics[&id];
    let known =
        |(partition, _): &(u32, Option<Offset>)| (*partition as usize) < topic.partitions.len();
    if !asked.partitions.iter().all(known) {
        return Err(Refusal::PartitionUnknown);
    }
    if let Some(group) = &asked.group {
        // Its members get what they are given.
        if !asked.partitions.is_empty() {
            return Err(Refusal::BadArgument);
        }
        let begun = |name: &String| topic.groups.contains_key(name);
        let begins = shard.topics.groups_of(id).filter(|name| !begun(name));
        let count = topic.groups.len() + begins.clone().count();
        let is_new = !begun(group) && !begins.clone().any(|name| name == group);
        if is_new && count >= shard.limits.groups_max as usize {
            return Err(Refusal::GroupLimit);
        }
    }
    let subscription = TopicSubscription {
        number,
        session: caller.session,
        topic: id,
        group: asked.group,
        start: asked.start,
        partitions: asked.partitions.into_iter().collect(),
        credit_records: asked.credit_records,
        credit_bytes: asked.credit_bytes,
    };
    out.done(caller);
    if subscription.group.is_none() {
        let effect = assigned(&subscription, 0, alone(&topic.partitions, &subscription));
        out.tell(caller.connection, effect);
    }
    out.change_topic(TopicChange::Reads(subscription));
    Ok(())
}

/// Told to whoever reads these partitions from now on.
pub(super) fn assigned(
    subscription: &TopicSubscription,
    generation: u64,
    partitions: Vec<Assignment>,
) -> Effect {
    Effect::Topic(TopicEffect::Assigned {
        subscription: subscription.number,
        topic: subscription.topic,
        generation,
        partitions,
        credit_records: subscription.credit_records,
        credit_bytes: subscription.credit_bytes,
    })
}

/// What a start means for a partition: an offset that is there or comes next, and the time before
/// which records are passed over.
pub(super) fn begin(partition: &Partition, start: Start) -> (Offset, u64) {
    match start {
        Start::Earliest => (partition.start, 0),
        Start::Latest => (partition.next, 0),
        Start::Offset(offset) => (offset.min(partition.next), 0),
        Start::Time(time_ms) => (partition.offset_before(time_ms), time_ms),
    }
}

pub(super) fn unsubscribe(
    caller: Caller,
    subscription: u64,
    key: SubscriptionKey,
    out: &mut Decision,
) {
    out.change_topic(TopicChange::Dropped(key));
    let deleted = false;
    let effect = TopicEffect::Ended {
        subscription,
        deleted,
    };
    out.tell(caller.connection, Effect::Topic(effect));
    out.done(caller);
}

pub(super) fn consumed(
    shard: &Shard,
    caller: Caller,
    number: u64,
    (partition, offset): (u32, Offset),
    commit: bool,
    out: &mut Decision,
) -> Result<(), Refusal> {
    let session = shard.jobs.index.sessions.get(&caller.session);
    let key = session
        .filter(|session| session.connection == Some(caller.connection))
        .and_then(|session| session.readers.get(&number))
        .ok_or(Refusal::SubscriptionUnknown)?;
    let subscription = &shard.topics.subscriptions[key];
    let topic = &shard.ledger.topics.topics[&subscription.topic];
    let next = match topic.partitions.get(partition as usize) {
        Some(partition) => partition.next,
        None => return Err(Refusal::PartitionUnknown),
    };
    // The fence of a group: whoever has lost a partition moves nothing any more.
    if !shard.topics.has(*key, partition) {
        return Err(Refusal::PartitionLost);
    }
    if offset >= next {
        return Err(Refusal::BadArgument);
    }
    if commit {
        let group = subscription.group.as_ref().ok_or(Refusal::BadArgument)?;
        let known = topic.groups.get(group).and_then(|at| at.get(&partition));
        // Positions never go back: what was committed once stays so.
        if known.is_none_or(|known| *known <= offset) {
            out.event(Event::Topic(TopicEvent::Committed {
                topic: subscription.topic,
                group: group.clone(),
                positions: vec![(partition, offset + 1)],
            }));
        }
    }
    let freed = TopicEffect::Freed {
        subscription: number,
        partition,
        offset,
    };
    out.tell(caller.connection, Effect::Topic(freed));
    out.done(caller);
    Ok(())
}

/// The partitions of a reader without a group.
fn alone(partitions: &[Partition], subscription: &TopicSubscription) -> Vec<Assignment> {
    let all: BTreeMap<u32, Option<Offset>>;
    let chosen = if subscription.partitions.is_empty() {
        all = (0..partitions.len() as u32).map(|at| (at, None)).collect();
        &all
    } else {
        &subscription.partitions
    };
    let assignment = |(number, own): (&u32, &Option<Offset>)| {
        let partition = &partitions[*number as usize];
        let start = own.map_or(subscription.start, Start::Offset);
        let (offset, from_ms) = begin(partition, start);
        Assignment {
            partition: *number,
            offset,
            from_ms,
        }
    };
    chosen.iter().map(assignment).collect()
}

fn change_credit(
    shard: &Shard,
    caller: Caller,
    key: SubscriptionKey,
    asked: &TopicSubscribe,
    out: &mut Decision,
) -> Result<(), Refusal> {
    let known = &shard.topics.subscriptions[&key];
    let is_same =
        topic::known(shard, &asked.topic) == Ok(known.topic) && known.group == asked.group;
    if !is_same {
        return Err(Refusal::SubscriptionExists);
    }
    let (records, bytes) = (asked.credit_records, asked.credit_bytes);
    out.change_topic(TopicChange::Credit(key, records, bytes));
    let effect = TopicEffect::Credit {
        subscription: asked.subscription,
        records,
        bytes,
    };
    out.tell(caller.connection, Effect::Topic(effect));
    out.done(caller);
    Ok(())
}
