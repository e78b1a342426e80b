//! Topics, whatever happens: a model that knows every record and every position by itself is held
//! against the shard after each step.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use verteilt_core::{
    Assignment, Caller, Command, ConnectionId, Effect, Event, Millis, Output, ProducerId, Publish,
    QueueName, RecordLengths, Refusal, Retention, SessionId, Start, Target, TopicCommand,
    TopicEffect, TopicEvent, TopicSubscribe,
};

use crate::cases;
use crate::world::{World, limits};

#[derive(Clone, Debug)]
enum Step {
    Create(u8, u32, Retention),
    Change(u8, Retention),
    Delete(u8),
    Publish {
        topic: u8,
        target: Target,
        lengths: Vec<u32>,
        producer: Option<(u128, u64)>,
    },
    Connect(u8),
    Disconnect(u8),
    Read {
        session: u8,
        number: u64,
        topic: u8,
        group: Option<u8>,
        start: Start,
    },
    Unsubscribe(u8, u64),
    Consume {
        session: u8,
        pick: u8,
        partition: u32,
        offset: u64,
        commit: bool,
    },
    Advance(Millis),
    Checkpoint,
    Crash,
}

fn retention() -> impl Strategy<Value = Retention> {
    let age_ms =
        prop_oneof![2 => Just(0u64), 1 => Just(1u64), 2 => 100..20_000u64, 1 => Just(u64::MAX)];
    let bytes = prop_oneof![2 => Just(0u64), 3 => 1..900u64, 1 => Just(u64::MAX)];
    (age_ms, bytes).prop_map(|(age_ms, bytes)| Retention { age_ms, bytes })
}

fn step() -> impl Strategy<Value = Step> {
    let target = prop_oneof![
        (0..4u32).prop_map(Target::Partition),
        Just(Target::Turn),
        any::<u32>().prop_map(|hash| Target::Keys(vec![hash])),
    ];
    let producer = prop::option::weighted(0.4, (0..2u128, 1..9u64));
    let start = prop_oneof![
        Just(Start::Earliest),
        Just(Start::Latest),
        (0..20u64).prop_map(Start::Offset),
        (990_000..1_050_000u64).prop_map(Start::Time),
    ];
    let read = (
        0..4u8,
        1..3u64,
        0..2u8,
        prop::option::weighted(0.8, 0..2u8),
        start,
    );
    prop_oneof![
        3 => (0..2u8, 1..5u32, retention())
            .prop_map(|(topic, partitions, keeps)| Step::Create(topic, partitions, keeps)),
        1 => (0..2u8, retention()).prop_map(|(topic, keeps)| Step::Change(topic, keeps)),
        1 => (0..2u8).prop_map(Step::Delete),
        25 => (0..2u8, target, vec(0..60u32, 1..4), producer).prop_map(
            |(topic, target, lengths, producer)| Step::Publish { topic, target, lengths, producer }),
        6 => (0..4u8).prop_map(Step::Connect),
        2 => (0..4u8).prop_map(Step::Disconnect),
        12 => read.prop_map(|(session, number, topic, group, start)| Step::Read {
            session, number, topic, group, start }),
        2 => (0..4u8, 1..3u64).prop_map(|(session, number)| Step::Unsubscribe(session, number)),
        15 => (0..4u8, any::<u8>(), 0..4u32, 0..12u64, any::<bool>()).prop_map(
            |(session, pick, partition, offset, commit)| Step::Consume {
                session, pick, partition, offset, commit }),
        6 => prop_oneof![1..200u64, 200..9_000u64].prop_map(Step::Advance),
        1 => Just(Step::Checkpoint),
        2 => Just(Step::Crash),
    ]
}

#[derive(Clone, Debug, Default)]
struct Log {
    start: u64,
    /// Of each record that ever came: its time, and the bytes of all publishes before its own.
    records: Vec<(Millis, u64)>,
    bytes: u64,
    last_bytes: u64,
}

#[derive(Debug)]
struct Topic {
    retention: Retention,
    /// It was asked to keep less since, so what was marked before may be coarse.
    changed: bool,
    logs: Vec<Log>,
    groups: BTreeMap<String, BTreeMap<u32, u64>>,
}

/// One who reads, by session and number.
type Reader = (SessionId, u64);

#[derive(Debug)]
struct Subscription {
    topic: u32,
    group: Option<String>,
    order: u64,
    owned: BTreeSet<u32>,
    generation: u64,
}

struct Model {
    world: World,
    topics: BTreeMap<u32, Topic>,
    names: BTreeMap<u8, u32>,
    connections: BTreeMap<SessionId, ConnectionId>,
    readers: BTreeMap<Reader, Subscription>,
    /// Positions that commits of this step have left, by topic, group and partition.
    committed: Vec<((u32, String, u32), u64)>,
    taken: BTreeMap<(u128, u64), (u32, u64, u32, Millis)>,
    next_connection: u64,
    joined: u64,
}

fn name(topic: u8) -> QueueName {
    QueueName {
        namespace: Arc::from("default"),
        name: format!("t{topic}"),
    }
}

impl Model {
    fn new() -> Self {
        let (world, _) = World::new(limits(), 1_000_000);
        Self {
            world,
            topics: BTreeMap::new(),
            names: BTreeMap::new(),
            connections: BTreeMap::new(),
            readers: BTreeMap::new(),
            committed: Vec::new(),
            taken: BTreeMap::new(),
            next_connection: 1,
            joined: 0,
        }
    }

    fn ask(&mut self, session: SessionId, command: Command) -> Output {
        let connection = self.connections.get(&session).copied();
        let caller = Caller {
            connection: connection.unwrap_or(ConnectionId(u64::MAX)),
            session,
            correlation: 1,
        };
        let output = self.world.handle(caller, command);
        self.hear(&output);
        output
    }

    fn topic(&mut self, session: SessionId, command: TopicCommand) -> Output {
        self.ask(session, Command::Topic(command))
    }

    // ---- what is heard

    fn hear(&mut self, output: &Output) {
        self.committed.clear();
        for event in &output.events {
            if let Event::Topic(event) = event {
                self.event(event);
            }
        }
        for told in &output.effects {
            if let Effect::Topic(effect) = &told.effect {
                let session = self.connections.iter().find(|(_, at)| **at == told.to);
                if let Some((session, _)) = session {
                    let session = *session;
                    self.effect(session, effect);
                }
            }
        }
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each kind")]
    fn event(&mut self, event: &TopicEvent) {
        match event {
            TopicEvent::Created {
                topic,
                partitions,
                retention,
                name,
                ..
            } => {
                let groups = BTreeMap::new();
                let logs = vec![Log::default(); *partitions as usize];
                self.topics.insert(
                    topic.0,
                    Topic {
                        retention: *retention,
                        changed: false,
                        logs,
                        groups,
                    },
                );
                let number = name[1..].parse().expect("a number");
                assert_eq!(self.names.insert(number, topic.0), None);
            }
            TopicEvent::Changed { topic, retention } => {
                let topic = self.topics.get_mut(&topic.0).expect("it is there");
                (topic.retention, topic.changed) = (*retention, true);
            }
            TopicEvent::Deleted { topic } => {
                self.topics.remove(&topic.0).expect("it is there");
                self.names.retain(|_, id| *id != topic.0);
            }
            TopicEvent::Published(published) => {
                let id = published.partition;
                let log = &mut self.topics.get_mut(&id.topic.0).expect("it is there").logs
                    [id.number as usize];
                assert_eq!(published.first_offset, log.records.len() as u64, "dense");
                assert_eq!(published.time_ms, self.world.now_ms);
                let record = (published.time_ms, log.bytes);
                log.records.extend(vec![record; published.lengths.count()]);
                log.last_bytes = published.stored_bytes();
                log.bytes += log.last_bytes;
            }
            TopicEvent::Dropped { partition, start } => {
                let topic = self
                    .topics
                    .get_mut(&partition.topic.0)
                    .expect("it is there");
                let log = &mut topic.logs[partition.number as usize];
                assert!(*start > log.start && *start <= log.records.len() as u64);
                let last = *start as usize - 1;
                let Retention { age_ms, bytes } = topic.retention;
                let young =
                    age_ms == 0 || log.records[last].0.saturating_add(age_ms) > self.world.now_ms;
                // Without the record that goes last, there would have been too much.
                let little = bytes == 0 || log.bytes - log.records[log.start as usize].1 <= bytes;
                assert!(!(young && little), "{last} went early");
                log.start = *start;
            }
            TopicEvent::Committed {
                topic,
                group,
                positions,
            } => {
                let topic_number = topic.0;
                let topic = self.topics.get_mut(&topic.0).expect("it is there");
                let of_group = topic.groups.entry(group.clone()).or_default();
                for (partition, offset) in positions {
                    let before = of_group.insert(*partition, *offset);
                    assert!(before.is_none_or(|before| before < *offset), "it moves on");
                    let place = (topic_number, group.clone(), *partition);
                    self.committed.extend(before.map(|before| (place, before)));
                }
            }
            TopicEvent::PublishersForgotten { producers } => {
                let now_ms = self.world.now_ms;
                let idle_ms = limits().producer_idle_ms;
                for producer in producers {
                    let of = |key: &(u128, u64)| key.0 == producer.0;
                    let mut all = self.taken.iter().filter(|(key, _)| of(key));
                    assert!(all.all(|(_, taken)| taken.3 + idle_ms <= now_ms));
                    self.taken.retain(|key, _| !of(key));
                }
            }
        }
    }

    fn effect(&mut self, session: SessionId, effect: &TopicEffect) {
        match effect {
            TopicEffect::Assigned {
                subscription,
                topic,
                generation,
                partitions,
                ..
            } => {
                let key = (session, *subscription);
                let (topics, Some(reader)) = (&self.topics, self.readers.get_mut(&key)) else {
                    return;
                };
                assert_eq!(topic.0, reader.topic);
                assert!(partitions.is_sorted_by_key(|at| at.partition));
                for at in partitions {
                    let log = &topics[&topic.0].logs[at.partition as usize];
                    assert!(at.offset <= log.records.len() as u64);
                    if let Some(group) = &reader.group {
                        let known = topics[&topic.0].groups[group][&at.partition];
                        // Or where it was before a commit of the same step.
                        let place = (topic.0, group.clone(), at.partition);
                        let is_before = self.committed.contains(&(place, at.offset));
                        assert!(
                            at.offset == known || is_before,
                            "a member begins at the group's position, {known}: {at:?}"
                        );
                    }
                }
                if reader.group.is_some() {
                    assert!(*generation > reader.generation);
                }
                reader.generation = *generation;
                reader.owned = partitions.iter().map(|at| at.partition).collect();
            }
            TopicEffect::Ended { subscription, .. } => {
                self.readers.remove(&(session, *subscription));
            }
            _ => {}
        }
    }

    // ---- what is done

    #[expect(clippy::too_many_lines, reason = "one arm for each kind")]
    fn step(&mut self, step: &Step) {
        let nobody = SessionId(100);
        match step {
            Step::Create(topic, partitions, retention) => {
                self.topic(
                    nobody,
                    TopicCommand::Create {
                        topic: name(*topic),
                        partitions: *partitions,
                        retention: *retention,
                    },
                );
            }
            Step::Change(topic, retention) => {
                let (topic, retention) = (name(*topic), *retention);
                self.topic(nobody, TopicCommand::Change { topic, retention });
            }
            Step::Delete(topic) => {
                let topic = name(*topic);
                self.topic(nobody, TopicCommand::Delete { topic });
                let there: BTreeSet<u32> = self.topics.keys().copied().collect();
                let mut readers = self.readers.values();
                assert!(
                    readers.all(|reader| there.contains(&reader.topic)),
                    "they are told"
                );
            }
            Step::Publish {
                topic,
                target,
                lengths,
                producer,
            } => self.publish(*topic, target, lengths, *producer),
            Step::Connect(session) => {
                let session = SessionId(u128::from(*session));
                self.readers.retain(|(of, _), _| *of != session);
                self.connections
                    .insert(session, ConnectionId(self.next_connection));
                self.next_connection += 1;
                self.ask(session, Command::Connect { held: None });
            }
            Step::Disconnect(session) => {
                let session = SessionId(u128::from(*session));
                self.readers.retain(|(of, _), _| *of != session);
                self.ask(session, Command::Disconnect);
                self.connections.remove(&session);
            }
            Step::Read {
                session,
                number,
                topic,
                group,
                start,
            } => self.read(*session, *number, *topic, *group, *start),
            Step::Unsubscribe(session, number) => {
                let (session, subscription) = (SessionId(u128::from(*session)), *number);
                self.ask(session, Command::Unsubscribe { subscription });
                assert!(!self.readers.contains_key(&(session, subscription)));
            }
            Step::Consume {
                session,
                pick,
                partition,
                offset,
                commit,
            } => self.consume(*session, *pick, *partition, *offset, *commit),
            Step::Advance(by_ms) => self.advance(*by_ms),
            Step::Checkpoint => self.world.checkpoint(),
            Step::Crash => {
                self.connections.clear();
                self.readers.clear();
                let output = self.world.crash();
                self.hear(&output);
            }
        }
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each kind")]
    fn publish(
        &mut self,
        topic: u8,
        target: &Target,
        lengths: &[u32],
        producer: Option<(u128, u64)>,
    ) {
        let mut end = 0;
        let ends: Vec<u32> = lengths
            .iter()
            .map(|length| {
                end += length;
                end
            })
            .collect();
        let count = ends.len() as u32;
        let publish = Publish {
            topic: name(topic),
            target: target.clone(),
            producer: producer.map(|(id, sequence)| (ProducerId(id), sequence)),
            lengths: RecordLengths {
                ends,
                ..RecordLengths::default()
            },
            payload: Bytes::from(vec![7; end as usize]),
        };
        let logs = self.names.get(&topic).map(|id| &self.topics[id].logs);
        let next: Option<Vec<u64>> =
            logs.map(|logs| logs.iter().map(|log| log.records.len() as u64).collect());
        let output = self.topic(SessionId(100), TopicCommand::Publish(publish));
        let [told] = &output.effects[..] else {
            panic!("one answer");
        };
        let known = producer.and_then(|key| self.taken.get(&key)).copied();
        match &told.effect {
            Effect::Topic(TopicEffect::Published {
                partition,
                first_offset,
                count: told,
                duplicate,
                ..
            }) => {
                if *duplicate {
                    let (was_in, was_at, was, _) = known.expect("it was taken before");
                    assert_eq!((*partition, *first_offset, *told), (was_in, was_at, was));
                    assert!(output.events.is_empty());
                    return;
                }
                assert!(known.is_none(), "taken twice");
                let next = next.expect("a topic that is there");
                assert_eq!((*first_offset, *told), (next[*partition as usize], count));
                match target {
                    Target::Partition(asked) => assert_eq!(asked, partition),
                    Target::Keys(hashes) => {
                        assert_eq!(*partition, hashes[0] % next.len() as u32);
                    }
                    Target::Turn => {}
                }
                if let Some(key) = producer {
                    let taken = (*partition, *first_offset, count, self.world.now_ms);
                    self.taken.insert(key, taken);
                }
            }
            Effect::Refused { refusal, .. } => match refusal {
                Refusal::TopicUnknown => assert!(next.is_none()),
                Refusal::PartitionUnknown => {
                    let many = next.map_or(0, |next| next.len() as u32);
                    assert!(matches!(target, Target::Partition(asked) if *asked >= many));
                }
                Refusal::SequenceTooOld => {
                    let (id, sequence) = producer.expect("one that is numbered");
                    let of = self.taken.keys().filter(|key| key.0 == id);
                    let last = of.map(|key| key.1).max().expect("it is known");
                    assert!(last - sequence >= u64::from(limits().producer_window));
                }
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    fn read(&mut self, session: u8, number: u64, topic: u8, group: Option<u8>, start: Start) {
        let session = SessionId(u128::from(session));
        let group = group.map(|group| format!("g{group}"));
        let (key, id) = ((session, number), self.names.get(&topic).copied());
        let was_there = self.readers.contains_key(&key);
        if let (false, Some(topic)) = (was_there, id) {
            // Noted first, because what is assigned is heard with the answer.
            self.joined += 1;
            self.readers.insert(
                key,
                Subscription {
                    topic,
                    group: group.clone(),
                    order: self.joined,
                    owned: BTreeSet::new(),
                    generation: 0,
                },
            );
        }
        let output = self.topic(
            session,
            TopicCommand::Subscribe(TopicSubscribe {
                subscription: number,
                topic: name(topic),
                group: group.clone(),
                start,
                partitions: Vec::new(),
                credit_records: 9,
                credit_bytes: 0,
            }),
        );
        let is_refused = output
            .effects
            .iter()
            .any(|told| matches!(told.effect, Effect::Refused { .. }));
        if is_refused && !was_there {
            self.readers.remove(&key);
        }
        if is_refused || was_there || group.is_some() {
            return;
        }
        let assigned = output.effects.iter().find_map(|told| match &told.effect {
            Effect::Topic(TopicEffect::Assigned { partitions, .. }) => Some(partitions),
            _ => None,
        });
        self.assert_begins(id.expect("it is there"), start, assigned.expect("at once"));
    }

    fn assert_begins(&self, topic: u32, start: Start, assigned: &[Assignment]) {
        let logs = &self.topics[&topic].logs;
        assert_eq!(assigned.len(), logs.len());
        for (at, log) in assigned.iter().zip(logs) {
            let next = log.records.len() as u64;
            match start {
                Start::Earliest => assert_eq!(at.offset, log.start),
                Start::Latest => assert_eq!(at.offset, next),
                Start::Offset(offset) => assert_eq!(at.offset, offset.min(next)),
                Start::Time(time_ms) => {
                    assert_eq!(at.from_ms, time_ms);
                    let before = &log.records[log.start as usize..at.offset as usize];
                    assert!(before.iter().all(|record| record.0 < time_ms));
                }
            }
        }
    }

    fn consume(&mut self, session: u8, pick: u8, partition: u32, offset: u64, commit: bool) {
        let session = SessionId(u128::from(session));
        let own: Vec<u64> = self
            .readers
            .keys()
            .filter(|key| key.0 == session)
            .map(|key| key.1)
            .collect();
        if own.is_empty() {
            return;
        }
        let subscription = own[usize::from(pick) % own.len()];
        let reader = &self.readers[&(session, subscription)];
        let topic = &self.topics[&reader.topic];
        let next = topic
            .logs
            .get(partition as usize)
            .map(|log| log.records.len() as u64);
        let (id, group) = (reader.topic, reader.group.clone());
        let before = group
            .as_ref()
            .and_then(|g| topic.groups.get(g)?.get(&partition))
            .copied();
        let output = self.topic(
            session,
            TopicCommand::Consumed {
                subscription,
                partition,
                offset,
                commit,
            },
        );
        let expected = match next {
            None => Some(Refusal::PartitionUnknown),
            // Shares that were not told yet are told first.
            Some(_)
                if !self.readers[&(session, subscription)]
                    .owned
                    .contains(&partition) =>
            {
                Some(Refusal::PartitionLost)
            }
            Some(next) if offset >= next => Some(Refusal::BadArgument),
            Some(_) if commit && group.is_none() => Some(Refusal::BadArgument),
            Some(_) => None,
        };
        let refused = output.effects.iter().find_map(|told| match &told.effect {
            Effect::Refused { refusal, .. } => Some(*refusal),
            _ => None,
        });
        assert_eq!(refused, expected);
        if let (None, true, Some(group)) = (refused, commit, group) {
            let now = self.topics[&id].groups[&group][&partition];
            match before {
                Some(before) => assert_eq!(now, before.max(offset + 1), "committed"),
                // The group began there just before.
                None => assert!(now > offset, "committed"),
            }
        }
    }

    /// From deadline to deadline: nothing happens before one.
    fn advance(&mut self, by_ms: Millis) {
        self.rest();
        let until_ms = self.world.now_ms + by_ms;
        while let Some(at_ms) = self.world.shard.next_deadline() {
            if at_ms > until_ms {
                break;
            }
            self.world.now_ms = at_ms - 1;
            let output = self.world.tick();
            let early = |event: &Event| {
                !matches!(
                    event,
                    Event::ProducersForgotten { .. }
                        | Event::Topic(TopicEvent::PublishersForgotten { .. })
                )
            };
            assert!(!output.events.iter().any(early), "before its time");
            self.hear(&output);
            self.world.now_ms = at_ms;
            self.rest();
            assert!(
                self.world
                    .shard
                    .next_deadline()
                    .is_none_or(|next_ms| next_ms > at_ms),
                "a busy loop"
            );
        }
        self.world.now_ms = until_ms;
    }

    /// After a tick: shares are even, every partition has its owner, and nothing is kept for long.
    fn rest(&mut self) {
        let output = self.world.tick();
        self.hear(&output);
        let mut groups: BTreeMap<(u32, &String), Vec<&Subscription>> = BTreeMap::new();
        for reader in self.readers.values() {
            if let Some(group) = &reader.group {
                groups
                    .entry((reader.topic, group))
                    .or_default()
                    .push(reader);
            }
        }
        for ((topic, _), mut members) in groups {
            members.sort_by_key(|member| member.order);
            let partitions = self.topics[&topic].logs.len();
            let all: BTreeSet<u32> = members.iter().flat_map(|m| m.owned.clone()).collect();
            let sum: usize = members.iter().map(|member| member.owned.len()).sum();
            assert_eq!(
                (all.len(), sum),
                (partitions, partitions),
                "each has one owner"
            );
            let shares = members.iter().map(|member| member.owned.len());
            let (least, most) = (shares.clone().min(), shares.max());
            assert!(most <= least.map(|least| least + 1));
        }
        for topic in self.topics.values() {
            for log in &topic.logs {
                let Retention { age_ms, bytes } = topic.retention;
                let Some(first) = log.records.get(log.start as usize) else {
                    continue;
                };
                let age = self.world.now_ms - first.0;
                let slack = age_ms / 32 + 2;
                assert!(
                    age_ms == 0 || topic.changed || age <= age_ms.saturating_add(slack),
                    "{age} ms old, of {age_ms}"
                );
                let last_ms = log.records.last().map_or(0, |record| record.0);
                assert!(age_ms == 0 || last_ms.saturating_add(age_ms) > self.world.now_ms);
                let kept = log.bytes - first.1;
                assert!(
                    bytes == 0
                        || topic.changed
                        || kept <= bytes.max(log.last_bytes).saturating_add(bytes / 16),
                    "{kept} bytes of {bytes}"
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(300, 5_000))]

    #[test]
    fn topics_whatever_happens(steps in vec((step(), prop::bool::weighted(0.6)), 1..60)) {
        let mut model = Model::new();
        for (step, round_ends) in &steps {
            model.step(step);
            if *round_ends {
                model.rest();
            }
        }
        model.rest();
    }
}
