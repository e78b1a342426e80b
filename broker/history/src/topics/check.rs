//! The rules for topics: S1, S2, S6 and S7, and that a group leaves nothing out.

use std::collections::{BTreeMap, BTreeSet};

use super::{Partition, TopicRecord};
use crate::{Body, Producer, Rule, Violation};

/// Where a record is.
type Place = (Partition, u64);

/// Holds a history of topics against the promises; empty: none was broken, as far as it can tell.
#[must_use]
pub fn check_topics(history: &[TopicRecord]) -> Vec<Violation> {
    let mut check = Check::default();
    for (at, record) in history.iter().enumerate() {
        check.record(at + 1, record);
    }
    check.groups();
    check.violations
}

#[derive(Debug)]
struct Publish {
    line: usize,
    topic: String,
    producer: Option<Producer>,
    values: Vec<Body>,
}

#[derive(Debug)]
struct Commit {
    group: String,
    partition: Partition,
    offset: u64,
}

/// How far a group is in a partition.
#[derive(Debug, Default)]
struct Progress {
    first: Option<u64>,
    /// Behind the last commit that was acknowledged, and its line.
    committed: (u64, usize),
    got: BTreeSet<u64>,
    skipped: Vec<(u64, u64)>,
}

#[derive(Debug, Default)]
struct Check {
    publishes: BTreeMap<u64, Publish>,
    commits: BTreeMap<u64, Commit>,
    /// Values that somebody has tried to publish to a topic.
    sent: BTreeSet<(String, Body)>,
    /// What stands at each offset, and the line that said so first.
    known: BTreeMap<Place, (Body, usize)>,
    /// Where each value is.
    places: BTreeMap<(String, Body), Place>,
    acknowledged: BTreeMap<Place, usize>,
    taken: BTreeMap<Producer, (u32, u64, usize)>,
    numbers: BTreeMap<Producer, u32>,
    /// The next record of each reader.
    next: BTreeMap<(u64, Partition), u64>,
    groups_of: BTreeMap<u64, String>,
    groups: BTreeMap<(String, Partition), Progress>,
    read: BTreeSet<Place>,
    violations: Vec<Violation>,
}

impl Check {
    fn record(&mut self, line: usize, record: &TopicRecord) {
        match record {
            TopicRecord::Publish {
                operation,
                topic,
                producer,
                values,
            } => {
                let publish = Publish {
                    line,
                    topic: topic.clone(),
                    producer: producer.clone(),
                    values: values.clone(),
                };
                self.publish(*operation, publish);
            }
            TopicRecord::Published {
                operation,
                partition,
                first_offset,
                duplicate,
            } => {
                if let Some(publish) = self.publishes.remove(operation) {
                    self.published(line, &publish, (*partition, *first_offset), *duplicate);
                }
            }
            TopicRecord::PublishFailed { operation } => _ = self.publishes.remove(operation),
            TopicRecord::Begins {
                reader,
                group,
                partition,
                offset,
            } => self.begins(line, *reader, group.as_ref(), partition, *offset),
            TopicRecord::Read {
                reader,
                partition,
                offset,
                skipped,
                value,
            } => self.got(
                line,
                *reader,
                (partition.clone(), *offset),
                *skipped,
                *value,
            ),
            TopicRecord::Commit {
                operation,
                group,
                partition,
                offset,
            } => {
                let commit = Commit {
                    group: group.clone(),
                    partition: partition.clone(),
                    offset: *offset,
                };
                self.commits.insert(*operation, commit);
            }
            TopicRecord::Committed { operation } => self.committed(line, *operation),
            TopicRecord::Ends {
                partition,
                first_offset,
                next_offset,
                read,
            } => self.ends(line, partition, (*first_offset, *next_offset), *read),
        }
    }

    fn publish(&mut self, operation: u64, publish: Publish) {
        let values = publish.values.iter();
        let sent = values.map(|value| (publish.topic.clone(), *value));
        self.sent.extend(sent);
        if let Some(producer) = &publish.producer {
            *self.numbers.entry(producer.clone()).or_default() += 1;
        }
        self.publishes.insert(operation, publish);
    }

    fn committed(&mut self, line: usize, operation: u64) {
        if let Some(commit) = self.commits.remove(&operation) {
            let key = (commit.group, commit.partition);
            let progress = self.groups.entry(key).or_default();
            progress.committed = progress.committed.max((commit.offset + 1, line));
        }
    }

    fn published(
        &mut self,
        line: usize,
        publish: &Publish,
        (number, first_offset): (u32, u64),
        duplicate: bool,
    ) {
        if let Some(producer) = &publish.producer {
            let is_alone = self.numbers.get(producer).is_none_or(|tries| *tries < 2);
            if duplicate && is_alone {
                let expected = format!("a new publish, because {producer:?} was used once");
                self.broken(Rule::S7, expected, "a duplicate", &[publish.line, line]);
            }
            let known = self
                .taken
                .entry(producer.clone())
                .or_insert((number, first_offset, line));
            let (was_in, was_at, was_told) = *known;
            if (was_in, was_at) != (number, first_offset) {
                let expected = format!("partition {was_in}, offset {was_at}, as the first time");
                let found = format!("partition {number}, offset {first_offset}");
                self.broken(Rule::S7, expected, found, &[was_told, line]);
            }
        }
        for (at, value) in publish.values.iter().enumerate() {
            let topic = publish.topic.clone();
            let place = (Partition { topic, number }, first_offset + at as u64);
            self.acknowledged.entry(place.clone()).or_insert(line);
            self.stands(line, &place, *value);
        }
    }

    /// Somebody says what stands at an offset.
    fn stands(&mut self, line: usize, place: &Place, value: Body) {
        let (known, told) = *self.known.entry(place.clone()).or_insert((value, line));
        if known != value {
            let (partition, offset) = place;
            let expected = format!("{known:?} at offset {offset} of {partition:?}, as before");
            self.broken(Rule::S6, expected, format!("{value:?}"), &[told, line]);
            return;
        }
        let key = (place.0.topic.clone(), value);
        let first = self
            .places
            .entry(key)
            .or_insert_with(|| place.clone())
            .clone();
        if first != *place {
            let lines = [self.known[&first].1, line];
            let expected = format!("{value:?} once, at {first:?}");
            self.broken(
                Rule::S7,
                expected,
                format!("it is at {place:?}, too"),
                &lines,
            );
        }
    }

    fn begins(
        &mut self,
        line: usize,
        reader: u64,
        group: Option<&String>,
        partition: &Partition,
        offset: u64,
    ) {
        self.next.insert((reader, partition.clone()), offset);
        let Some(group) = group else { return };
        self.groups_of.insert(reader, group.clone());
        let progress = self
            .groups
            .entry((group.clone(), partition.clone()))
            .or_default();
        progress.first.get_or_insert(offset);
        let (committed, told) = progress.committed;
        if offset < committed {
            let expected = format!("{group} begins at {committed}, which it has committed");
            self.broken(
                Rule::S1,
                expected,
                format!("it begins at {offset}"),
                &[told, line],
            );
        }
    }

    fn got(&mut self, line: usize, reader: u64, place: Place, skipped: u64, value: Body) {
        let (partition, offset) = &place;
        if !self.sent.contains(&(partition.topic.clone(), value)) {
            let expected = "what somebody has published";
            self.broken(
                Rule::S2,
                expected,
                format!("{value:?} at {place:?}"),
                &[line],
            );
        }
        let next = self
            .next
            .entry((reader, partition.clone()))
            .or_insert(*offset);
        let expected = *next + skipped;
        *next = *offset + 1;
        if *offset != expected {
            let expected = format!("offset {expected} of {partition:?} for reader {reader}");
            self.broken(Rule::S6, expected, format!("offset {offset}"), &[line]);
        }
        if let Some(group) = self.groups_of.get(&reader) {
            let progress = self
                .groups
                .entry((group.clone(), partition.clone()))
                .or_default();
            progress.got.insert(*offset);
            progress
                .skipped
                .push((offset.saturating_sub(skipped), *offset));
        }
        self.stands(line, &place, value);
        self.read.insert(place);
    }

    fn ends(&mut self, line: usize, partition: &Partition, (first, next): (u64, u64), read: bool) {
        let all = (partition.clone(), first)..=(partition.clone(), u64::MAX);
        let lost: Vec<(Place, usize)> = self
            .acknowledged
            .range(all)
            .filter(|(place, _)| place.1 >= next || (read && !self.read.contains(*place)))
            .map(|(place, told)| (place.clone(), *told))
            .collect();
        for (place, told) in lost {
            let expected = format!("the record at {place:?}, which was acknowledged");
            self.broken(Rule::S1, expected, "nobody got it", &[told, line]);
        }
    }

    /// Nothing before what a group has committed was left out.
    fn groups(&mut self) {
        let groups = std::mem::take(&mut self.groups);
        for ((group, partition), progress) in groups {
            let (committed, line) = progress.committed;
            let first = progress.first.unwrap_or(committed);
            let dropped = |offset: &u64| {
                progress
                    .skipped
                    .iter()
                    .any(|(from, upto)| (*from..*upto).contains(offset))
            };
            let missed = (first..committed).find(|at| !progress.got.contains(at) && !dropped(at));
            if let Some(offset) = missed {
                let expected = format!("{group} got offset {offset} of {partition:?}");
                let found = format!("it has committed {committed} without");
                self.broken(Rule::S1, expected, found, &[line]);
            }
        }
    }

    fn broken(
        &mut self,
        rule: Rule,
        expected: impl Into<String>,
        found: impl Into<String>,
        lines: &[usize],
    ) {
        self.violations.push(Violation {
            rule,
            expected: expected.into(),
            found: found.into(),
            lines: lines.to_vec(),
        });
    }
}
