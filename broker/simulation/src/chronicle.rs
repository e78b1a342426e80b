//! The history of topics while it is written.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use verteilt_history::{TopicPartition, TopicRecord};

/// Keeps what is told, with the times.
#[derive(Debug, Default)]
pub(crate) struct Chronicle(Mutex<Pages>);

#[derive(Debug, Default)]
struct Pages {
    records: Vec<TopicRecord>,
    at_ms: Option<u64>,
    operations: u64,
    readers: u64,
    /// Behind what those who read all of a topic have read.
    audited: BTreeMap<(u64, u32), u64>,
}

/// Names of the topics, by number.
pub(crate) fn topic_name(number: u64) -> &'static str {
    ["north", "south"][number as usize]
}

/// Names of the groups, by number.
pub(crate) fn group_name(number: u64) -> &'static str {
    ["sun", "moon"][number as usize]
}

pub(crate) fn partition_of(topic: u64, number: u32) -> TopicPartition {
    TopicPartition {
        topic: topic_name(topic).to_owned(),
        number,
    }
}

impl Chronicle {
    pub(crate) fn record(&self, at_ms: u64, record: TopicRecord) {
        let mut pages = self.0.lock();
        if pages.at_ms != Some(at_ms) {
            pages.at_ms = Some(at_ms);
            pages.records.push(TopicRecord::Time { at_ms });
        }
        pages.records.push(record);
    }

    /// A number for a publish or a commit.
    pub(crate) fn operation(&self) -> u64 {
        let mut pages = self.0.lock();
        pages.operations += 1;
        pages.operations
    }

    /// A number for a subscription.
    pub(crate) fn reader(&self) -> u64 {
        let mut pages = self.0.lock();
        pages.readers += 1;
        pages.readers
    }

    pub(crate) fn operations(&self) -> u64 {
        self.0.lock().operations
    }

    /// Records so far.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().records.len()
    }

    /// Everything is to be read once more.
    pub(crate) fn forget_audits(&self) {
        self.0.lock().audited.clear();
    }

    /// Somebody who reads all of a topic has come so far.
    pub(crate) fn audited(&self, topic: u64, partition: u32, next: u64) {
        self.0.lock().audited.insert((topic, partition), next);
    }

    pub(crate) fn audited_upto(&self, topic: u64, partition: u32) -> u64 {
        let pages = self.0.lock();
        pages.audited.get(&(topic, partition)).copied().unwrap_or(0)
    }

    pub(crate) fn finish(&self) -> Vec<TopicRecord> {
        std::mem::take(&mut self.0.lock().records)
    }
}
