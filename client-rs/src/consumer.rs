//! Records of a topic as they come, bounded by credit.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_util::Stream;
use futures_util::future::poll_fn;
use parking_lot::Mutex;
use verteilt_protocol::wire::topic_subscribe::Start as WireStart;
use verteilt_protocol::{RecordLists, RecordSlices, limits, split_records, wire};

use crate::batch::check_name;
use crate::call::{Call, Command, Request};
use crate::client::Client;
use crate::error::ClientError;
use crate::job::decode_headers;
use crate::options::Header;

/// Records on their way to a consumer that names no credit.
const CREDIT_RECORDS: u32 = 4_096;
/// What was handed out is told to the broker at the latest after this part of the credit.
const TOLD_AFTER: u64 = 4;

/// Where a consumer begins. A group begins at its own position where it has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartAt {
    /// With the oldest record that is kept.
    Earliest,
    /// With the next record.
    #[default]
    Latest,
    /// At this offset of every partition.
    Offset(u64),
    /// With the first record of this time or later, in milliseconds since 1970 on the broker's
    /// clock.
    Time(u64),
}

/// How a topic is read. `ConsumerOptions::default()` reads everything from now on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsumerOptions {
    /// Where to begin.
    pub start: StartAt,
    /// A consumer group: its members share the partitions, and it remembers how far it is. `None`:
    /// all partitions, and nothing is remembered.
    pub group: Option<String>,
    /// Only these partitions; empty: all. Not with a group.
    pub partitions: Vec<u32>,
    /// Records on their way and not handed out yet, at most 65,536; 0: 4,096.
    pub credit_records: u32,
    /// Bytes likewise; 0: the broker's default of 8 MiB.
    pub credit_bytes: u64,
}

impl ConsumerOptions {
    /// A member of this group; where the group has no position yet it begins with the oldest record.
    pub fn group(group: impl Into<String>) -> Self {
        Self {
            start: StartAt::Earliest,
            group: Some(group.into()),
            ..Self::default()
        }
    }

    /// Without a group, from here on.
    #[must_use]
    pub fn from(start: StartAt) -> Self {
        Self {
            start,
            ..Self::default()
        }
    }
}

/// A record of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// Its partition.
    pub partition: u32,
    /// Its place there.
    pub offset: u64,
    /// When the broker took it, in milliseconds since 1970.
    pub time_ms: u64,
    /// Its key; empty if it has none.
    pub key: Bytes,
    /// Its value. Shares the memory of the frame it came in.
    pub value: Bytes,
    /// So many records right before this one were dropped by retention before they could be read.
    pub skipped: u64,
    headers: Bytes,
}

impl Record {
    /// Its headers.
    #[must_use]
    pub fn headers(&self) -> Vec<Header> {
        decode_headers(&self.headers)
    }
}

/// Where the driver puts the records of a consumer. Bounded by the credit.
pub(crate) struct RecordInbox {
    pub(crate) subscription: u64,
    pub(crate) topic: Arc<str>,
    options: ConsumerOptions,
    content: Mutex<Content>,
}

#[derive(Default)]
struct Content {
    records: VecDeque<Record>,
    /// The offset behind the last record that is here or was handed out, of each partition.
    next: BTreeMap<u32, u64>,
    /// Partitions of which a record has come.
    begun: BTreeSet<u32>,
    /// Partitions that are this consumer's now.
    owned: Vec<u32>,
    /// It has been told where it begins.
    assigned: bool,
    waker: Option<Waker>,
    closed: bool,
    error: Option<ClientError>,
}

impl RecordInbox {
    /// The TOPIC_SUBSCRIBE of now: whoever has read already goes on behind it.
    pub(crate) fn request(&self) -> Request {
        let options = &self.options;
        let content = self.content.lock();
        let knows = options.group.is_none() && !content.next.is_empty();
        let (partitions, offsets) = if knows {
            content.next.iter().map(|(at, next)| (*at, *next)).unzip()
        } else {
            (options.partitions.clone(), Vec::new())
        };
        Request::TopicSubscribe(wire::TopicSubscribe {
            subscription: self.subscription,
            topic: self.topic.to_string(),
            group: options.group.clone().unwrap_or_default(),
            credit_records: self.credit_records(),
            credit_bytes: options.credit_bytes,
            partitions,
            offsets,
            start: Some(match options.start {
                StartAt::Earliest => WireStart::Earliest(true),
                StartAt::Latest => WireStart::Latest(true),
                StartAt::Offset(offset) => WireStart::Offset(offset),
                StartAt::Time(time_ms) => WireStart::TimeMs(time_ms),
            }),
        })
    }

    fn credit_records(&self) -> u32 {
        match self.options.credit_records {
            0 => CREDIT_RECORDS,
            records => records.min(limits::CREDIT_RECORDS_MAX),
        }
    }

    /// Without a group, nothing before this time is wanted.
    fn start_ms(&self) -> u64 {
        match (self.options.start, &self.options.group) {
            (StartAt::Time(time_ms), None) => time_ms,
            _ => 0,
        }
    }

    /// What the consumer reads from now on. Records of partitions that it has lost are dropped.
    pub(crate) fn assigned(&self, assigned: &wire::TopicAssigned) {
        if assigned.ended {
            let error = ClientError::refused(
                verteilt_protocol::ErrorCode::TopicUnknown.error("the topic was deleted"),
            );
            return self.close(Some(error));
        }
        let mut content = self.content.lock();
        let before = std::mem::take(&mut content.owned);
        content.owned.clone_from(&assigned.partitions);
        let content = &mut *content;
        for (partition, offset) in assigned.partitions.iter().zip(&assigned.offsets) {
            // What was read of it before is not read again: the broker begins where the group is.
            let next = content.next.entry(*partition).or_insert(*offset);
            if !before.contains(partition) {
                *next = (*next).max(*offset);
            }
        }
        let (owned, next) = (&content.owned, &mut content.next);
        content.records.retain(|record| {
            let stays = owned.contains(&record.partition);
            if !stays {
                // Should the partition come back, this record was never handed out.
                let from = record.offset - record.skipped;
                let next = next.entry(record.partition).or_insert(from);
                *next = (*next).min(from);
            }
            stays
        });
        content.assigned = true;
        if let Some(waker) = content.waker.take() {
            waker.wake();
        }
    }

    /// Waits until it is known where the consumer begins, so that a lost connection does not move
    /// that any more.
    async fn begun(&self) {
        poll_fn(|context| {
            let mut content = self.content.lock();
            if content.assigned || content.closed {
                return Poll::Ready(());
            }
            content.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Records came. Err: they are not what was to come.
    pub(crate) fn put(&self, message: &wire::Records, payload: &Bytes) -> Result<u64, ClientError> {
        let lists = RecordLists {
            keys: &message.key_lengths,
            headers: &message.header_lengths,
            values: &message.value_lengths,
        };
        let (count, times) = (message.value_lengths.len(), &message.times_ms);
        if count == 0 || (times.len() != 1 && times.len() != count) {
            return Err(ClientError::protocol(
                "the lists of RECORDS differ in length",
            ));
        }
        let slices = split_records(payload, lists)?;
        let mut content = self.content.lock();
        let next = content.next.get(&message.partition).copied().unwrap_or(0);
        let from_ms = self.start_ms();
        let mut passed = 0;
        for (at, slices) in slices.enumerate() {
            let offset = message.first_offset + at as u64;
            let time_ms = times[at.min(times.len() - 1)];
            // Handed out before: the group begins anew where it had committed. Or too early: after a
            // lost connection the broker is asked for offsets.
            if offset < next || time_ms < from_ms {
                passed += 1;
                continue;
            }
            // What was handed out before was not missed, nor what was too early.
            let begins = content.begun.insert(message.partition) && from_ms > 0;
            let missed = offset.saturating_sub(next);
            let skipped = if at == 0 && !begins {
                message.skipped.min(missed)
            } else {
                0
            };
            let record = record(message.partition, offset, time_ms, skipped, slices);
            content.records.push_back(record);
        }
        let behind = message.first_offset + count as u64;
        content.next.insert(message.partition, next.max(behind));
        let waker = content.waker.take();
        drop(content);
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(passed)
    }

    pub(crate) fn close(&self, error: Option<ClientError>) {
        let waker = {
            let mut content = self.content.lock();
            content.closed = true;
            content.error = content.error.take().or(error);
            content.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The connection was lost: what was not handed out comes again, so that credit is right.
    pub(crate) fn reconnected(&self) {
        let mut content = self.content.lock();
        let content = &mut *content;
        while let Some(record) = content.records.pop_back() {
            let from = record.offset - record.skipped;
            content.next.insert(record.partition, from);
        }
        content.owned.clear();
    }
}

fn record(partition: u32, offset: u64, time_ms: u64, skipped: u64, slices: RecordSlices) -> Record {
    Record {
        partition,
        offset,
        time_ms,
        key: slices.key,
        value: slices.value,
        skipped,
        headers: slices.headers,
    }
}

impl fmt::Debug for RecordInbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordInbox")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

/// A reader of a topic. Made by [`crate::Topics::consume`]; also a [`Stream`] of [`Record`].
///
/// It outlives lost connections and restarts of the broker: it goes on behind the last record that
/// it handed out. Records of one partition come in order, without gaps (but those that retention
/// made, see [`Record::skipped`]) and without doubles. A member of a group may get records that
/// another member had read but not committed.
pub struct Consumer {
    client: Client,
    inbox: Arc<RecordInbox>,
    /// Handed out and not told to the broker yet: the last offset of each partition.
    told: BTreeMap<u32, u64>,
    untold: u64,
}

impl Consumer {
    pub(crate) async fn begin(
        client: &Client,
        topic: &str,
        options: ConsumerOptions,
    ) -> Result<Self, ClientError> {
        check_name(topic)?;
        if let Some(group) = &options.group {
            check_name(group)?;
        }
        let shared = client.shared();
        let inbox = Arc::new(RecordInbox {
            subscription: shared.next_number(),
            topic: topic.into(),
            options,
            content: Mutex::default(),
        });
        shared.command(Command::RegisterConsumer(Arc::clone(&inbox)))?;
        // From here on dropping it unsubscribes.
        let consumer = Self {
            client: client.clone(),
            inbox: Arc::clone(&inbox),
            told: BTreeMap::new(),
            untold: 0,
        };
        let limit = shared.config.request_timeout;
        shared
            .call("the subscription", inbox.request(), limit)
            .await?;
        let what = "the subscription";
        let begun = tokio::time::timeout(limit, inbox.begun()).await;
        begun.map_err(|_| ClientError::Deadline { what, limit })?;
        Ok(consumer)
    }

    /// The topic it reads.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.inbox.topic
    }

    /// The next record, waiting for one. `None`: the client is closed, or the broker ended the
    /// subscription; [`Consumer::error`] tells why.
    ///
    /// # Cancel safety
    /// Safe: a record is taken only when it is returned.
    pub async fn next(&mut self) -> Option<Record> {
        poll_fn(|context| self.poll_record(context)).await
    }

    /// At least one record, waiting for it, and up to `max` that are there already. Empty: as `None`
    /// of [`Consumer::next`], or `max` is 0.
    ///
    /// # Cancel safety
    /// Safe: records are taken only when they are returned.
    pub async fn next_batch(&mut self, max: usize) -> Vec<Record> {
        let mut records = Vec::new();
        if max == 0 {
            return records;
        }
        records.extend(self.next().await);
        while records.len() < max {
            let Some(record) = self.take() else { break };
            records.push(record);
        }
        records
    }

    /// The partitions that it reads now, in order.
    #[must_use]
    pub fn partitions(&self) -> Vec<u32> {
        self.inbox.content.lock().owned.clone()
    }

    /// Why [`Consumer::next`] gives `None`.
    #[must_use]
    pub fn error(&self) -> Option<ClientError> {
        self.inbox.content.lock().error.clone()
    }

    /// Moves the group's position behind this record, and waits until that is on the broker's disk.
    /// Everything before it in its partition is committed, too. A position never goes back.
    ///
    /// # Errors
    /// What the broker answers: [`verteilt_protocol::ErrorCode::PartitionLost`] when another member
    /// has the partition now and will get what was not committed,
    /// [`verteilt_protocol::ErrorCode::BadArgument`] without a group; [`ClientError::Deadline`]
    /// after the request timeout. Should a lost partition come back to this consumer (see
    /// [`Consumer::partitions`]), what it had handed out does not come again: commit it once more
    /// then, or a later record.
    ///
    /// # Cancel safety
    /// Dropped, it may or may not have been committed.
    pub async fn commit(&mut self, record: &Record) -> Result<(), ClientError> {
        let (partition, offset) = (record.partition, record.offset);
        if self
            .told
            .get(&partition)
            .is_some_and(|told| *told <= offset)
        {
            self.told.remove(&partition);
        }
        let request = self.consumed(partition, offset, true);
        let shared = self.client.shared();
        let limit = shared.config.request_timeout;
        shared.call("the commit", request, limit).await.map(|_| ())
    }

    fn consumed(&self, partition: u32, offset: u64, commit: bool) -> Request {
        Request::Consumed(wire::Consumed {
            subscription: self.inbox.subscription,
            partition,
            offset,
            commit,
        })
    }

    fn poll_record(&mut self, context: &Context<'_>) -> Poll<Option<Record>> {
        if let Some(record) = self.take() {
            return Poll::Ready(Some(record));
        }
        self.tell();
        let mut content = self.inbox.content.lock();
        if !content.records.is_empty() {
            drop(content);
            return Poll::Ready(self.take());
        }
        if content.closed {
            return Poll::Ready(None);
        }
        match &mut content.waker {
            Some(known) => known.clone_from(context.waker()),
            none @ None => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    fn take(&mut self) -> Option<Record> {
        let record = self.inbox.content.lock().records.pop_front()?;
        self.told.insert(record.partition, record.offset);
        self.untold += 1;
        if self.untold * TOLD_AFTER >= u64::from(self.inbox.credit_records()) {
            self.tell();
        }
        Some(record)
    }

    /// Tells the broker what was handed out, so that more comes.
    fn tell(&mut self) {
        self.untold = 0;
        for (partition, offset) in std::mem::take(&mut self.told) {
            let request = self.consumed(partition, offset, false);
            let shared = self.client.shared();
            let call = Call::unheard(shared.next_number(), request);
            // A closed client tells nobody.
            let _ = shared.command(Command::Call(call));
        }
    }
}

impl Stream for Consumer {
    type Item = Record;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Record>> {
        self.get_mut().poll_record(context)
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        let shared = self.client.shared();
        let subscription = self.inbox.subscription;
        // A closed client has no subscriptions.
        let _ = shared.command(Command::Unregister { subscription });
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("topic", &self.topic())
            .finish_non_exhaustive()
    }
}
