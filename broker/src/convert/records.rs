//! Effects about topics to frames.

use bytes::BytesMut;
use verteilt_core::{GroupStats, RecordTables, TopicStats};
use verteilt_protocol::{FrameType, encode, encode_with, wire};

use crate::engine::RecordFrame;

/// Appends the answers to publishes.
pub(crate) fn published(out: &mut BytesMut, results: Vec<wire::PublishResult>, credit: u64) {
    let message = wire::Published { results, credit };
    encode(out, FrameType::Published, 0, 0, &message, &[]);
}

/// Appends what a subscription reads from now on.
pub(crate) fn assigned(out: &mut BytesMut, assigned: &wire::TopicAssigned) {
    encode(out, FrameType::TopicAssigned, 0, 0, assigned, &[]);
}

/// Appends records: their payloads as they came in, one after the other.
pub(crate) fn records(out: &mut BytesMut, subscription: u64, frame: RecordFrame) {
    let (payload, chunks) = (frame.tables.bytes, frame.chunks);
    let RecordTables {
        values,
        keys,
        headers,
        times,
        ..
    } = frame.tables;
    let times_ms = match times[..] {
        [(time_ms, _)] => vec![time_ms],
        _ => {
            let each = times
                .iter()
                .map(|(time_ms, count)| (*time_ms, *count as usize));
            each.flat_map(|(time_ms, count)| std::iter::repeat_n(time_ms, count))
                .collect()
        }
    };
    let message = wire::Records {
        subscription,
        partition: frame.partition,
        first_offset: frame.first_offset,
        times_ms,
        value_lengths: values,
        key_lengths: keys,
        header_lengths: headers,
        skipped: frame.skipped,
    };
    encode_with(out, FrameType::Records, 0, 0, &message, payload, |out| {
        chunks.iter().for_each(|chunk| out.extend_from_slice(chunk));
    });
}

/// Appends the numbers of topics.
pub(crate) fn topics(out: &mut BytesMut, correlation: u64, topics: &[TopicStats], more: bool) {
    let of_topic = |stats: &TopicStats| wire::TopicStats {
        topic: stats.topic.clone(),
        partitions: stats.partitions,
        retention_ms: stats.retention.age_ms,
        retention_bytes: stats.retention.bytes,
        records: stats.records,
        bytes: stats.bytes,
        published: stats.published,
        subscriptions: stats.subscriptions,
        groups: stats.groups,
        first_offsets: stats.offsets.iter().map(|at| at.start).collect(),
        next_offsets: stats.offsets.iter().map(|at| at.next).collect(),
        partition_bytes: stats.offsets.iter().map(|at| at.bytes).collect(),
    };
    let topics = topics.iter().map(of_topic).collect();
    let message = wire::TopicStatsReply { topics, more };
    encode(
        out,
        FrameType::TopicStatsReply,
        0,
        correlation,
        &message,
        &[],
    );
}

/// Appends the numbers of groups.
pub(crate) fn groups(out: &mut BytesMut, correlation: u64, groups: Vec<GroupStats>, more: bool) {
    let of_group = |stats: GroupStats| wire::GroupStats {
        group: stats.group,
        members: stats.members,
        lag: stats.lag,
        partitions: stats.positions.iter().map(|at| at.0).collect(),
        offsets: stats.positions.iter().map(|at| at.1).collect(),
        lags: stats.positions.iter().map(|at| at.2).collect(),
    };
    let groups = groups.into_iter().map(of_group).collect();
    let message = wire::GroupStatsReply { groups, more };
    encode(
        out,
        FrameType::GroupStatsReply,
        0,
        correlation,
        &message,
        &[],
    );
}
