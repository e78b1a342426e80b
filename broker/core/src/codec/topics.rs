//! Topics in the ledger of a checkpoint. Of a shard that never had one there are none, or a 0 if
//! something stands behind them.

use std::collections::{BTreeMap, VecDeque};

use bytes::{BufMut, BytesMut};

use super::CodecError;
use super::topic::{partition, positions, put_partition, put_positions, put_retention, retention};
use super::wire::{Fields, put_text, put_varint};
use crate::id::{ProducerId, RecordId, TopicId};
use crate::producer::{Producer, Taken};
use crate::topic::{Mark, Partition, Topic, Topics};

pub(super) fn put(out: &mut BytesMut, topics: &Topics) {
    put_varint(out, u64::from(topics.next));
    if topics.next == 0 {
        return;
    }
    put_varint(out, topics.topics.len() as u64);
    for (id, topic) in &topics.topics {
        put_varint(out, u64::from(id.0));
        put_topic(out, topic);
    }
    put_varint(out, topics.publishers.len() as u64);
    for (id, producer) in &topics.publishers {
        let (last_used_ms, window) = producer.parts();
        out.put_u128_le(id.0);
        put_varint(out, last_used_ms);
        put_varint(out, window.len() as u64);
        for taken in window {
            put_varint(out, taken.sequence);
            put_partition(out, taken.first_id.partition);
            put_varint(out, taken.first_id.offset);
            put_varint(out, u64::from(taken.count));
        }
    }
}

pub(super) fn read(fields: &mut Fields) -> Result<Topics, CodecError> {
    let mut topics = Topics::default();
    if fields.0.is_empty() {
        return Ok(topics);
    }
    topics.next = fields.narrow()?;
    if topics.next == 0 {
        return Ok(topics);
    }
    for _ in 0..fields.count()? {
        let id = TopicId(fields.narrow()?);
        let topic = topic(fields)?;
        topics.insert(id, topic);
    }
    for _ in 0..fields.count()? {
        let (id, producer) = publisher(fields)?;
        topics.publishers.insert(id, producer);
    }
    Ok(topics)
}

fn put_topic(out: &mut BytesMut, topic: &Topic) {
    put_text(out, &topic.namespace);
    put_text(out, &topic.name);
    put_retention(out, topic.retention);
    put_varint(out, topic.publishes);
    put_varint(out, topic.partitions.len() as u64);
    for partition in &topic.partitions {
        put_varint(out, partition.start);
        put_varint(out, partition.next);
        put_varint(out, partition.bytes);
        put_varint(out, partition.last_ms);
        put_varint(out, partition.marks.len() as u64);
        let mut before = Mark {
            offset: 0,
            time_ms: 0,
            last_ms: 0,
            bytes: 0,
        };
        for mark in &partition.marks {
            put_varint(out, mark.offset - before.offset);
            put_varint(out, mark.time_ms - before.time_ms);
            put_varint(out, mark.bytes - before.bytes);
            put_varint(out, mark.last_ms - mark.time_ms);
            before = *mark;
        }
    }
    put_varint(out, topic.groups.len() as u64);
    for (name, at) in &topic.groups {
        put_text(out, name);
        put_positions(
            out,
            at.iter().map(|(partition, offset)| (*partition, *offset)),
        );
    }
}

fn topic(fields: &mut Fields) -> Result<Topic, CodecError> {
    let (namespace, name) = (fields.text()?, fields.text()?);
    let (retention, publishes) = (retention(fields)?, fields.varint()?);
    let count = fields.count()?;
    let partitions = (0..count).map(|_| of_partition(fields));
    let partitions = partitions.collect::<Result<_, _>>()?;
    let mut groups = BTreeMap::new();
    for _ in 0..fields.count()? {
        groups.insert(fields.text()?, positions(fields)?);
    }
    Ok(Topic {
        namespace,
        name,
        retention,
        publishes,
        partitions,
        groups,
    })
}

fn of_partition(fields: &mut Fields) -> Result<Partition, CodecError> {
    let mut partition = Partition {
        start: fields.varint()?,
        next: fields.varint()?,
        bytes: fields.varint()?,
        last_ms: fields.varint()?,
        marks: VecDeque::new(),
    };
    let (mut offset, mut time_ms, mut bytes) = (0u64, 0u64, 0u64);
    for _ in 0..fields.count()? {
        for field in [&mut offset, &mut time_ms, &mut bytes] {
            let more = fields.varint()?;
            *field = field.checked_add(more).ok_or(CodecError::Impossible)?;
        }
        let lasted_ms = fields.varint()?;
        partition.marks.push_back(Mark {
            offset,
            time_ms,
            last_ms: time_ms
                .checked_add(lasted_ms)
                .ok_or(CodecError::Impossible)?,
            bytes,
        });
    }
    Ok(partition)
}

fn publisher(fields: &mut Fields) -> Result<(ProducerId, Producer<RecordId>), CodecError> {
    let id = ProducerId(fields.u128()?);
    let last_used_ms = fields.varint()?;
    let mut window = VecDeque::new();
    for _ in 0..fields.count()? {
        window.push_back(Taken {
            sequence: fields.varint()?,
            first_id: RecordId {
                partition: partition(fields)?,
                offset: fields.varint()?,
            },
            count: fields.narrow()?,
        });
    }
    Ok((id, Producer::from_parts(last_used_ms, window)))
}
