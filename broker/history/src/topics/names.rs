//! Numbers for topics and partitions: histories are long, and names are.

use std::collections::BTreeMap;

use super::Partition;

/// Where a record is: the number of its partition, and its offset.
pub(super) type Place = (u32, u64);

#[derive(Debug, Default)]
pub(super) struct Names {
    topics: BTreeMap<String, u32>,
    partitions: BTreeMap<Partition, u32>,
    list: Vec<(u32, Partition)>,
}

impl Names {
    pub(super) fn topic(&mut self, name: &str) -> u32 {
        if let Some(topic) = self.topics.get(name) {
            return *topic;
        }
        let topic = self.topics.len() as u32;
        self.topics.insert(name.to_owned(), topic);
        topic
    }

    pub(super) fn partition(&mut self, partition: &Partition) -> u32 {
        if let Some(number) = self.partitions.get(partition) {
            return *number;
        }
        let topic = self.topic(&partition.topic);
        let number = self.list.len() as u32;
        self.partitions.insert(partition.clone(), number);
        self.list.push((topic, partition.clone()));
        number
    }

    pub(super) fn topic_of(&self, partition: u32) -> u32 {
        self.list[partition as usize].0
    }

    pub(super) fn number_of(&self, partition: u32) -> u32 {
        self.list[partition as usize].1.number
    }

    /// For those who read the report.
    pub(super) fn name(&self, partition: u32) -> String {
        let partition = &self.list[partition as usize].1;
        format!("{}/{}", partition.topic, partition.number)
    }
}
