//! Events of topics to bytes and back.

use bytes::{BufMut, Bytes, BytesMut};

use super::read::words;
use super::run::RecordRun;
use super::wire::{Fields, put_text, put_varint};
use super::write::{HAS_HEADERS, HAS_PRODUCER, record};
use super::{CodecError, Written, tag};
use crate::command::RecordLengths;
use crate::event::{Published, TopicEvent};
use crate::id::{PartitionId, ProducerId, TopicId};
use crate::topic::Retention;

pub(super) const HAS_KEYS: u8 = 4;

pub(super) fn encode(out: &mut BytesMut, event: &TopicEvent) -> Written {
    match event {
        TopicEvent::Published(published) => {
            return Written::Records(encode_published(out, published));
        }
        TopicEvent::Created {
            topic,
            namespace,
            name,
            partitions,
            retention,
        } => record(out, tag::TOPIC_CREATED, |out| {
            put_varint(out, u64::from(topic.0));
            put_text(out, namespace);
            put_text(out, name);
            put_varint(out, u64::from(*partitions));
            put_retention(out, *retention);
        }),
        TopicEvent::Changed { topic, retention } => record(out, tag::TOPIC_CHANGED, |out| {
            put_varint(out, u64::from(topic.0));
            put_retention(out, *retention);
        }),
        TopicEvent::Deleted { topic } => record(out, tag::TOPIC_DELETED, |out| {
            put_varint(out, u64::from(topic.0));
        }),
        TopicEvent::Dropped { partition, start } => record(out, tag::RECORDS_DROPPED, |out| {
            put_partition(out, *partition);
            put_varint(out, *start);
        }),
        TopicEvent::Committed {
            topic,
            group,
            positions,
        } => record(out, tag::GROUP_COMMITTED, |out| {
            put_varint(out, u64::from(topic.0));
            put_text(out, group);
            put_positions(out, positions.iter().copied());
        }),
        TopicEvent::PublishersForgotten { producers } => {
            record(out, tag::PUBLISHERS_FORGOTTEN, |out| {
                put_varint(out, producers.len() as u64);
                let ids = producers.iter();
                ids.for_each(|producer| out.put_u128_le(producer.0));
            });
        }
    }
    Written::Nothing
}

/// The event of a tag of topics.
pub(super) fn event(tag: u8, fields: &mut Fields) -> Result<TopicEvent, CodecError> {
    Ok(match tag {
        tag::TOPIC_CREATED => TopicEvent::Created {
            topic: TopicId(fields.narrow()?),
            namespace: fields.text()?,
            name: fields.text()?,
            partitions: fields.narrow()?,
            retention: retention(fields)?,
        },
        tag::TOPIC_CHANGED => TopicEvent::Changed {
            topic: TopicId(fields.narrow()?),
            retention: retention(fields)?,
        },
        tag::TOPIC_DELETED => TopicEvent::Deleted {
            topic: TopicId(fields.narrow()?),
        },
        tag::RECORDS_PUBLISHED => TopicEvent::Published(published(fields)?),
        tag::RECORDS_DROPPED => TopicEvent::Dropped {
            partition: partition(fields)?,
            start: fields.varint()?,
        },
        tag::GROUP_COMMITTED => TopicEvent::Committed {
            topic: TopicId(fields.narrow()?),
            group: fields.text()?,
            positions: positions(fields)?,
        },
        tag::PUBLISHERS_FORGOTTEN => {
            let count = fields.count()?;
            let producers = (0..count).map(|_| Ok(ProducerId(fields.u128()?)));
            TopicEvent::PublishersForgotten {
                producers: producers.collect::<Result<_, _>>()?,
            }
        }
        unknown => return Err(CodecError::UnknownTag(unknown)),
    })
}

pub(super) fn put_retention(out: &mut impl BufMut, retention: Retention) {
    put_varint(out, retention.age_ms);
    put_varint(out, retention.bytes);
}

pub(super) fn retention(fields: &mut Fields) -> Result<Retention, CodecError> {
    Ok(Retention {
        age_ms: fields.varint()?,
        bytes: fields.varint()?,
    })
}

pub(super) fn put_partition(out: &mut impl BufMut, partition: PartitionId) {
    put_varint(out, u64::from(partition.topic.0));
    put_varint(out, u64::from(partition.number));
}

pub(super) fn partition(fields: &mut Fields) -> Result<PartitionId, CodecError> {
    Ok(PartitionId {
        topic: TopicId(fields.narrow()?),
        number: fields.narrow()?,
    })
}

pub(super) fn put_positions(
    out: &mut impl BufMut,
    positions: impl ExactSizeIterator<Item = (u32, u64)>,
) {
    put_varint(out, positions.len() as u64);
    for (partition, offset) in positions {
        put_varint(out, u64::from(partition));
        put_varint(out, offset);
    }
}

pub(super) fn positions<C: FromIterator<(u32, u64)>>(fields: &mut Fields) -> Result<C, CodecError> {
    let count = fields.count()?;
    (0..count)
        .map(|_| Ok((fields.narrow()?, fields.varint()?)))
        .collect()
}

fn encode_published(out: &mut BytesMut, published: &Published) -> RecordRun {
    let lengths = &published.lengths;
    let (count, start) = (lengths.count(), out.len());
    let tables = count + lengths.keys.len() + lengths.headers.len();
    out.reserve(96 + 4 * tables + published.payload.len());
    let mut run = RecordRun::default();
    record(out, tag::RECORDS_PUBLISHED, |out| {
        put_partition(out, published.partition);
        let flags = [
            (published.producer.is_some(), HAS_PRODUCER),
            (!lengths.headers.is_empty(), HAS_HEADERS),
            (!lengths.keys.is_empty(), HAS_KEYS),
        ];
        let set = flags.iter().filter(|(is_set, _)| *is_set);
        out.put_u8(set.map(|(_, bit)| bit).sum());
        put_varint(out, published.first_offset);
        put_varint(out, published.time_ms);
        if let Some((producer, sequence)) = published.producer {
            out.put_u128_le(producer.0);
            put_varint(out, sequence);
        }
        put_varint(out, count as u64);
        let mut put_table = |table: &[u32]| {
            let at = out.len();
            table.iter().for_each(|word| out.put_u32_le(*word));
            if table.is_empty() { 0 } else { at }
        };
        run = RecordRun {
            partition: published.partition,
            first_offset: published.first_offset,
            count: count as u32,
            time_ms: published.time_ms,
            ends_at: put_table(&lengths.ends),
            keys_at: put_table(&lengths.keys),
            headers_at: put_table(&lengths.headers),
            payload_at: 0,
        };
        run.payload_at = out.len();
        out.put_slice(&published.payload);
    });
    debug_assert!(
        run.ends_at > start,
        "positions count from the beginning of all bytes"
    );
    run
}

/// A publish up to its tables.
pub(super) struct PublishedHead {
    pub(super) partition: PartitionId,
    pub(super) flags: u8,
    pub(super) first_offset: u64,
    pub(super) time_ms: u64,
    pub(super) producer: Option<(ProducerId, u64)>,
    pub(super) count: usize,
}

pub(super) fn published_head(fields: &mut Fields) -> Result<PublishedHead, CodecError> {
    let partition = partition(fields)?;
    let flags = fields.u8()?;
    let (first_offset, time_ms) = (fields.varint()?, fields.varint()?);
    let mut producer = None;
    if flags & HAS_PRODUCER != 0 {
        producer = Some((ProducerId(fields.u128()?), fields.varint()?));
    }
    let count = fields.count()?;
    if count == 0 || first_offset.checked_add(count as u64).is_none() {
        return Err(CodecError::Impossible);
    }
    Ok(PublishedHead {
        partition,
        flags,
        first_offset,
        time_ms,
        producer,
        count,
    })
}

fn published(fields: &mut Fields) -> Result<Published, CodecError> {
    let head = published_head(fields)?;
    let mut lengths = RecordLengths {
        ends: words(fields, head.count)?,
        ..RecordLengths::default()
    };
    if head.flags & HAS_KEYS != 0 {
        lengths.keys = words(fields, head.count)?;
    }
    if head.flags & HAS_HEADERS != 0 {
        lengths.headers = words(fields, head.count)?;
    }
    let payload: Bytes = std::mem::take(&mut fields.0);
    if !lengths.divide(payload.len()) {
        return Err(CodecError::Impossible);
    }
    Ok(Published {
        partition: head.partition,
        first_offset: head.first_offset,
        time_ms: head.time_ms,
        producer: head.producer,
        lengths,
        payload,
    })
}
