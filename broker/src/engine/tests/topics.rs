//! Records, driven by dice: however checkpoints, trims, failures of the store and crashes fall, what
//! a reader gets is what was published, offset for offset, and nothing that is kept is missing.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use verteilt_core::{
    Assignment, Caller, Command, Effect, PartitionId, ProducerId, Publish, RecordLengths,
    Retention, Start, Target, TopicCommand, TopicEffect, TopicId, TopicSubscribe, record,
};

use super::{ME, Memory, SESSION, queue};
use crate::engine::disk_work::{LoadError, read};
use crate::engine::reader::{Next, Reader};
use crate::follower::FollowerReport;
use crate::journal::Crash;
use crate::recovery::Opened;

const PARTITIONS: u32 = 3;
const AGE_MS: u64 = 3_000;

#[derive(Clone, Debug)]
enum Step {
    Publish {
        partition: u32,
        lengths: Vec<u16>,
        keys: bool,
    },
    /// A publish that came before comes again.
    Again(prop::sample::Index),
    Commit(u32, u64),
    /// Time passes, and records grow old.
    Wait(u64),
    Read {
        partition: u32,
        records: u32,
        bytes: u64,
    },
    Checkpoint,
    /// The store fails at its n-th operation from now, in the next checkpoint.
    StoreFails(u8),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let lengths = prop_oneof![
        9 => proptest::collection::vec(0u16..400, 1..20),
        1 => proptest::collection::vec(10_000u16..15_000, 1..4),
    ];
    let read = (0..PARTITIONS, 1u32..50, 1u64..20_000);
    prop_oneof![
        20 => (0..PARTITIONS, lengths, any::<bool>())
            .prop_map(|(partition, lengths, keys)| Step::Publish { partition, lengths, keys }),
        2 => any::<prop::sample::Index>().prop_map(Step::Again),
        3 => (0..PARTITIONS, 0u64..40).prop_map(|(partition, offset)| Step::Commit(partition, offset)),
        2 => (1u64..1_500).prop_map(Step::Wait),
        8 => read.prop_map(|(partition, records, bytes)| Step::Read { partition, records, bytes }),
        4 => Just(Step::Checkpoint),
        1 => (0u8..60).prop_map(Step::StoreFails),
        2 => Just(Step::Restart),
    ]
}

/// A record as it was published: key and value, time.
type Record = (Vec<u8>, Vec<u8>, u64);

struct World {
    memory: Memory,
    opened: Opened,
    now_ms: u64,
    correlation: u64,
    seed: u8,
    logs: Vec<Vec<Record>>,
    publishes: Vec<(Publish, u64)>,
    committed: BTreeMap<u32, u64>,
}

const fn partition(number: u32) -> PartitionId {
    PartitionId {
        topic: TopicId(0),
        number,
    }
}

impl World {
    fn new(bytes: u64) -> Self {
        let memory = Memory::new();
        let opened = memory.open();
        let now_ms = opened.clock.now_ms();
        let mut world = Self {
            memory,
            opened,
            now_ms,
            correlation: 0,
            seed: 0,
            logs: vec![Vec::new(); PARTITIONS as usize],
            publishes: Vec::new(),
            committed: BTreeMap::new(),
        };
        world.journal();
        let retention = Retention {
            age_ms: AGE_MS,
            bytes,
        };
        let (topic, partitions) = (queue(), PARTITIONS);
        world.ask(TopicCommand::Create {
            topic,
            partitions,
            retention,
        });
        world.connect();
        world
    }

    fn connect(&mut self) {
        self.command(Command::Connect { held: None });
        self.ask(TopicCommand::Subscribe(TopicSubscribe {
            subscription: 1,
            topic: queue(),
            group: Some("g".to_owned()),
            start: Start::Earliest,
            partitions: Vec::new(),
            credit_records: 1,
            credit_bytes: 0,
        }));
    }

    fn ask(&mut self, command: TopicCommand) -> Vec<Effect> {
        self.command(Command::Topic(command))
    }

    fn command(&mut self, command: Command) -> Vec<Effect> {
        self.correlation += 1;
        let caller = Caller {
            connection: ME,
            session: SESSION,
            correlation: self.correlation,
        };
        self.opened.engine.step(self.now_ms, [(caller, command)]);
        self.journal();
        let told = self.opened.engine.released();
        told.map(|addressed| addressed.effect).collect()
    }

    fn journal(&mut self) {
        while let Some(batch) = self.opened.engine.take_batch() {
            let place = self.opened.journal.append(&batch).unwrap();
            self.opened.engine.durable(place);
        }
    }

    fn publish(&mut self, number: u32, lengths: &[u16], keys: bool) {
        let (mut payload, mut all) = (Vec::new(), RecordLengths::default());
        let time_ms = self.now_ms.max(self.opened.engine.shard().now_ms());
        let first = self.logs[number as usize].len() as u64;
        for length in lengths {
            self.seed = self.seed.wrapping_add(1);
            let seed = self.seed;
            let bytes: Vec<u8> = (0..*length).map(|at| (at as u8) ^ seed).collect();
            let key = if keys { usize::from(*length) / 3 } else { 0 };
            payload.extend_from_slice(&bytes);
            all.ends.push(payload.len() as u32);
            if keys {
                all.keys.push(key as u32);
            }
            let (key, value) = bytes.split_at(key);
            self.logs[number as usize].push((key.to_vec(), value.to_vec(), time_ms));
        }
        let publish = Publish {
            topic: queue(),
            target: Target::Partition(number),
            producer: Some((ProducerId(9), self.correlation + 1)),
            lengths: all,
            payload: payload.into(),
        };
        self.publishes.push((publish.clone(), first));
        self.take(publish, number, first, false);
    }

    fn take(&mut self, publish: Publish, number: u32, first: u64, again: bool) {
        let effects = self.ask(TopicCommand::Publish(publish));
        let told = effects.iter().find_map(|effect| match effect {
            Effect::Topic(TopicEffect::Published {
                partition,
                first_offset,
                duplicate,
                ..
            }) => Some((*partition, *first_offset, *duplicate)),
            _ => None,
        });
        assert_eq!(told, Some((number, first, again)), "{effects:?}");
    }

    fn commit(&mut self, number: u32, offset: u64) {
        let effects = self.ask(TopicCommand::Consumed {
            subscription: 1,
            partition: number,
            offset,
            commit: true,
        });
        let refused = effects
            .iter()
            .any(|effect| matches!(effect, Effect::Refused { .. }));
        assert_eq!(refused, offset >= self.logs[number as usize].len() as u64);
        if !refused {
            let known = self.committed.entry(number).or_insert(0);
            *known = (*known).max(offset + 1);
        }
    }

    fn next(&self, number: u32) -> u64 {
        self.logs[number as usize].len() as u64
    }

    fn start(&self, number: u32) -> u64 {
        let ledger = self.opened.engine.shard().ledger();
        ledger.start_of(partition(number)).unwrap()
    }

    /// Reads a partition from an offset to its end, with this credit.
    fn read(&mut self, number: u32, from: u64, credit: (u32, u64)) {
        let mut reader = Reader::new(TopicId(0));
        let at = Assignment {
            partition: number,
            offset: from,
            from_ms: 0,
        };
        reader.assign(&[at], &self.opened.engine.records);
        reader.set_credit(credit.0, credit.1);
        let (mut expected, mut loads) = (from, 0);
        loop {
            let engine = &self.opened.engine;
            match reader.next(&engine.records, engine.shard().ledger()) {
                Next::Send(frame) => {
                    loads = 0;
                    assert_eq!(frame.first_offset, expected + frame.skipped);
                    assert!(frame.skipped == 0 || frame.first_offset == self.start(number));
                    let count = frame.tables.count();
                    assert!(count as u32 <= credit.0);
                    assert!(count == 1 || frame.tables.bytes as u64 <= credit.1);
                    self.assert_same(number, frame.first_offset, &frame);
                    expected = frame.first_offset + count as u64;
                    reader.consumed(number, expected - 1);
                }
                Next::Load(_, source) => {
                    loads += 1;
                    assert!(loads < 4, "what was read is not found in it");
                    let log = self.opened.journal.log();
                    match read(log.as_ref(), &self.opened.blocks, source) {
                        Ok(loaded) => self.opened.engine.add_loaded(source, loaded),
                        Err(LoadError::Moved) => {}
                        Err(error) => panic!("{source:?}: {error}"),
                    }
                    assert!(self.opened.engine.records.cached_bytes() < 512 * 1024);
                    reader.wake(number);
                }
                Next::Rest => break,
            }
        }
        assert_eq!(
            expected.max(self.start(number)),
            self.next(number),
            "all that is there"
        );
    }

    fn assert_same(&self, number: u32, first: u64, frame: &crate::engine::RecordFrame) {
        let payload: Vec<u8> = frame.chunks.concat();
        let times: Vec<u64> = frame
            .tables
            .times
            .iter()
            .flat_map(|(time_ms, count)| vec![*time_ms; *count as usize])
            .collect();
        let mut at = 0;
        for (index, value) in frame.tables.values.iter().enumerate() {
            let (key, value_was, time_ms) = &self.logs[number as usize][first as usize + index];
            let key_length = frame.tables.keys.get(index).copied().unwrap_or(0) as usize;
            assert_eq!(
                &payload[at..at + key_length],
                &key[..],
                "offset {}",
                first + index as u64
            );
            at += key_length;
            assert_eq!(&payload[at..at + *value as usize], &value_was[..]);
            at += *value as usize;
            assert_eq!(times[index], *time_ms);
        }
        assert_eq!(at, payload.len());
    }

    fn checkpoint(&mut self) {
        if self.opened.follower.checkpoint().is_err() {
            return self.crash();
        }
        let FollowerReport::Written {
            lsn,
            blocks,
            records,
            ..
        } = self.opened.follower.written()
        else {
            panic!("that is what it says");
        };
        self.opened.engine.install(lsn, blocks, records);
        self.opened.journal.log().trim(0, lsn).unwrap();
    }

    /// What was flushed is there; of what was not, whatever the dice say.
    fn crash(&mut self) {
        let mut dice = self.correlation;
        self.memory.lose(|| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            dice >> 63 == 1
        });
        self.memory.disk.crash(Crash::Drop);
        let before = self.state();
        self.opened = self.memory.open();
        self.now_ms = self.now_ms.max(self.opened.clock.now_ms());
        assert_eq!(self.state(), before, "what is on disk is what was decided");
        self.journal();
        self.connect();
    }

    /// All that is durable of topics; the start counts itself, so that is left out.
    fn state(&self) -> Bytes {
        let mut out = BytesMut::new();
        record::put_ledger(&mut out, self.opened.engine.shard().ledger());
        let bytes = out.freeze();
        // Epoch and next id, which stand in front, are below 128 here.
        bytes.slice(1..)
    }

    fn check(&mut self) {
        for number in 0..PARTITIONS {
            self.read(number, 0, (1_000, 1 << 20));
            let old = |record: &&Record| record.2 + AGE_MS + AGE_MS / 16 <= self.now_ms;
            let gone = self.logs[number as usize].iter().take_while(old).count() as u64;
            let young = |record: &&Record| record.2 + AGE_MS > self.now_ms;
            let kept = self.logs[number as usize]
                .iter()
                .rev()
                .take_while(young)
                .count() as u64;
            let start = self.start(number);
            assert!(start >= gone, "{gone} outlived, and {start} went");
            if self.memory_is_roomy() {
                assert!(start <= self.next(number) - kept, "{start} went too early");
            }
        }
        let effects = self.ask(TopicCommand::Groups {
            topic: queue(),
            after: String::new(),
        });
        let positions = effects.iter().find_map(|effect| match effect {
            Effect::Topic(TopicEffect::Groups { groups, .. }) => Some(groups[0].positions.clone()),
            _ => None,
        });
        for (number, position, _) in positions.unwrap() {
            let known = self.committed.get(&number).copied().unwrap_or(0);
            assert!(position >= known, "{number} went back");
        }
    }

    fn memory_is_roomy(&self) -> bool {
        let effects = self.opened.engine.shard().all_topics();
        effects[0].1.retention.bytes == 0
    }

    fn go(&mut self, step: &Step) {
        match step {
            Step::Publish {
                partition,
                lengths,
                keys,
            } => self.publish(*partition, lengths, *keys),
            Step::Again(which) => {
                // Behind the window a number is refused.
                let late = self.publishes.len().saturating_sub(50);
                if !self.publishes.is_empty() {
                    let at = late + which.index(self.publishes.len() - late);
                    let (publish, first) = self.publishes[at].clone();
                    let Target::Partition(number) = publish.target else {
                        panic!("that is how they are made");
                    };
                    self.take(publish, number, first, true);
                }
            }
            Step::Commit(partition, offset) => self.commit(*partition, *offset),
            Step::Wait(by_ms) => {
                self.now_ms += by_ms;
                self.opened.engine.step(self.now_ms, []);
                self.journal();
            }
            Step::Read {
                partition,
                records,
                bytes,
            } => self.read(*partition, self.start(*partition) / 2, (*records, *bytes)),
            Step::Checkpoint => self.checkpoint(),
            Step::StoreFails(after) => {
                let operations = self.memory.store.operations();
                self.memory.store.fail_at(operations + u64::from(*after));
            }
            Step::Restart => self.crash(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_read_is_what_was_published(
        bytes in prop_oneof![Just(0u64), 5_000..80_000u64],
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let mut world = World::new(bytes);
        for step in &steps {
            world.go(step);
        }
        world.check();
        world.crash();
        world.check();
        // And from the store alone, after as many checkpoints as windows are needed.
        let lsn = world.opened.engine.shard().lsn();
        for _ in 0..1_000 {
            world.checkpoint();
            let FollowerReport::Written { lsn: written, .. } = world.opened.follower.written() else {
                panic!("that is what it says");
            };
            if written >= lsn {
                break;
            }
        }
        world.check();
        world.crash();
        world.check();
    }
}
