//! Reads a history of topics from its beginning to its end, and hands each record to those who judge
//! it.

use super::drops::{Drops, Kept};
use super::groups::Groups;
use super::log::Log;
use super::names::Names;
use super::readers::Readers;
use super::{Partition, TopicRecord};
use crate::findings::Findings;
use crate::{Rule, Violation};

/// Holds a history of topics against the promises; empty: none was broken, as far as it can tell.
#[must_use]
pub fn check_topics(history: &[TopicRecord]) -> Vec<Violation> {
    let mut check = Check::default();
    for (at, record) in history.iter().enumerate() {
        check.record(at + 1, record);
    }
    check.log.order(&check.names, &mut check.findings);
    check.readers.starts(&check.log, &mut check.findings);
    check.groups.gaps(&check.names, &mut check.findings);
    let Check {
        names,
        log,
        mut drops,
        mut findings,
        ..
    } = check;
    drops.judge(&log, &names, &mut findings);
    findings.0
}

#[derive(Debug, Default)]
struct Check {
    names: Names,
    log: Log,
    readers: Readers,
    groups: Groups,
    drops: Drops,
    findings: Findings,
}

impl Check {
    fn record(&mut self, line: usize, record: &TopicRecord) {
        self.written(line, record);
        self.read(line, record);
    }

    /// What is published, and what is to be kept.
    fn written(&mut self, line: usize, record: &TopicRecord) {
        let Self {
            names,
            log,
            drops,
            findings,
            ..
        } = self;
        match record {
            TopicRecord::Time { at_ms } => {
                log.at_ms = Some(*at_ms);
                drops.at_ms = Some(*at_ms);
            }
            TopicRecord::ClockSet => drops.clock_set(line),
            TopicRecord::Keeps {
                topic,
                age_ms,
                bytes,
            } => {
                let kept = Kept {
                    line,
                    age_ms: *age_ms,
                    bytes: *bytes,
                };
                drops.keeps(names.topic(topic), kept);
            }
            TopicRecord::Deleted { topic } => log.deleted(line, names.topic(topic)),
            TopicRecord::Publish(publish) => {
                log.publish(line, names.topic(&publish.topic), publish)
            }
            TopicRecord::Published {
                operation,
                partition,
                first_offset,
                duplicate,
            } => {
                let at = (*partition, *first_offset);
                log.published(line, *operation, at, *duplicate, names, findings);
            }
            TopicRecord::PublishFailed { operation } => log.failed(*operation),
            TopicRecord::Holds {
                partition,
                first_offset,
            } => drops.seen(line, (names.partition(partition), *first_offset)),
            _ => {}
        }
    }

    /// Who reads, and how far groups are.
    fn read(&mut self, line: usize, record: &TopicRecord) {
        let Self {
            names,
            log,
            readers,
            groups,
            drops,
            findings,
        } = self;
        match record {
            TopicRecord::Subscribes {
                reader,
                group,
                start,
                ..
            } => readers.subscribes(line, *reader, group.as_deref(), *start),
            TopicRecord::Subscribed { reader } => readers.subscribed(line, *reader),
            TopicRecord::Begins {
                reader,
                group,
                partition,
                offset,
            } => {
                let id = names.partition(partition);
                readers.begins(*reader, group.as_deref(), (id, *offset));
                if let Some(group) = group {
                    groups.begins(line, group, (id, *offset), findings);
                }
            }
            TopicRecord::Read(read) => {
                let id = names.partition(&read.partition);
                let place = (id, read.offset);
                readers.got(line, read, place, groups, findings);
                log.got(line, place, read.value, read.time_ms, names, findings);
                if read.skipped > 0 {
                    drops.seen(line, place);
                }
            }
            TopicRecord::Commit {
                operation,
                group,
                partition,
                offset,
            } => groups.commit(*operation, group, (names.partition(partition), *offset)),
            TopicRecord::Committed { operation } => groups.committed(line, *operation),
            TopicRecord::GroupEnds {
                group,
                partition,
                offset,
            } => {
                let place = (names.partition(partition), *offset);
                groups.ends(line, group, place, names, findings);
            }
            TopicRecord::Ends {
                partition,
                first_offset,
                next_offset,
                read,
            } => self.ends(line, partition, (*first_offset, *next_offset), *read),
            _ => {}
        }
    }

    fn ends(&mut self, line: usize, partition: &Partition, (first, next): (u64, u64), read: bool) {
        let id = self.names.partition(partition);
        self.drops.seen(line, (id, first));
        self.readers.ends(line, (id, first));
        for (offset, told) in self.log.lost((id, first), next, read) {
            let name = self.names.name(id);
            let expected = format!("the record at offset {offset} of {name}, acknowledged");
            self.findings
                .broken(Rule::S1, expected, "nobody got it", &[told, line]);
        }
    }
}
