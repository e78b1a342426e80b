//! Readers: processes that come, read a topic for a while, commit or not, go, and come back.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use verteilt_client::{Client, Consumer, ConsumerOptions, ErrorCode, Record, StartAt};
use verteilt_history::{Body, TopicRead, TopicRecord, TopicStart};

use crate::body;
use crate::chronicle::{group_name, partition_of, topic_name};
use crate::client::{self, Hands};
use crate::dice::Dice;
use crate::ground::EPOCH_MS;
use crate::publisher::{headers_of, key_of};
use crate::topic_plan::ReaderPlan;
use crate::world::World;

/// When nothing came for so long, what was read is committed.
const IDLE: Duration = Duration::from_millis(100);
/// Until somebody who has gone comes back, at most.
const AWAY_MS_MAX: u64 = 300;

/// A reader's process; dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Reader {
    _task: AbortOnDropHandle<()>,
}

impl Reader {
    /// `number` is its own; `wire` is the same for all that take this place.
    pub(crate) fn start(world: &World, plan: ReaderPlan, number: u32, wire: u32) -> Self {
        let world = world.clone();
        let task = tokio::spawn(async move {
            // Only a world that ends leaves a client without a connection.
            let hands = Hands::default();
            let Ok(client) = client::connect(&world, number, wire, hands).await else {
                return;
            };
            tokio::time::sleep_until(world.at(plan.from_ms)).await;
            let mut dice = Dice::of(world.plan.seed ^ 0x7265_6164, number.into());
            while stay(&world, &client, plan, &mut dice).await {
                tokio::time::sleep(Duration::from_millis(dice.below(AWAY_MS_MAX))).await;
            }
        });
        Self {
            _task: AbortOnDropHandle::new(task),
        }
    }
}

fn start_of(world: &World, plan: ReaderPlan, dice: &mut Dice) -> TopicStart {
    if plan.group.is_some() && dice.percent(80) {
        return TopicStart::Earliest;
    }
    // Where a group begins with a time is known roughly, until it commits.
    let kinds = if plan.group.is_some() { 3 } else { 4 };
    match dice.below(kinds) {
        0 => TopicStart::Earliest,
        1 => TopicStart::Latest,
        2 => TopicStart::Offset(dice.below(300)),
        _ => {
            let ago_ms = dice.below(3_000);
            TopicStart::Time((EPOCH_MS + world.elapsed_ms()).saturating_sub(ago_ms))
        }
    }
}

/// Reads for a while. False: there is nothing to come back for.
async fn stay(world: &World, client: &Client, plan: ReaderPlan, dice: &mut Dice) -> bool {
    let start = start_of(world, plan, dice);
    let options = ConsumerOptions {
        start: match start {
            TopicStart::Earliest => StartAt::Earliest,
            TopicStart::Latest => StartAt::Latest,
            TopicStart::Offset(offset) => StartAt::Offset(offset),
            TopicStart::Time(time_ms) => StartAt::Time(time_ms),
        },
        group: plan.group.map(|group| group_name(group).to_owned()),
        partitions: Vec::new(),
        credit_records: plan.credit_records,
        credit_bytes: plan.credit_bytes,
    };
    let mut seen = match Seen::subscribe(world, client, plan.topic, start, options).await {
        Ok(seen) => seen,
        Err(error) => return error.code() != Some(ErrorCode::TopicUnknown),
    };
    let leaves = Instant::now() + Duration::from_millis(1 + dice.below(2 * plan.stays_ms + 1));
    loop {
        let is_over = plan.stays_ms > 0 && Instant::now() >= leaves && !world.is_healed();
        if is_over {
            return true;
        }
        match tokio::time::timeout(IDLE, seen.read(plan.batch as usize)).await {
            Ok(true) => {}
            Ok(false) => {
                let error = seen.consumer.error();
                return error.and_then(|error| error.code()) != Some(ErrorCode::TopicUnknown);
            }
            // Nothing comes: whoever is left has time.
            Err(_) => {
                seen.commit(world, plan).await;
                continue;
            }
        }
        if dice.percent(20) {
            tokio::time::sleep(Duration::from_millis(dice.below(20))).await;
        }
        if world.is_healed() || dice.percent(plan.commits_percent) {
            seen.commit(world, plan).await;
        }
    }
}

/// A subscription whose records stand in the history.
pub(crate) struct Seen {
    world: World,
    topic: u64,
    number: u64,
    pub(crate) consumer: Consumer,
    /// Not committed yet: the last of each partition.
    uncommitted: BTreeMap<u32, Record>,
}

impl Seen {
    pub(crate) async fn subscribe(
        world: &World,
        client: &Client,
        topic: u64,
        start: TopicStart,
        options: ConsumerOptions,
    ) -> Result<Self, verteilt_client::ClientError> {
        let number = world.chronicle.reader();
        world.tell(TopicRecord::Subscribes {
            reader: number,
            topic: topic_name(topic).to_owned(),
            group: options.group.clone(),
            start,
        });
        let topics = client.topics();
        let consumer = topics.consume(topic_name(topic), options).await?;
        world.tell(TopicRecord::Subscribed { reader: number });
        Ok(Self {
            world: world.clone(),
            topic,
            number,
            consumer,
            uncommitted: BTreeMap::new(),
        })
    }

    /// Some records, as soon as there are any. False: it is over.
    ///
    /// Dropped, it has taken nothing.
    pub(crate) async fn read(&mut self, most: usize) -> bool {
        let records = self.consumer.next_batch(most).await;
        let any = !records.is_empty();
        for record in records {
            let number = body::number(&record.value);
            let torn = format!(
                "the value at {} of {} is torn",
                record.offset, record.partition
            );
            let number = number.unwrap_or_else(|| panic!("{torn}"));
            let is_key = record.key.is_empty() || record.key == key_of(number);
            assert!(is_key, "record {number} has another key");
            assert_eq!(record.headers(), headers_of(number), "record {number}");
            self.world.tell(TopicRecord::Read(TopicRead {
                reader: self.number,
                partition: partition_of(self.topic, record.partition),
                offset: record.offset,
                skipped: record.skipped,
                time_ms: record.time_ms,
                value: Body::of(&record.value),
            }));
            self.uncommitted.insert(record.partition, record);
        }
        any
    }

    /// The last of each partition that was read since the last time.
    pub(crate) fn take_last(&mut self) -> BTreeMap<u32, Record> {
        std::mem::take(&mut self.uncommitted)
    }

    async fn commit(&mut self, world: &World, plan: ReaderPlan) {
        let last = self.take_last();
        let Some(group) = plan.group else { return };
        let owned = self.consumer.partitions();
        for (number, record) in last {
            if !owned.contains(&number) {
                self.uncommitted.insert(number, record);
                continue;
            }
            let operation = world.chronicle.operation();
            world.tell(TopicRecord::Commit {
                operation,
                group: group_name(group).to_owned(),
                partition: partition_of(plan.topic, number),
                offset: record.offset,
            });
            if self.consumer.commit(&record).await.is_ok() {
                world.tell(TopicRecord::Committed { operation });
            } else {
                // Somebody else has it by now and commits for it; or it comes back.
                self.uncommitted.entry(number).or_insert(record);
            }
        }
    }
}
