//! Frames about topics to commands.

use std::sync::Arc;

use bytes::Bytes;
use verteilt_core::{
    Command, Publish, RecordLengths, Retention, Start, Target, TopicCommand, TopicSubscribe,
};
use verteilt_protocol::limits::{
    BATCH_JOBS_MAX, CREDIT_BYTES_DEFAULT, CREDIT_BYTES_MAX, CREDIT_RECORDS_MAX, RECORD_BYTES_MAX,
};
use verteilt_protocol::{ErrorCode, Frame, FrameType, RecordLists, key_hash, wire};

use super::request::{Bad, Context, message, name, producer, range};

/// What a frame about topics asks for; none if a client does not send it.
pub(super) fn command(
    kind: FrameType,
    frame: &Frame,
    context: &Context,
) -> Result<Option<Command>, Bad> {
    let command = match kind {
        FrameType::Publish => TopicCommand::Publish(publish(frame, context)?),
        FrameType::Consumed => {
            let consumed: wire::Consumed = message(frame)?;
            TopicCommand::Consumed {
                subscription: consumed.subscription,
                partition: consumed.partition,
                offset: consumed.offset,
                commit: consumed.commit,
            }
        }
        FrameType::TopicSubscribe => TopicCommand::Subscribe(subscribe(&message(frame)?, context)?),
        FrameType::TopicCreate => {
            let create: wire::TopicCreate = message(frame)?;
            on_disk(create.durability())?;
            TopicCommand::Create {
                topic: name(&create.topic, context)?,
                partitions: create.partitions,
                retention: retention(create.retention_ms, create.retention_bytes),
            }
        }
        FrameType::TopicChange => {
            let change: wire::TopicChange = message(frame)?;
            TopicCommand::Change {
                topic: name(&change.topic, context)?,
                retention: retention(change.retention_ms, change.retention_bytes),
            }
        }
        FrameType::TopicDelete => {
            let delete: wire::TopicDelete = message(frame)?;
            let topic = name(&delete.topic, context)?;
            TopicCommand::Delete { topic }
        }
        FrameType::TopicStats => {
            let stats: wire::TopicStatsRequest = message(frame)?;
            let topic = match stats.topic.as_str() {
                "" => None,
                topic => Some(name(topic, context)?.name),
            };
            TopicCommand::Stats {
                namespace: Arc::clone(&context.namespace),
                topic,
                after: stats.after,
            }
        }
        FrameType::GroupStats => {
            let stats: wire::GroupStatsRequest = message(frame)?;
            TopicCommand::Groups {
                topic: name(&stats.topic, context)?,
                after: stats.after,
            }
        }
        _ => return Ok(None),
    };
    Ok(Some(Command::Topic(command)))
}

const fn retention(age_ms: u64, bytes: u64) -> Retention {
    Retention { age_ms, bytes }
}

fn on_disk(durability: wire::Durability) -> Result<(), Bad> {
    let message = match durability {
        wire::Durability::Default | wire::Durability::Disk => return Ok(()),
        wire::Durability::Memory => "topics of durability `memory` are not served yet; use `disk`",
        wire::Durability::Replicated => {
            "durability `replicated` needs a cluster; this is a single broker"
        }
    };
    Err(Bad::new(ErrorCode::Unsupported, message))
}

fn publish(frame: &Frame, context: &Context) -> Result<Publish, Bad> {
    let publish: wire::Publish = message(frame)?;
    on_disk(publish.durability())?;
    let count = publish.value_lengths.len();
    if count == 0 || count > BATCH_JOBS_MAX {
        let message = format!("a publish takes 1 to {BATCH_JOBS_MAX} records");
        return Err(Bad::new(ErrorCode::BatchTooLarge, message));
    }
    let lists = RecordLists {
        keys: &publish.key_lengths,
        headers: &publish.header_lengths,
        values: &publish.value_lengths,
    };
    lists
        .check(frame.payload.len())
        .map_err(|error| Bad::new(error.code(), error.to_string()))?;
    let ends = ends(lists)?;
    let target = match publish.partition {
        Some(partition) => Target::Partition(partition),
        None if publish.key_lengths.is_empty() => Target::Turn,
        None => Target::Keys(hashes(&publish.key_lengths, &ends, &frame.payload)),
    };
    Ok(Publish {
        topic: name(&publish.topic, context)?,
        target,
        producer: producer(&publish.producer, publish.sequence)?,
        lengths: RecordLengths {
            ends,
            keys: publish.key_lengths,
            headers: publish.header_lengths,
        },
        payload: frame.payload.clone(),
    })
}

fn ends(lists: RecordLists<'_>) -> Result<Vec<u32>, Bad> {
    let mut end = 0;
    let mut ends = Vec::with_capacity(lists.values.len());
    for (key, headers, value) in lists.lengths() {
        let bytes = key + headers + value;
        if bytes as usize > RECORD_BYTES_MAX {
            let message = format!("a record of {bytes} bytes is over {RECORD_BYTES_MAX}");
            return Err(Bad::new(ErrorCode::BodyTooLarge, message));
        }
        end += bytes;
        ends.push(end);
    }
    Ok(ends)
}

fn hashes(keys: &[u32], ends: &[u32], payload: &Bytes) -> Vec<u32> {
    let mut start = 0;
    let key = |(length, end): (&u32, &u32)| {
        let key = &payload[start as usize..(start + length) as usize];
        start = *end;
        key_hash(key)
    };
    keys.iter().zip(ends).map(key).collect()
}

fn subscribe(subscribe: &wire::TopicSubscribe, context: &Context) -> Result<TopicSubscribe, Bad> {
    use wire::topic_subscribe::Start as From;
    let start = match subscribe.start {
        Some(From::Earliest(true)) => Start::Earliest,
        Some(From::Offset(offset)) => Start::Offset(offset),
        Some(From::TimeMs(time_ms)) => Start::Time(time_ms),
        Some(From::Earliest(false) | From::Latest(_)) | None => Start::Latest,
    };
    let (partitions, offsets) = (&subscribe.partitions, &subscribe.offsets);
    if !offsets.is_empty() && offsets.len() != partitions.len() {
        let message = format!(
            "{} offsets for {} partitions",
            offsets.len(),
            partitions.len()
        );
        return Err(Bad::new(ErrorCode::MalformedMessage, message));
    }
    if partitions.len() > BATCH_JOBS_MAX {
        return Err(range("partitions"));
    }
    let own = offsets
        .iter()
        .copied()
        .map(Some)
        .chain(std::iter::repeat(None));
    let group = match subscribe.group.as_str() {
        "" => None,
        group => Some(name(group, context)?.name),
    };
    Ok(TopicSubscribe {
        subscription: subscribe.subscription,
        topic: name(&subscribe.topic, context)?,
        group,
        start,
        partitions: partitions.iter().copied().zip(own).collect(),
        credit_records: subscribe.credit_records.min(CREDIT_RECORDS_MAX),
        credit_bytes: match subscribe.credit_bytes {
            0 => CREDIT_BYTES_DEFAULT,
            bytes => bytes.min(CREDIT_BYTES_MAX),
        },
    })
}
