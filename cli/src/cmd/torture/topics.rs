//! Topics beside the jobs: publishers and readers whose history is held against the promises, too.
//! Each section has topics of its own, which are deleted with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;
use verteilt_client::{Client, ClientError, ConsumerOptions, Retention, StartAt, TopicOptions};
use verteilt_history::{TopicPartition, TopicRecord, TopicStart};

use super::load::DRAIN_MAX;
use super::random::Random;
use super::readers::{self, Reader};
use super::witness::Witness;
use super::{publish, session};
use crate::failure::Failure;

/// Those who publish.
const PUBLISHERS: u32 = 2;
/// Those who read: the topic of each, and its group.
const READERS: [(usize, Option<&str>); 5] = [
    (0, Some("crew")),
    (0, Some("crew")),
    (0, None),
    (1, Some("watch")),
    (1, None),
];
/// Their clients have numbers from here.
const FIRST_CLIENT: u32 = 100;
/// Partitions of the topics, and what each keeps; 0: everything.
const SHAPES: [(u32, u64); 2] = [(3, 0), (2, 512 * 1024)];
/// Between two looks at how far readers are.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// What publishers and readers of a section share.
#[derive(Debug, Default)]
pub(super) struct Log {
    records: Mutex<Vec<TopicRecord>>,
    numbers: AtomicU64,
    calm: AtomicBool,
}

impl Log {
    pub(super) fn record(&self, record: TopicRecord) {
        self.records.lock().push(record);
    }

    /// For a publish, a commit, a reader or a value: never the same again in this history.
    pub(super) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Nothing more is published, everything is committed.
    pub(super) fn is_calm(&self) -> bool {
        self.calm.load(Ordering::SeqCst)
    }
}

/// The topics of a section and who uses them.
#[derive(Debug)]
pub(super) struct Topics {
    log: Arc<Log>,
    admin: Client,
    publishers: Vec<Client>,
    readers: Vec<Client>,
    sections: u32,
    publishing: JoinSet<()>,
    reading: JoinSet<()>,
}

impl Topics {
    /// Connects everybody and begins.
    pub(super) async fn start(
        url: &str,
        admin: &Client,
        witness: &Arc<Witness>,
        random: &mut Random,
    ) -> Result<Self, Failure> {
        let mut clients = Vec::new();
        for number in 0..PUBLISHERS + READERS.len() as u32 {
            let number = FIRST_CLIENT + number;
            clients.push(session::connect(url, number, witness, Arc::default()).await?);
        }
        let readers = clients.split_off(PUBLISHERS as usize);
        let mut topics = Self {
            log: Arc::default(),
            admin: admin.clone(),
            publishers: clients,
            readers,
            sections: 0,
            publishing: JoinSet::new(),
            reading: JoinSet::new(),
        };
        topics.resume(random).await?;
        Ok(topics)
    }

    fn names(&self) -> [String; 2] {
        ["all", "short"].map(|kind| format!("torture.{kind}.{}", self.sections))
    }

    /// Makes the topics of the next section, and begins with them.
    pub(super) async fn resume(&mut self, random: &mut Random) -> Result<(), Failure> {
        self.sections += 1;
        self.log = Arc::default();
        let names = self.names();
        for (name, (partitions, bytes)) in names.iter().zip(SHAPES) {
            self.log.record(TopicRecord::Keeps {
                topic: name.clone(),
                age_ms: 0,
                bytes,
            });
            let options = TopicOptions {
                partitions,
                retention: Retention {
                    age: None,
                    bytes: (bytes > 0).then_some(bytes),
                },
            };
            answer(self.admin.topics().create(name, options).await)?;
        }
        for (number, client) in (FIRST_CLIENT..).zip(&self.publishers) {
            let (log, client, random) = (Arc::clone(&self.log), client.clone(), random.fork());
            let publishing = publish::run(log, client, number, names.clone(), random);
            self.publishing.spawn(publishing);
        }
        for ((topic, group), client) in READERS.into_iter().zip(&self.readers) {
            let reader = Reader {
                log: Arc::clone(&self.log),
                topic: names[topic].clone(),
                group,
                random: random.fork(),
            };
            self.reading.spawn(reader.run(client.clone()));
        }
        Ok(())
    }

    /// Publishes nothing more and waits until everything is read and committed, or the time is up.
    /// The topics are deleted; their history is returned.
    pub(super) async fn drain(&mut self) -> Result<Vec<TopicRecord>, Failure> {
        let end = Instant::now() + DRAIN_MAX;
        self.log.calm.store(true, Ordering::SeqCst);
        let publishing = &mut self.publishing;
        let joined = async { while publishing.join_next().await.is_some() {} };
        let _open = tokio::time::timeout_at(end, joined).await;
        for name in self.names() {
            self.read_all(&name, end).await?;
        }
        self.reading.shutdown().await;
        for name in self.names() {
            answer(self.admin.topics().delete(&name).await)?;
        }
        Ok(std::mem::take(&mut *self.log.records.lock()))
    }

    async fn read_all(&self, topic: &str, end: Instant) -> Result<(), Failure> {
        let options = ConsumerOptions::from(StartAt::Earliest);
        let (log, start) = (&self.log, TopicStart::Earliest);
        let seen = readers::Seen::subscribe(log, &self.admin, topic, start, options).await;
        let mut seen = answer(seen)?;
        loop {
            let stats = answer(self.admin.topics().stats(topic).await)?;
            let groups = answer(self.admin.topics().groups(topic).await)?;
            let ends = (0..).zip(&stats.offsets);
            let is_read = ends.clone().all(|(number, at)| {
                at.first == at.next || seen.next.get(&number).is_some_and(|next| *next >= at.next)
            });
            let is_over = Instant::now() >= end;
            if is_over || is_read && groups.iter().all(|group| group.lag == 0) {
                for (number, at) in ends {
                    log.record(TopicRecord::Ends {
                        partition: partition(topic, number),
                        first_offset: at.first,
                        next_offset: at.next,
                        read: true,
                    });
                }
                let lag: u64 = groups.iter().map(|group| group.lag).sum();
                if lag > 0 {
                    let text = format!("the groups of {topic} never come to its end: {groups:?}");
                    return Err(Failure::work(text));
                }
                return Ok(());
            }
            let some = seen.read(10_000);
            let _none = tokio::time::timeout(LOOK_INTERVAL, some).await;
        }
    }
}

pub(super) fn partition(topic: &str, number: u32) -> TopicPartition {
    TopicPartition {
        topic: topic.to_owned(),
        number,
    }
}

/// Without it there is no going on.
fn answer<T>(answer: Result<T, ClientError>) -> Result<T, Failure> {
    answer.map_err(|error| Failure::work(error.to_string()))
}
