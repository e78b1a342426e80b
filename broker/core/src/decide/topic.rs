//! Topics come and go, and people look at them.

use super::{Decision, TopicChange, publish, read};
use crate::command::{Caller, TopicCommand, TopicName};
use crate::effect::{Effect, GroupStats, PartitionStats, Refusal, TopicEffect, TopicStats};
use crate::event::{Event, TopicEvent};
use crate::id::{Millis, TopicId};
use crate::shard::Shard;
use crate::topic::{Retention, Topic};

pub(super) fn command(
    shard: &Shard,
    caller: Caller,
    command: TopicCommand,
    now_ms: Millis,
    out: &mut Decision,
) -> Result<(), Refusal> {
    match command {
        TopicCommand::Create {
            topic,
            partitions,
            retention,
        } => create(shard, caller, &topic, partitions, retention, out),
        TopicCommand::Change { topic, retention } => change(shard, caller, &topic, retention, out),
        TopicCommand::Delete { topic } => delete(shard, caller, &topic, out),
        TopicCommand::Publish(publish) => publish::publish(shard, caller, publish, now_ms, out),
        TopicCommand::Subscribe(subscribe) => read::subscribe(shard, caller, subscribe, out),
        TopicCommand::Consumed {
            subscription,
            partition,
            offset,
            commit,
        } => {
            let upto = (partition, offset);
            read::consumed(shard, caller, subscription, upto, commit, out)
        }
        TopicCommand::Stats {
            namespace,
            topic,
            after,
        } => stats(shard, caller, &namespace, topic.as_deref(), &after, out),
        TopicCommand::Groups { topic, after } => groups(shard, caller, &topic, &after, out),
    }
}

/// The number of a topic; none comes into being by being named.
pub(super) fn known(shard: &Shard, name: &TopicName) -> Result<TopicId, Refusal> {
    let topics = &shard.ledger.topics;
    let topic = topics.find(&name.namespace, &name.name);
    topic.ok_or(Refusal::TopicUnknown)
}

fn create(
    shard: &Shard,
    caller: Caller,
    name: &TopicName,
    partitions: u32,
    retention: Retention,
    out: &mut Decision,
) -> Result<(), Refusal> {
    let (topics, limits) = (&shard.ledger.topics, &shard.limits);
    if partitions == 0 || partitions > limits.partitions_max {
        return Err(Refusal::BadArgument);
    }
    if let Ok(topic) = known(shard, name) {
        let topic = &topics.topics[&topic];
        let is_same = topic.partitions.len() == partitions as usize && topic.retention == retention;
        if !is_same {
            return Err(Refusal::TopicExists);
        }
        out.done(caller);
        return Ok(());
    }
    if shard.draining {
        return Err(Refusal::ShuttingDown);
    }
    if shard.disk_full {
        return Err(Refusal::DiskFull);
    }
    let total = topics.partitions_len() + partitions as usize;
    let is_full = topics.topics.len() >= limits.topics_max as usize
        || total > limits.partitions_total_max as usize;
    if is_full {
        return Err(Refusal::TopicLimit);
    }
    out.event(Event::Topic(TopicEvent::Created {
        topic: TopicId(topics.next),
        namespace: name.namespace.to_string(),
        name: name.name.clone(),
        partitions,
        retention,
    }));
    out.done(caller);
    Ok(())
}

fn change(
    shard: &Shard,
    caller: Caller,
    name: &TopicName,
    retention: Retention,
    out: &mut Decision,
) -> Result<(), Refusal> {
    let topic = known(shard, name)?;
    if shard.ledger.topics.topics[&topic].retention != retention {
        out.event(Event::Topic(TopicEvent::Changed { topic, retention }));
    }
    out.done(caller);
    Ok(())
}

/// Those who read it are told first: what they ask of it from now on is refused.
fn delete(
    shard: &Shard,
    caller: Caller,
    name: &TopicName,
    out: &mut Decision,
) -> Result<(), Refusal> {
    let topic = known(shard, name)?;
    out.event(Event::Topic(TopicEvent::Deleted { topic }));
    let readers = shard.topics.subscriptions.iter();
    for (key, subscription) in readers.filter(|(_, subscription)| subscription.topic == topic) {
        if let Some(connection) = shard.connection_of(subscription.session) {
            let effect = TopicEffect::Ended {
                subscription: subscription.number,
                deleted: true,
            };
            out.tell(connection, Effect::Topic(effect));
        }
        out.change_topic(TopicChange::Dropped(*key));
    }
    out.done(caller);
    Ok(())
}

fn stats(
    shard: &Shard,
    caller: Caller,
    namespace: &std::sync::Arc<str>,
    name: Option<&str>,
    after: &str,
    out: &mut Decision,
) -> Result<(), Refusal> {
    let (mut topics, mut more) = (Vec::new(), false);
    if let Some(name) = name {
        let (namespace, name) = (namespace.clone(), name.to_owned());
        let topic = known(shard, &TopicName { namespace, name })?;
        let mut stats = stats_of(shard, topic);
        let partitions = shard.ledger.topics.topics[&topic].partitions.iter();
        stats.offsets = partitions
            .map(|partition| PartitionStats {
                start: partition.start,
                next: partition.next,
                bytes: partition.kept_bytes(),
            })
            .collect();
        topics.push(stats);
    } else {
        let max = shard.limits.stats_topics_max;
        let behind = shard.ledger.topics.behind(namespace, after);
        topics.extend(behind.take(max + 1).map(|topic| stats_of(shard, topic)));
        more = topics.len() > max;
        topics.truncate(max);
    }
    let correlation = caller.correlation;
    let effect = TopicEffect::Topics {
        correlation,
        topics,
        more,
    };
    out.tell(caller.connection, Effect::Topic(effect));
    Ok(())
}

/// Every topic of every namespace, for metrics.
pub(crate) fn all_stats(shard: &Shard) -> Vec<(String, TopicStats)> {
    let topics = shard.ledger.topics.topics.iter();
    topics
        .map(|(id, topic)| (topic.namespace.clone(), stats_of(shard, *id)))
        .collect()
}

fn stats_of(shard: &Shard, id: TopicId) -> TopicStats {
    let topic = &shard.ledger.topics.topics[&id];
    let readers = shard.topics.readers.get(&id);
    let sum = |of: fn(&crate::topic::Partition) -> u64| topic.partitions.iter().map(of).sum();
    TopicStats {
        topic: topic.name.clone(),
        retention: topic.retention,
        partitions: topic.partitions.len() as u32,
        records: sum(|partition| partition.next - partition.start),
        bytes: sum(crate::topic::Partition::kept_bytes),
        published: sum(|partition| partition.next),
        subscriptions: readers.copied().unwrap_or(0),
        groups: topic.groups.len() as u64,
        offsets: Vec::new(),
    }
}

fn groups(
    shard: &Shard,
    caller: Caller,
    name: &TopicName,
    after: &str,
    out: &mut Decision,
) -> Result<(), Refusal> {
    use std::ops::Bound::{Excluded, Unbounded};
    let id = known(shard, name)?;
    let topic = &shard.ledger.topics.topics[&id];
    let (mut groups, mut positions, mut more) = (Vec::new(), 0, false);
    for (name, at) in topic.groups.range::<str, _>((Excluded(after), Unbounded)) {
        positions += at.len().max(1);
        // One is always told, however large it is.
        more = positions > shard.limits.stats_topics_max && !groups.is_empty();
        if more {
            break;
        }
        groups.push(group_stats(shard, id, topic, name));
    }
    let correlation = caller.correlation;
    let effect = TopicEffect::Groups {
        correlation,
        groups,
        more,
    };
    out.tell(caller.connection, Effect::Topic(effect));
    Ok(())
}

fn group_stats(shard: &Shard, id: TopicId, topic: &Topic, name: &str) -> GroupStats {
    let live = shard.topics.groups.get(&(id, name.to_owned()));
    let left = |(partition, at): (&u32, &u64)| {
        let of = &topic.partitions[*partition as usize];
        (*partition, *at, of.next - (*at).clamp(of.start, of.next))
    };
    let positions: Vec<_> = topic.groups[name].iter().map(left).collect();
    GroupStats {
        group: name.to_owned(),
        members: live.map_or(0, |live| live.members.len() as u32),
        lag: positions.iter().map(|(_, _, left)| left).sum(),
        positions,
    }
}
