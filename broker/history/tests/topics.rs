//! The rules for topics: correct histories pass, and each planted fault is found by its own rule.

use std::collections::BTreeMap;

use verteilt_history::{
    Body, Producer, Rule, TopicPartition as Partition, TopicPublish, TopicRead, TopicRecord,
    check_topics,
};

const SEEDS: u64 = 300;

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % below
    }
}

/// A broker that keeps its promises, and clients that write down what they see.
struct Model {
    random: Random,
    history: Vec<TopicRecord>,
    logs: BTreeMap<Partition, Vec<Body>>,
    starts: BTreeMap<Partition, u64>,
    committed: BTreeMap<Partition, u64>,
    operation: u64,
    reader: u64,
    sequence: u64,
    value: u64,
}

fn partition(number: u64) -> Partition {
    Partition {
        topic: "log".to_owned(),
        number: number as u32,
    }
}

impl Model {
    fn run(seed: u64) -> Vec<TopicRecord> {
        let mut model = Self {
            random: Random(seed),
            history: Vec::new(),
            logs: BTreeMap::new(),
            starts: BTreeMap::new(),
            committed: BTreeMap::new(),
            operation: 0,
            reader: 0,
            sequence: 0,
            value: 0,
        };
        for number in 0..3 {
            model.logs.insert(partition(number), Vec::new());
        }
        for _ in 0..40 {
            match model.random.next(10) {
                0..5 => model.publish(),
                5..8 => model.consume(),
                8 => model.read_all(),
                _ => model.retain(),
            }
        }
        model.publish();
        model.consume();
        model.read_all();
        for number in 0..3 {
            let partition = partition(number);
            let next_offset = model.logs[&partition].len() as u64;
            model.history.push(TopicRecord::Ends {
                first_offset: model.starts.get(&partition).copied().unwrap_or(0),
                next_offset,
                read: true,
                partition,
            });
        }
        model.history
    }

    fn operation(&mut self) -> u64 {
        self.operation += 1;
        self.operation
    }

    fn publish(&mut self) {
        let values: Vec<Body> = (0..=self.random.next(4))
            .map(|_| {
                self.value += 1;
                Body::of(&self.value.to_le_bytes())
            })
            .collect();
        self.sequence += 1;
        let producer = Some(Producer {
            id: "p".to_owned(),
            sequence: self.sequence,
        });
        let number = self.random.next(3);
        // The answer may be lost, before or after the broker took it; then it is sent again.
        let tries = 1 + self.random.next(3);
        let mut place = None;
        for attempt in 0..tries {
            let operation = self.operation();
            self.history.push(TopicRecord::Publish(TopicPublish {
                operation,
                topic: "log".to_owned(),
                producer: producer.clone(),
                values: values.clone(),
                ..TopicPublish::default()
            }));
            let duplicate = place.is_some();
            if attempt + 1 == tries || self.random.next(2) == 0 {
                let log = self.logs.entry(partition(number)).or_default();
                place.get_or_insert_with(|| {
                    let first = log.len() as u64;
                    log.extend(&values);
                    first
                });
            }
            if let (Some(first_offset), true) = (place, attempt + 1 == tries) {
                self.history.push(TopicRecord::Published {
                    operation,
                    partition: number as u32,
                    first_offset,
                    duplicate,
                });
            }
        }
    }

    fn read(&mut self, partition: &Partition, from: u64, upto: u64) -> Option<u64> {
        let start = self.starts.get(partition).copied().unwrap_or(0);
        let mut skipped = start.saturating_sub(from);
        let mut last = None;
        for offset in from.max(start)..upto {
            self.history.push(TopicRecord::Read(TopicRead {
                reader: self.reader,
                partition: partition.clone(),
                offset,
                skipped: std::mem::take(&mut skipped),
                time_ms: 0,
                value: self.logs[partition][offset as usize],
            }));
            last = Some(offset);
        }
        last
    }

    /// A member comes, reads some, commits less or nothing, and goes.
    fn consume(&mut self) {
        let partition = partition(self.random.next(3));
        self.reader += 1;
        let from = self.committed.get(&partition).copied().unwrap_or(0);
        self.history.push(TopicRecord::Begins {
            reader: self.reader,
            group: Some("g".to_owned()),
            partition: partition.clone(),
            offset: from,
        });
        let left = (self.logs[&partition].len() as u64).saturating_sub(from);
        let upto = from + left - self.random.next(left + 1) / 2;
        let Some(last) = self.read(&partition, from, upto) else {
            return;
        };
        if self.random.next(4) == 0 {
            return;
        }
        let start = self.starts.get(&partition).copied().unwrap_or(0);
        let offset = last - self.random.next(last - from.max(start) + 1) / 2;
        let operation = self.operation();
        self.history.push(TopicRecord::Commit {
            operation,
            group: "g".to_owned(),
            partition: partition.clone(),
            offset,
        });
        let known = self.committed.entry(partition).or_default();
        *known = (*known).max(offset + 1);
        if self.random.next(5) > 0 {
            self.history.push(TopicRecord::Committed { operation });
        }
    }

    fn read_all(&mut self) {
        self.reader += 1;
        for number in 0..3 {
            let partition = partition(number);
            self.history.push(TopicRecord::Begins {
                reader: self.reader,
                group: None,
                partition: partition.clone(),
                offset: 0,
            });
            let upto = self.logs[&partition].len() as u64;
            self.read(&partition, 0, upto);
        }
    }

    fn retain(&mut self) {
        let partition = partition(self.random.next(3));
        let next = self.logs[&partition].len() as u64;
        let start = self.starts.entry(partition).or_default();
        *start += self.random.next(next - *start + 1) / 3;
    }
}

/// The lines of a kind of record.
fn lines(history: &[TopicRecord], is: impl Fn(&TopicRecord) -> bool) -> Vec<usize> {
    (0..history.len()).filter(|at| is(&history[*at])).collect()
}

fn is_read(record: &TopicRecord) -> bool {
    matches!(record, TopicRecord::Read(TopicRead { .. }))
}

/// Plants a fault into correct histories. It returns false where there is no room for it; where
/// there is, its rule must find it.
#[track_caller]
fn planted(rule: Rule, fault: impl Fn(&mut Vec<TopicRecord>, &mut Random) -> bool) {
    let mut found = 0;
    for seed in 0..SEEDS {
        let mut history = Model::run(seed);
        if !fault(&mut history, &mut Random(seed ^ 0xABCD)) {
            continue;
        }
        let violations = check_topics(&history);
        let is_told = violations.iter().any(|violation| violation.rule == rule);
        assert!(is_told, "seed {seed}: {rule} says nothing; {violations:?}");
        found += 1;
    }
    assert!(
        found > SEEDS / 3,
        "there was room in {found} histories only"
    );
}

#[test]
fn correct_histories_pass() {
    for seed in 0..5 * SEEDS {
        let violations = check_topics(&Model::run(seed));
        assert!(violations.is_empty(), "seed {seed}: {violations:?}");
    }
}

#[test]
fn s1_an_acknowledged_record_is_cut_off() {
    planted(Rule::S1, |history, _| {
        let at = history.len() - 3;
        match &mut history[at] {
            TopicRecord::Ends {
                first_offset,
                next_offset,
                ..
            } if *next_offset > *first_offset => {
                *next_offset -= 1;
                true
            }
            _ => false,
        }
    });
}

#[test]
fn s1_an_acknowledged_record_never_comes() {
    planted(Rule::S1, |history, _| {
        let Some(TopicRecord::Ends {
            partition,
            next_offset,
            first_offset,
            ..
        }) = history.last().cloned()
        else {
            return false;
        };
        // The last record of a partition, so that nobody sees a gap.
        history.retain(|record| {
            !matches!(record, TopicRecord::Read(TopicRead { partition: of, offset, .. })
            if *of == partition && offset + 1 == next_offset)
        });
        let any = next_offset > first_offset;
        any && history.iter().any(|record| {
            matches!(record, TopicRecord::Published { partition: of, .. }
            if *of == partition.number)
        })
    });
}

#[test]
fn s1_a_group_goes_back_behind_what_it_committed() {
    planted(Rule::S1, |history, _| {
        let committed = lines(history, |record| {
            matches!(record, TopicRecord::Committed { .. })
        });
        for at in committed.into_iter().rev() {
            let TopicRecord::Committed { operation } = history[at] else {
                continue;
            };
            let commit = history.iter().find_map(|record| match record {
                TopicRecord::Commit {
                    operation: of,
                    partition,
                    offset,
                    ..
                } if *of == operation => Some((partition.clone(), *offset)),
                _ => None,
            });
            let Some((partition, offset)) = commit else {
                continue;
            };
            let again = TopicRecord::Begins {
                reader: 9_999,
                group: Some("g".to_owned()),
                partition,
                offset,
            };
            history.insert(at + 1, again);
            return true;
        }
        false
    });
}

#[test]
fn s1_a_group_commits_what_none_of_its_members_got() {
    planted(Rule::S1, |history, _| {
        let last = lines(history, |record| {
            matches!(record, TopicRecord::Commit { .. })
        });
        let Some(TopicRecord::Commit {
            offset,
            partition,
            operation,
            ..
        }) = last.last().map(|at| history[*at].clone())
        else {
            return false;
        };
        let is_told = history.iter().any(
            |record| matches!(record, TopicRecord::Committed { operation: of } if *of == operation),
        );
        // The member that began first in the group, so that nobody else got it before it.
        let members: Vec<u64> = history
            .iter()
            .filter_map(|record| match record {
                TopicRecord::Begins {
                    reader,
                    group: Some(_),
                    ..
                } => Some(*reader),
                _ => None,
            })
            .collect();
        let before = history.len();
        history.retain(|record| {
            !matches!(record, TopicRecord::Read(TopicRead { reader, partition: of, offset: at, .. })
                if members.contains(reader) && *of == partition && *at == offset)
        });
        is_told && history.len() < before
    });
}

#[test]
fn s2_a_record_comes_that_nobody_published() {
    planted(Rule::S2, |history, random| {
        let reads = lines(history, is_read);
        if reads.is_empty() {
            return false;
        }
        let at = reads[random.next(reads.len() as u64) as usize];
        if let TopicRecord::Read(TopicRead { value, .. }) = &mut history[at] {
            *value = Body::of(b"invented");
        }
        true
    });
}

#[test]
fn s6_an_offset_changes_its_bytes() {
    planted(Rule::S6, |history, random| {
        let reads = lines(history, is_read);
        let at = reads
            .get(random.next(reads.len().max(1) as u64) as usize)
            .copied();
        let other = reads.first().and_then(|at| match &history[*at] {
            TopicRecord::Read(TopicRead { value, .. }) => Some(*value),
            _ => None,
        });
        let (Some(at), Some(other)) = (at, other) else {
            return false;
        };
        let TopicRecord::Read(TopicRead { value, .. }) = &mut history[at] else {
            return false;
        };
        let changed = *value != other;
        *value = other;
        changed
    });
}

#[test]
fn s6_a_reader_gets_a_gap() {
    planted(Rule::S6, |history, _| {
        // One in the middle of what a reader got in a partition.
        let reads = lines(history, is_read);
        let middle = reads
            .windows(2)
            .find(|two| match (&history[two[0]], &history[two[1]]) {
                (
                    TopicRecord::Read(TopicRead {
                        reader: a,
                        partition: p,
                        ..
                    }),
                    TopicRecord::Read(TopicRead {
                        reader: b,
                        partition: q,
                        ..
                    }),
                ) => a == b && p == q && two[0] + 1 == two[1],
                _ => false,
            });
        let Some(at) = middle.map(|two| two[0]) else {
            return false;
        };
        // Its reader was told where it begins, so the first one may go, too.
        history.remove(at);
        true
    });
}

#[test]
fn s6_a_reader_gets_a_record_twice() {
    planted(Rule::S6, |history, random| {
        let reads = lines(history, is_read);
        if reads.is_empty() {
            return false;
        }
        let at = reads[random.next(reads.len() as u64) as usize];
        history.insert(at, history[at].clone());
        true
    });
}

#[test]
fn s7_a_publish_that_came_again_is_taken_twice() {
    planted(Rule::S7, |history, _| {
        let duplicates = lines(history, |record| {
            matches!(
                record,
                TopicRecord::Published {
                    duplicate: true,
                    ..
                }
            )
        });
        let Some(at) = duplicates.first().copied() else {
            return false;
        };
        // Told before under its own place, then under another one.
        let again = history[at].clone();
        let TopicRecord::Published { operation, .. } = again else {
            return false;
        };
        let publish = history.iter().find(|record| {
            matches!(record, TopicRecord::Publish(TopicPublish { operation: of, .. }) if *of == operation)
        });
        let Some(TopicRecord::Publish(TopicPublish {
            topic,
            producer,
            values,
            ..
        })) = publish.cloned()
        else {
            return false;
        };
        history.push(TopicRecord::Publish(TopicPublish {
            operation: 77_777,
            topic,
            producer,
            values,
            ..TopicPublish::default()
        }));
        history.push(TopicRecord::Published {
            operation: 77_777,
            partition: 0,
            first_offset: 100_000,
            duplicate: true,
        });
        true
    });
}

#[test]
fn s7_a_publish_is_called_a_duplicate_of_nothing() {
    planted(Rule::S7, |history, _| {
        history.push(TopicRecord::Publish(TopicPublish {
            operation: 77_777,
            topic: "log".to_owned(),
            producer: Some(Producer {
                id: "q".to_owned(),
                sequence: 1,
            }),
            values: vec![Body::of(b"fresh")],
            ..TopicPublish::default()
        }));
        history.push(TopicRecord::Published {
            operation: 77_777,
            partition: 0,
            first_offset: 100_000,
            duplicate: true,
        });
        true
    });
}
