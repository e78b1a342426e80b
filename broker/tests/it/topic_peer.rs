//! What a peer says and hears about topics.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use verteilt_protocol::{Frame, FrameType, RecordLists, split_records, wire};

use crate::house::PATIENCE;
use crate::peer::{Peer, told};

/// A record as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) partition: u32,
    pub(crate) offset: u64,
    pub(crate) time_ms: u64,
    pub(crate) key: Vec<u8>,
    pub(crate) headers: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

pub(crate) fn records_of(frame: &Frame) -> (wire::Records, Vec<Record>) {
    let message: wire::Records = frame.message().unwrap();
    let lists = RecordLists {
        keys: &message.key_lengths,
        headers: &message.header_lengths,
        values: &message.value_lengths,
    };
    let slices = split_records(&frame.payload, lists).unwrap();
    let times = &message.times_ms;
    assert!(times.len() == 1 || times.len() == message.value_lengths.len());
    let record = |(at, slices): (usize, verteilt_protocol::RecordSlices)| Record {
        partition: message.partition,
        offset: message.first_offset + at as u64,
        time_ms: times[at.min(times.len() - 1)],
        key: slices.key.to_vec(),
        headers: slices.headers.to_vec(),
        value: slices.value.to_vec(),
    };
    let records = slices.enumerate().map(record).collect();
    (message, records)
}

pub(crate) fn publish_of(topic: &str, values: &[&[u8]]) -> wire::Publish {
    wire::Publish {
        topic: topic.to_owned(),
        value_lengths: values.iter().map(|value| value.len() as u32).collect(),
        ..wire::Publish::default()
    }
}

pub(crate) fn read_of(
    number: u64,
    topic: &str,
    start: wire::topic_subscribe::Start,
) -> wire::TopicSubscribe {
    wire::TopicSubscribe {
        subscription: number,
        topic: topic.to_owned(),
        start: Some(start),
        credit_records: 1_000,
        ..wire::TopicSubscribe::default()
    }
}

impl Peer {
    pub(crate) fn create(&mut self, topic: &str, partitions: u32) {
        self.create_with(&wire::TopicCreate {
            topic: topic.to_owned(),
            partitions,
            ..wire::TopicCreate::default()
        });
    }

    pub(crate) fn create_with(&mut self, create: &wire::TopicCreate) {
        let correlation = self.send(FrameType::TopicCreate, create, b"");
        self.ok(correlation);
    }

    pub(crate) fn publish_frame(
        &mut self,
        publish: &wire::Publish,
        payload: &[u8],
    ) -> wire::PublishResult {
        self.wait_for_credit();
        let correlation = self.send(FrameType::Publish, publish, payload);
        self.published(correlation)
    }

    pub(crate) fn published(&mut self, correlation: u64) -> wire::PublishResult {
        let names = |frame: &Frame| {
            let published: wire::Published = frame.message().unwrap();
            published
                .results
                .iter()
                .any(|it| it.correlation == correlation)
        };
        let frame = self.until(|frame| match frame.kind() {
            Some(FrameType::Published) => names(frame),
            _ => frame.correlation == correlation,
        });
        assert_eq!(frame.kind(), Some(FrameType::Published), "{}", told(&frame));
        let published: wire::Published = frame.message().unwrap();
        let is_it = |result: &&wire::PublishResult| result.correlation == correlation;
        let result = *published.results.iter().find(is_it).unwrap();
        if published.results.len() > 1 {
            self.park(frame);
        }
        result
    }

    /// Values for a partition; the first offset.
    pub(crate) fn publish(&mut self, topic: &str, partition: u32, values: &[&[u8]]) -> u64 {
        let publish = wire::Publish {
            partition: Some(partition),
            ..publish_of(topic, values)
        };
        let result = self.publish_frame(&publish, &values.concat());
        assert_eq!(
            (result.partition, result.count as usize),
            (partition, values.len())
        );
        assert_eq!(result.durability(), wire::Durability::Disk);
        assert!(!result.duplicate);
        result.first_offset
    }

    /// Subscribes and waits for what it is given: partition and offset.
    pub(crate) fn read_topic(&mut self, subscribe: &wire::TopicSubscribe) -> BTreeMap<u32, u64> {
        let correlation = self.send(FrameType::TopicSubscribe, subscribe, b"");
        self.ok(correlation);
        let assigned = self.assigned();
        assert_eq!(assigned.subscription, subscribe.subscription);
        assigned
            .partitions
            .into_iter()
            .zip(assigned.offsets)
            .collect()
    }

    pub(crate) fn assigned(&mut self) -> wire::TopicAssigned {
        let frame = self.next_of(FrameType::TopicAssigned);
        frame.message().unwrap()
    }

    /// The next RECORDS.
    pub(crate) fn records(&mut self) -> (wire::Records, Vec<Record>) {
        let frame = self.next_of(FrameType::Records);
        records_of(&frame)
    }

    /// So many records; whatever a frame brought is consumed at once.
    pub(crate) fn take_records(&mut self, count: usize) -> Vec<Record> {
        let mut all = Vec::new();
        while all.len() < count {
            let (message, records) = self.records();
            let last = records.last().unwrap();
            self.consumed(message.subscription, last.partition, last.offset, false);
            all.extend(records);
        }
        assert_eq!(all.len(), count);
        all
    }

    pub(crate) fn consumed(&mut self, number: u64, partition: u32, offset: u64, commit: bool) {
        let correlation = self.say_consumed(number, partition, offset, commit);
        self.ok(correlation);
    }

    pub(crate) fn say_consumed(
        &mut self,
        subscription: u64,
        partition: u32,
        offset: u64,
        commit: bool,
    ) -> u64 {
        let consumed = wire::Consumed {
            subscription,
            partition,
            offset,
            commit,
        };
        self.send(FrameType::Consumed, &consumed, b"")
    }

    /// No record comes within this time.
    pub(crate) fn no_records(&mut self, patience: Duration) {
        assert!(!self.has_parked(FrameType::Records));
        let until = Instant::now() + patience;
        while Instant::now() < until {
            if let Some(frame) = self.read_within(Duration::from_millis(20)) {
                assert_ne!(frame.kind(), Some(FrameType::Records), "{frame:?}");
                self.park(frame);
            }
        }
    }

    pub(crate) fn topic_stats(&mut self, topic: &str) -> wire::TopicStats {
        let ask = wire::TopicStatsRequest {
            topic: topic.to_owned(),
            after: String::new(),
        };
        let correlation = self.send(FrameType::TopicStats, &ask, b"");
        let reply: wire::TopicStatsReply = self.message(correlation, FrameType::TopicStatsReply);
        reply.topics.into_iter().next().unwrap()
    }

    pub(crate) fn group_stats(&mut self, topic: &str) -> Vec<wire::GroupStats> {
        let ask = wire::GroupStatsRequest {
            topic: topic.to_owned(),
            after: String::new(),
        };
        let correlation = self.send(FrameType::GroupStats, &ask, b"");
        let reply: wire::GroupStatsReply = self.message(correlation, FrameType::GroupStatsReply);
        reply.groups
    }

    /// Waits until a subscription has been given so many partitions.
    pub(crate) fn assigned_count(&mut self, count: usize) -> wire::TopicAssigned {
        let until = Instant::now() + PATIENCE;
        loop {
            assert!(
                Instant::now() < until,
                "it is given {count} partitions in time"
            );
            let assigned = self.assigned();
            if assigned.partitions.len() == count {
                return assigned;
            }
        }
    }
}
