//! Topics in a run: making them, changing them, and the end of those who use them.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use verteilt_client::{
    Client, ConsumerOptions, ErrorCode, Retention, StartAt, TopicOptions, TopicStats,
};
use verteilt_history::{Event, TopicRecord, TopicStart};

use crate::chronicle::{partition_of, topic_name};
use crate::client::{self, Hands};
use crate::network::Break;
use crate::publisher;
use crate::reader::{Reader, Seen};
use crate::topic_plan::Keeps;
use crate::world::World;

/// Readers that take the place of others have numbers from here.
const LATER_READERS: u32 = 2_000;
/// Between two looks at how far readers are.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// Everybody who has to do with topics.
pub(crate) struct TopicStage {
    world: World,
    admin: Client,
    readers: Vec<(Reader, u32)>,
    later: u32,
    deleted: Vec<u64>,
}

fn retention(keeps: Keeps) -> Retention {
    Retention {
        age: (keeps.age_ms > 0).then(|| Duration::from_millis(keeps.age_ms)),
        bytes: (keeps.bytes > 0).then_some(keeps.bytes),
    }
}

fn tell_keeps(world: &World, topic: u64, keeps: Keeps) {
    world.tell(TopicRecord::Keeps {
        topic: topic_name(topic).to_owned(),
        age_ms: keeps.age_ms,
        bytes: keeps.bytes,
    });
}

impl TopicStage {
    /// Makes the topics, then the readers.
    pub(crate) async fn set(world: &World, admin: &Client) -> Self {
        let setting = &world.plan.setting.topics;
        for (number, topic) in (0..).zip(&setting.topics) {
            tell_keeps(world, number, topic.keeps);
            let options = TopicOptions {
                partitions: topic.partitions,
                retention: retention(topic.keeps),
            };
            let made = admin.topics().create(topic_name(number), options).await;
            made.expect("a topic can be made");
        }
        let first = world.plan.setting.first_publisher() + setting.publishers;
        let readers = setting.readers.iter().zip(first..);
        Self {
            world: world.clone(),
            admin: admin.clone(),
            readers: readers
                .map(|(plan, wire)| (Reader::start(world, *plan, wire, wire), wire))
                .collect(),
            later: LATER_READERS,
            deleted: Vec::new(),
        }
    }

    pub(crate) fn publishers(&self) -> Vec<AbortOnDropHandle<()>> {
        let first = self.world.plan.setting.first_publisher();
        let all = 0..self.world.plan.setting.topics.publishers;
        all.map(|number| {
            let world = self.world.clone();
            let publishes = world.plan.publishes.iter();
            let own = publishes.filter(|publish| publish.publisher == number);
            let own = own.cloned().collect();
            AbortOnDropHandle::new(tokio::spawn(async move {
                let (number, hands) = (first + number, Hands::default());
                // Only a world that ends leaves a client without a connection.
                if let Ok(client) = client::connect(&world, number, number, hands).await {
                    publisher::run(world, client, number, own).await;
                }
            }))
        })
        .collect()
    }

    /// What its process had sent still arrives.
    pub(crate) fn replace_reader(&mut self, reader: u32) {
        let plan = self.world.plan.setting.topics.readers[reader as usize];
        let first = self.world.plan.setting.first_publisher();
        let wire = first + self.world.plan.setting.topics.publishers + reader;
        let how = Break::ClientFirst { lag_ms: 20 };
        self.world.network.break_links(wire, how);
        self.later += 1;
        let next = Reader::start(&self.world, plan, self.later, wire);
        let (old, number) =
            std::mem::replace(&mut self.readers[reader as usize], (next, self.later));
        drop(old);
        self.world.record(Event::Disconnected { client: number });
    }

    pub(crate) fn keep(&self, topic: u64, keeps: Keeps) {
        let (world, admin) = (self.world.clone(), self.admin.clone());
        tokio::spawn(async move {
            tell_keeps(&world, topic, keeps);
            let name = topic_name(topic);
            let changed = admin.topics().set_retention(name, retention(keeps)).await;
            let gone = changed.as_ref().err().and_then(|error| error.code());
            let is_fine = changed.is_ok() || gone == Some(ErrorCode::TopicUnknown);
            assert!(is_fine, "retention cannot be changed: {changed:?}");
        });
    }

    pub(crate) fn delete(&mut self, topic: u64) {
        self.deleted.push(topic);
        let (world, admin) = (self.world.clone(), self.admin.clone());
        tokio::spawn(async move {
            let topic = topic_name(topic);
            let deleted = admin.topics().delete(topic).await;
            let gone = deleted.as_ref().err().and_then(|error| error.code());
            // The answer of the first try may have been lost.
            let is_gone = deleted.is_ok() || gone == Some(ErrorCode::TopicUnknown);
            assert!(is_gone, "a topic cannot be deleted: {deleted:?}");
            let topic = topic.to_owned();
            world.tell(TopicRecord::Deleted { topic });
        });
    }

    /// What partitions hold at this moment.
    pub(crate) fn look(&self) {
        for topic in self.left() {
            let (world, admin) = (self.world.clone(), self.admin.clone());
            tokio::spawn(async move {
                let Ok(stats) = admin.topics().stats(topic_name(topic)).await else {
                    return;
                };
                for (number, offsets) in (0..).zip(&stats.offsets) {
                    world.tell(TopicRecord::Holds {
                        partition: partition_of(topic, number),
                        first_offset: offsets.first,
                    });
                }
            });
        }
    }

    fn left(&self) -> Vec<u64> {
        let all = 0..self.world.plan.setting.topics.topics.len() as u64;
        all.filter(|topic| !self.deleted.contains(topic)).collect()
    }

    /// Somebody reads everything, and the groups come to their ends; the history says what is there.
    pub(crate) async fn drain(&self, end: Instant) {
        let topics = self.left();
        self.world.chronicle.forget_audits();
        let audits: Vec<_> = topics.iter().map(|topic| self.audit(*topic)).collect();
        for topic in topics {
            loop {
                let stats = self.admin.topics().stats(topic_name(topic)).await;
                let stats = stats.expect("the broker serves");
                if self.is_read(topic, &stats) && self.is_committed(topic).await {
                    self.ends(topic, &stats).await;
                    break;
                }
                if Instant::now() >= end {
                    let groups = self.admin.topics().groups(topic_name(topic)).await;
                    panic!(
                        "{} is not read to its end: {stats:?} {groups:?}",
                        topic_name(topic)
                    );
                }
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
        }
        drop(audits);
    }

    fn audit(&self, topic: u64) -> AbortOnDropHandle<()> {
        let (world, admin) = (self.world.clone(), self.admin.clone());
        AbortOnDropHandle::new(tokio::spawn(async move {
            let options = ConsumerOptions::from(StartAt::Earliest);
            let start = TopicStart::Earliest;
            let seen = Seen::subscribe(&world, &admin, topic, start, options).await;
            let mut seen = seen.expect("the topic is there");
            while seen.read(100).await {
                for (number, record) in seen.take_last() {
                    world.chronicle.audited(topic, number, record.offset + 1);
                }
            }
        }))
    }

    fn is_read(&self, topic: u64, stats: &TopicStats) -> bool {
        let mut all = (0..).zip(&stats.offsets);
        all.all(|(number, offsets)| {
            let is_empty = offsets.first == offsets.next;
            is_empty || self.world.chronicle.audited_upto(topic, number) >= offsets.next
        })
    }

    async fn is_committed(&self, topic: u64) -> bool {
        let groups = self.admin.topics().groups(topic_name(topic)).await;
        let groups = groups.expect("the broker serves");
        groups.iter().all(|group| group.lag == 0)
    }

    async fn ends(&self, topic: u64, stats: &TopicStats) {
        // The last commits are done; their answers are on the way.
        tokio::time::sleep(LOOK_INTERVAL).await;
        // Nothing may happen between the question and its answer.
        let groups = loop {
            let before = self.world.chronicle.len();
            let groups = self.admin.topics().groups(topic_name(topic)).await;
            if self.world.chronicle.len() == before {
                break groups;
            }
        };
        for group in groups.expect("the broker serves") {
            for position in group.positions {
                self.world.tell(TopicRecord::GroupEnds {
                    group: group.group.clone(),
                    partition: partition_of(topic, position.partition),
                    offset: position.offset,
                });
            }
        }
        for (number, offsets) in (0..).zip(&stats.offsets) {
            self.world.tell(TopicRecord::Ends {
                partition: partition_of(topic, number),
                first_offset: offsets.first,
                next_offset: offsets.next,
                read: true,
            });
        }
    }
}
