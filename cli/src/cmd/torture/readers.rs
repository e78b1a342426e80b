//! Readers: alone or in a group, they come, read for a while, commit or not, and come again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use verteilt_client::{Client, ClientError, Consumer, ConsumerOptions, Record, StartAt};
use verteilt_history::{Body, TopicRead, TopicRecord, TopicStart};

use super::random::Random;
use super::topics::{Log, partition};

/// When nothing came for so long, what was read is committed.
const IDLE: Duration = Duration::from_millis(20);
/// Longest stay.
const STAY_MS_MAX: u64 = 4_000;
/// Records taken at a time.
const BATCH_MAX: usize = 500;

/// One who reads.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) log: Arc<Log>,
    pub(super) topic: String,
    pub(super) group: Option<&'static str>,
    pub(super) random: Random,
}

impl Reader {
    /// Until it is dropped, or its topic is.
    pub(super) async fn run(mut self, client: Client) {
        while self.stay(&client).await.is_ok() {}
    }

    async fn stay(&mut self, client: &Client) -> Result<(), ClientError> {
        let options = match self.group {
            Some(group) => ConsumerOptions::group(group),
            None => ConsumerOptions::from(StartAt::Earliest),
        };
        let start = TopicStart::Earliest;
        let mut seen = Seen::subscribe(&self.log, client, &self.topic, start, options).await?;
        let leaves = Instant::now() + Duration::from_millis(self.random.below(STAY_MS_MAX));
        // Alone it would begin at the beginning each time.
        let stays = self.group.is_none();
        while stays || self.log.is_calm() || Instant::now() < leaves {
            match tokio::time::timeout(IDLE, seen.read(BATCH_MAX)).await {
                Ok(true) if !self.random.percent(30) => {}
                Ok(false) => return Err(seen.consumer.error().unwrap_or(ClientError::Closed)),
                _ => seen.commit(self.group).await,
            }
        }
        Ok(())
    }
}

/// A subscription whose records stand in the history.
#[derive(Debug)]
pub(super) struct Seen {
    log: Arc<Log>,
    topic: String,
    number: u64,
    consumer: Consumer,
    /// Behind the last record of each partition.
    pub(super) next: BTreeMap<u32, u64>,
    uncommitted: BTreeMap<u32, Record>,
}

impl Seen {
    pub(super) async fn subscribe(
        log: &Arc<Log>,
        client: &Client,
        topic: &str,
        start: TopicStart,
        options: ConsumerOptions,
    ) -> Result<Self, ClientError> {
        let number = log.number();
        log.record(TopicRecord::Subscribes {
            reader: number,
            topic: topic.to_owned(),
            group: options.group.clone(),
            start,
        });
        let consumer = client.topics().consume(topic, options).await?;
        log.record(TopicRecord::Subscribed { reader: number });
        Ok(Self {
            log: Arc::clone(log),
            topic: topic.to_owned(),
            number,
            consumer,
            next: BTreeMap::new(),
            uncommitted: BTreeMap::new(),
        })
    }

    /// Some records, as soon as there are any. False: it is over.
    ///
    /// Dropped, it has taken nothing.
    pub(super) async fn read(&mut self, most: usize) -> bool {
        let records = self.consumer.next_batch(most).await;
        let any = !records.is_empty();
        for record in records {
            self.log.record(TopicRecord::Read(TopicRead {
                reader: self.number,
                partition: partition(&self.topic, record.partition),
                offset: record.offset,
                skipped: record.skipped,
                time_ms: record.time_ms,
                value: Body::of(&record.value),
            }));
            self.next.insert(record.partition, record.offset + 1);
            self.uncommitted.insert(record.partition, record);
        }
        any
    }

    async fn commit(&mut self, group: Option<&str>) {
        let Some(group) = group else { return };
        let owned = self.consumer.partitions();
        for number in owned {
            let Some(record) = self.uncommitted.remove(&number) else {
                continue;
            };
            let operation = self.log.number();
            self.log.record(TopicRecord::Commit {
                operation,
                group: group.to_owned(),
                partition: partition(&self.topic, number),
                offset: record.offset,
            });
            if self.consumer.commit(&record).await.is_ok() {
                self.log.record(TopicRecord::Committed { operation });
            } else {
                // Somebody else has it by now and commits for it; or it comes back.
                self.uncommitted.entry(number).or_insert(record);
            }
        }
    }
}
