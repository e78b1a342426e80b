//! Records come in.

use super::{Decision, topic};
use crate::command::{Caller, Publish, Target};
use crate::effect::{Effect, Refusal, TopicEffect};
use crate::event::{Event, Published, TopicEvent};
use crate::id::{Millis, PartitionId, ProducerId, RecordId};
use crate::producer::{Sight, Taken};
use crate::shard::Shard;
use crate::topic::Topic;

pub(super) fn publish(
    shard: &Shard,
    caller: Caller,
    publish: Publish,
    now_ms: Millis,
    out: &mut Decision,
) -> Result<(), Refusal> {
    if let Some(taken) = seen_before(shard, publish.producer)? {
        tell(caller, taken.first_id, taken.count, true, out);
        return Ok(());
    }
    if shard.draining {
        return Err(Refusal::ShuttingDown);
    }
    if shard.disk_full {
        return Err(Refusal::DiskFull);
    }
    if !publish.lengths.divide(publish.payload.len()) {
        return Err(Refusal::BadArgument);
    }
    let id = topic::known(shard, &publish.topic)?;
    let topic = &shard.ledger.topics.topics[&id];
    let number = partition(topic, &publish.target)?;
    let partition = PartitionId { topic: id, number };
    let offset = topic.partitions[number as usize].next;
    let count = publish.lengths.count() as u32;
    out.event(Event::Topic(TopicEvent::Published(Published {
        partition,
        first_offset: offset,
        time_ms: now_ms,
        producer: publish.producer,
        lengths: publish.lengths,
        payload: publish.payload,
    })));
    tell(caller, RecordId { partition, offset }, count, false, out);
    Ok(())
}

fn partition(topic: &Topic, target: &Target) -> Result<u32, Refusal> {
    let partitions = topic.partitions.len() as u32;
    match target {
        Target::Partition(number) if *number < partitions => Ok(*number),
        Target::Partition(_) => Err(Refusal::PartitionUnknown),
        Target::Turn => Ok((topic.publishes % u64::from(partitions)) as u32),
        Target::Keys(hashes) => {
            let mut all = hashes.iter().map(|hash| hash % partitions);
            let first = all.next().ok_or(Refusal::BadArgument)?;
            // A publish is one run of offsets, so it has one partition.
            if all.all(|number| number == first) {
                Ok(first)
            } else {
                Err(Refusal::BadArgument)
            }
        }
    }
}

fn seen_before(
    shard: &Shard,
    producer: Option<(ProducerId, u64)>,
) -> Result<Option<Taken<RecordId>>, Refusal> {
    let Some((producer, sequence)) = producer else {
        return Ok(None);
    };
    let Some(producer) = shard.ledger.topics.publishers.get(&producer) else {
        return Ok(None);
    };
    match producer.look_up(sequence, shard.limits.producer_window) {
        Sight::Again(taken) => Ok(Some(taken)),
        Sight::TooOld => Err(Refusal::SequenceTooOld),
        Sight::New => Ok(None),
    }
}

fn tell(caller: Caller, first: RecordId, count: u32, duplicate: bool, out: &mut Decision) {
    let effect = TopicEffect::Published {
        correlation: caller.correlation,
        partition: first.partition.number,
        first_offset: first.offset,
        count,
        duplicate,
    };
    out.tell(caller.connection, Effect::Topic(effect));
}
