//! Topics: making them, publishing, looking at them.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{poll_fn, try_join, try_join_all};
use verteilt_protocol::{ErrorCode, partition_of, wire};

use crate::batch::{Ticket, check_name};
use crate::call::Request;
use crate::client::Client;
use crate::consumer::{Consumer, ConsumerOptions};
use crate::error::ClientError;
use crate::options::{BatchKey, Header, Target, milliseconds};
use crate::push::RecordToPublish;

/// What a topic is made of, and what it keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicOptions {
    /// 1 to 1,024; stays as it is.
    pub partitions: u32,
    /// What is kept.
    pub retention: Retention,
}

impl TopicOptions {
    /// So many partitions, from which nothing ever goes.
    #[must_use]
    pub const fn partitions(partitions: u32) -> Self {
        Self {
            partitions,
            retention: Retention::FOREVER,
        }
    }
}

/// What each partition of a topic keeps. Whatever comes first counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Records go when they are older. `None`: never for that.
    pub age: Option<Duration>,
    /// The oldest records go when their partition holds more bytes. `None`: never for that.
    pub bytes: Option<u64>,
}

impl Retention {
    /// Everything.
    pub const FOREVER: Self = Self {
        age: None,
        bytes: None,
    };

    fn to_wire(self) -> (u64, u64) {
        let age_ms = self.age.map_or(0, |age| milliseconds(age).max(1));
        (age_ms, self.bytes.map_or(0, |bytes| bytes.max(1)))
    }

    fn from_wire(age_ms: u64, bytes: u64) -> Self {
        Self {
            age: (age_ms > 0).then(|| Duration::from_millis(age_ms)),
            bytes: (bytes > 0).then_some(bytes),
        }
    }
}

/// Options of a publish. `PublishOptions::default()` is what [`Topics::publish`] uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishOptions {
    /// Records of one key go to one partition and keep their order. Travels with the record.
    pub key: Option<Bytes>,
    /// To this partition, whatever the key.
    pub partition: Option<u32>,
    /// At most 64 KiB, encoded.
    pub headers: Vec<Header>,
    /// As [`crate::PushOptions::deadline`].
    pub deadline: Option<Duration>,
}

/// Where a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// The partition.
    pub partition: u32,
    /// Its offset there.
    pub offset: u64,
    /// The broker had taken this publish before (it was repeated after a lost connection) and did
    /// not take it again; the place is that of then.
    pub duplicate: bool,
}

/// The numbers of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicStats {
    /// Its name.
    pub topic: String,
    /// How many partitions it has.
    pub partitions: u32,
    /// What it keeps.
    pub retention: Retention,
    /// Records that it holds.
    pub records: u64,
    /// Bytes that it holds, with what stands around the records.
    pub bytes: u64,
    /// Records since it came into being.
    pub published: u64,
    /// Those who read it now.
    pub subscriptions: u64,
    /// Consumer groups.
    pub groups: u64,
    /// Each partition; only if this topic was asked for.
    pub offsets: Vec<PartitionOffsets>,
}

/// The offsets of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionOffsets {
    /// The oldest record that it holds.
    pub first: u64,
    /// The offset that the next record gets.
    pub next: u64,
    /// Bytes that it holds.
    pub bytes: u64,
}

/// The numbers of a consumer group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupStats {
    /// Its name.
    pub group: String,
    /// Members that are there.
    pub members: u32,
    /// Records that the group has not committed yet.
    pub lag: u64,
    /// Its place in each partition that it has begun.
    pub positions: Vec<GroupPosition>,
}

/// Where a group is in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupPosition {
    /// The partition.
    pub partition: u32,
    /// The next record.
    pub offset: u64,
    /// Records that are left.
    pub lag: u64,
}

/// The topics of the namespace. Made by [`Client::topics`]; costs nothing.
#[derive(Clone, Copy)]
pub struct Topics<'a> {
    client: &'a Client,
}

impl Client {
    /// Topics: logs in partitions, read by any number of readers.
    #[must_use]
    pub fn topics(&self) -> Topics<'_> {
        Topics { client: self }
    }
}

impl<'a> Topics<'a> {
    /// Makes a topic. That it is there already with the same options is fine.
    ///
    /// # Errors
    /// [`ClientError::BadName`]; what the broker answers ([`ErrorCode::TopicExists`] with other
    /// options, [`ErrorCode::TopicLimit`]); [`ClientError::Deadline`] after the request timeout.
    ///
    /// # Cancel safety
    /// Dropped, the topic may or may not have been made.
    pub async fn create(&self, topic: &str, options: TopicOptions) -> Result<(), ClientError> {
        check_name(topic)?;
        let (retention_ms, retention_bytes) = options.retention.to_wire();
        let request = Request::TopicCreate(wire::TopicCreate {
            topic: topic.to_owned(),
            partitions: options.partitions,
            retention_ms,
            retention_bytes,
            durability: 0,
        });
        self.tell("the topic", request).await
    }

    /// Keeps more or less from now on.
    ///
    /// # Errors
    /// As [`Topics::stats`].
    ///
    /// # Cancel safety
    /// Dropped, it may or may not have taken effect.
    pub async fn set_retention(
        &self,
        topic: &str,
        retention: Retention,
    ) -> Result<(), ClientError> {
        check_name(topic)?;
        let (retention_ms, retention_bytes) = retention.to_wire();
        let request = Request::TopicChange(wire::TopicChange {
            topic: topic.to_owned(),
            retention_ms,
            retention_bytes,
        });
        self.tell("the change of a topic", request).await
    }

    /// Deletes a topic with its records and groups; consumers of it end.
    ///
    /// # Errors
    /// As [`Topics::stats`]; after a lost connection also [`ErrorCode::TopicUnknown`], because the
    /// first try had been done.
    ///
    /// # Cancel safety
    /// Dropped, it may or may not have taken effect.
    pub async fn delete(&self, topic: &str) -> Result<(), ClientError> {
        check_name(topic)?;
        let topic = topic.to_owned();
        let request = Request::TopicDelete(wire::TopicDelete { topic });
        self.tell("the end of a topic", request).await
    }

    /// The numbers of all topics, in the order of their names.
    ///
    /// # Errors
    /// [`ClientError::Deadline`] after the request timeout.
    ///
    /// # Cancel safety
    /// Safe: it only asks.
    pub async fn list(&self) -> Result<Vec<TopicStats>, ClientError> {
        let mut all: Vec<TopicStats> = Vec::new();
        loop {
            let after = all
                .last()
                .map_or_else(String::new, |last| last.topic.clone());
            let reply = self.ask_stats(String::new(), after).await?;
            let more = reply.more && !reply.topics.is_empty();
            all.extend(reply.topics.into_iter().map(stats_from_wire));
            if !more {
                return Ok(all);
            }
        }
    }

    /// The numbers of one topic and of its partitions.
    ///
    /// # Errors
    /// [`ClientError::BadName`]; what the broker answers ([`ErrorCode::TopicUnknown`]);
    /// [`ClientError::Deadline`] after the request timeout.
    ///
    /// # Cancel safety
    /// Safe: it only asks.
    pub async fn stats(&self, topic: &str) -> Result<TopicStats, ClientError> {
        check_name(topic)?;
        let reply = self.ask_stats(topic.to_owned(), String::new()).await?;
        let stats = reply.topics.into_iter().next();
        stats
            .map(stats_from_wire)
            .ok_or_else(|| ClientError::protocol("no numbers came"))
    }

    /// The numbers of the topic's consumer groups, in the order of their names.
    ///
    /// # Errors
    /// As [`Topics::stats`].
    ///
    /// # Cancel safety
    /// Safe: it only asks.
    pub async fn groups(&self, topic: &str) -> Result<Vec<GroupStats>, ClientError> {
        check_name(topic)?;
        let mut all: Vec<GroupStats> = Vec::new();
        loop {
            let request = wire::GroupStatsRequest {
                topic: topic.to_owned(),
                after: all
                    .last()
                    .map_or_else(String::new, |last| last.group.clone()),
            };
            let request = Request::GroupStats(request);
            let shared = self.client.shared();
            let (reply, _) = shared
                .ask::<wire::GroupStatsReply>("the groups' numbers", request)
                .await?;
            let more = reply.more && !reply.groups.is_empty();
            all.extend(reply.groups.into_iter().map(group_from_wire));
            if !more {
                return Ok(all);
            }
        }
    }

    /// Publishes a record and waits until it is on the broker's disk. Publishes that run at the same
    /// time share frames, each of which goes to the next partition in turn; so many at once are
    /// fast.
    ///
    /// Waits through lost connections and repeats what was unanswered without making doubles, as
    /// [`Client::push`] does.
    ///
    /// # Errors
    /// [`ClientError::BodyTooLarge`] (960 KiB), [`ClientError::BadName`], [`ClientError::Deadline`]
    /// if a deadline is set, what the broker refused for good ([`ErrorCode::TopicUnknown`]),
    /// [`ClientError::Closed`].
    ///
    /// # Cancel safety
    /// Dropped after the first poll, the record is published all the same.
    pub fn publish(&self, topic: &'a str, value: impl Into<Bytes>) -> Publishing<'a> {
        self.publish_with(topic, value, PublishOptions::default())
    }

    /// As [`Topics::publish`], with a key, headers or a partition. Records of one key keep the order in
    /// which their publishes were polled first. But the first keyed publish to a topic asks the broker
    /// how many partitions it has: those that begin before the first of them is answered may overtake
    /// one another.
    ///
    /// # Errors
    /// As [`Topics::publish`]; [`ErrorCode::PartitionUnknown`]; [`ClientError::HeadersTooLarge`].
    ///
    /// # Cancel safety
    /// As [`Topics::publish`].
    pub fn publish_with(
        &self,
        topic: &'a str,
        value: impl Into<Bytes>,
        options: PublishOptions,
    ) -> Publishing<'a> {
        let client = self.client;
        let value = value.into();
        Publishing {
            state: State::Start(Box::new(Start {
                client,
                topic,
                value,
                options,
            })),
        }
    }

    /// Publishes many records; their places come back in order. Those of one partition keep their
    /// order. Each frame is taken as a whole or not at all; an error does not say that nothing was
    /// taken.
    ///
    /// # Errors
    /// As [`Topics::publish_with`].
    ///
    /// # Cancel safety
    /// Dropped, what was handed over so far is published all the same.
    pub async fn publish_batch(
        &self,
        topic: &'a str,
        records: impl IntoIterator<Item = (Option<Bytes>, Bytes)>,
    ) -> Result<Vec<Published>, ClientError> {
        let records: Vec<_> = records.into_iter().collect();
        if records.iter().any(|(key, _)| key.is_some()) {
            // Records that ask for it one by one would overtake one another.
            self.partitions(topic).await?;
        }
        let publishing = records.into_iter().map(|(key, value)| {
            let options = PublishOptions {
                key,
                ..PublishOptions::default()
            };
            self.publish_with(topic, value, options)
        });
        let (mut begun, mut slow) = (Vec::new(), Vec::new());
        for mut publish in publishing {
            if slow.is_empty() {
                publish.begin()?;
            }
            // Behind one that waits for room all others wait, too, and keep their order.
            if matches!(publish.state, State::Waiting(_)) {
                begun.push(publish);
            } else {
                slow.push(publish);
            }
        }
        // All of them are on their way, so they may be waited for in turn.
        let in_turn = async {
            let mut published = Vec::with_capacity(begun.len());
            for publish in begun {
                published.push(publish.await?);
            }
            Ok(published)
        };
        let (mut published, late) = try_join(in_turn, try_join_all(slow)).await?;
        published.extend(late);
        Ok(published)
    }

    /// Reads a topic: the records of all partitions, or of those that its group gives it.
    ///
    /// # Errors
    /// [`ClientError::BadName`]; what the broker answers; [`ClientError::Deadline`] after the
    /// request timeout.
    ///
    /// # Cancel safety
    /// Dropped, there is no subscription.
    pub async fn consume(
        &self,
        topic: &str,
        options: ConsumerOptions,
    ) -> Result<Consumer, ClientError> {
        Consumer::begin(self.client, topic, options).await
    }

    async fn tell(&self, what: &'static str, request: Request) -> Result<(), ClientError> {
        let shared = self.client.shared();
        let limit = shared.config.request_timeout;
        shared.call(what, request, limit).await.map(|_| ())
    }

    async fn ask_stats(
        &self,
        topic: String,
        after: String,
    ) -> Result<wire::TopicStatsReply, ClientError> {
        let request = Request::TopicStats(wire::TopicStatsRequest { topic, after });
        let shared = self.client.shared();
        let (reply, _) = shared.ask("the topic's numbers", request).await?;
        Ok(reply)
    }

    /// How many partitions a topic has, as it was told last.
    async fn partitions(&self, topic: &str) -> Result<u32, ClientError> {
        let known = &self.client.shared().partitions;
        let count = known.lock().get(topic).copied();
        if let Some(count) = count {
            return Ok(count);
        }
        let count = self.stats(topic).await?.partitions.max(1);
        known.lock().insert(topic.to_owned(), count);
        Ok(count)
    }
}

impl fmt::Debug for Topics<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topics").finish_non_exhaustive()
    }
}

/// A publish, as a future. Made by [`Topics::publish`] and [`Topics::publish_with`].
///
/// Nothing is sent before the first poll. Dropped after it, the record is published all the same
/// and nobody hears its offset.
#[must_use = "a publish does nothing unless it is awaited"]
pub struct Publishing<'a> {
    state: State<'a>,
}

enum State<'a> {
    Start(Box<Start<'a>>),
    /// The budget is used up, or the number of partitions is not known.
    Slow(Pin<Box<dyn Future<Output = Result<Published, ClientError>> + Send + 'a>>),
    Waiting(Ticket),
    Done,
}

struct Start<'a> {
    client: &'a Client,
    topic: &'a str,
    value: Bytes,
    options: PublishOptions,
}

impl fmt::Debug for Publishing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Start(_) => "not begun",
            State::Slow(_) | State::Waiting(_) => "waiting",
            State::Done => "done",
        };
        f.debug_tuple("Publishing").field(&state).finish()
    }
}

impl Future for Publishing<'_> {
    type Output = Result<Published, ClientError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            let result = match &mut this.state {
                State::Waiting(ticket) => std::task::ready!(ticket.poll_published(context)),
                State::Slow(slow) => std::task::ready!(slow.as_mut().poll(context)),
                State::Start(_) => {
                    this.begin()?;
                    continue;
                }
                State::Done => return Poll::Pending,
            };
            this.state = State::Done;
            return Poll::Ready(result);
        }
    }
}

impl Publishing<'_> {
    fn begin(&mut self) -> Result<(), ClientError> {
        let State::Start(start) = std::mem::replace(&mut self.state, State::Done) else {
            return Ok(());
        };
        let Some(target) = start.target_known() else {
            self.state = State::Slow(Box::pin(start.publish_slowly()));
            return Ok(());
        };
        let record = start.record(target)?;
        let shared = start.client.shared();
        let Ok(permit) = shared.budget.try_acquire_many(record.cost_bytes() as u32) else {
            self.state = State::Slow(Box::pin(start.publish_slowly()));
            return Ok(());
        };
        let ticket = record.append(shared)?;
        // Given back by the driver with the answer.
        permit.forget();
        self.state = State::Waiting(ticket);
        Ok(())
    }
}

impl Start<'_> {
    /// Which frame the record goes into; `None` as long as the number of partitions is not known.
    fn target_known(&self) -> Option<Target> {
        match (&self.options.key, self.options.partition) {
            (_, Some(partition)) => Some(Target::Partition(partition)),
            (None, None) => Some(Target::Turn),
            (Some(key), None) => {
                let known = self.client.shared().partitions.lock();
                let count = known.get(self.topic).copied()?;
                Some(Target::Key(partition_of(key, count)))
            }
        }
    }

    fn record(&self, target: Target) -> Result<RecordToPublish<'_>, ClientError> {
        let shared = self.client.shared();
        let deadline = self.options.deadline.or(shared.config.push_deadline);
        let batch = BatchKey {
            target,
            deadline,
            ..BatchKey::default()
        };
        let headers = &self.options.headers;
        let key = self.options.key.as_deref();
        RecordToPublish::new(self.topic, batch, key, headers, &self.value)
    }

    async fn publish_slowly(self: Box<Self>) -> Result<Published, ClientError> {
        let topics = self.client.topics();
        loop {
            if self.options.key.is_some() && self.options.partition.is_none() {
                topics.partitions(self.topic).await?;
            }
            let Some(target) = self.target_known() else {
                continue;
            };
            let shared = Arc::clone(self.client.shared());
            let record = self.record(target)?;
            let permit = shared
                .take_budget(record.cost_bytes(), record.deadline())
                .await?;
            let ticket = record.append(&shared)?;
            permit.forget();
            return poll_fn(|context| ticket.poll_published(context)).await;
        }
    }
}

/// Whether the refusal may mean that a topic was made anew with another number of partitions.
pub(crate) fn forgets_partitions(error: &ClientError) -> bool {
    matches!(
        error.code(),
        Some(ErrorCode::TopicUnknown | ErrorCode::PartitionUnknown | ErrorCode::BadArgument)
    )
}

fn stats_from_wire(stats: wire::TopicStats) -> TopicStats {
    let pairs = stats.first_offsets.iter().zip(&stats.next_offsets);
    let offsets = pairs.zip(&stats.partition_bytes);
    let offsets = offsets.map(|((first, next), bytes)| PartitionOffsets {
        first: *first,
        next: *next,
        bytes: *bytes,
    });
    TopicStats {
        partitions: stats.partitions,
        retention: Retention::from_wire(stats.retention_ms, stats.retention_bytes),
        records: stats.records,
        bytes: stats.bytes,
        published: stats.published,
        subscriptions: stats.subscriptions,
        groups: stats.groups,
        offsets: offsets.collect(),
        topic: stats.topic,
    }
}

fn group_from_wire(stats: wire::GroupStats) -> GroupStats {
    let pairs = stats.partitions.iter().zip(&stats.offsets);
    let positions = pairs.zip(&stats.lags);
    let positions = positions.map(|((partition, offset), lag)| GroupPosition {
        partition: *partition,
        offset: *offset,
        lag: *lag,
    });
    GroupStats {
        members: stats.members,
        lag: stats.lag,
        positions: positions.collect(),
        group: stats.group,
    }
}
