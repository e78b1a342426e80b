//! The small durable state beside the jobs (queues, producers, uploads, counters), and the one
//! function that applies an event. Live, recovery and the follower all go through
//! [`Ledger::apply`]; they differ only in where their jobs are kept.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::event::{Event, Pushed, RequestEvent};
use crate::id::{JobId, Millis, Offset, PartitionId, ProducerId, QueueId, SessionId};
use crate::job::{Job, Lending, Place};
use crate::producer::{Producer, Taken};
use crate::request::Book;
use crate::topic::Topics;

/// Where jobs are kept. A missing job is a broken invariant, never an answer.
pub trait JobSlots {
    /// A job came into being.
    fn insert(&mut self, id: JobId, job: Job);
    /// A job changes; returns its queue.
    fn update(&mut self, id: JobId, change: impl FnOnce(&mut Job)) -> QueueId;
    /// Jobs are gone; `each` hears what each was.
    fn remove_all(&mut self, ids: &[JobId], each: impl FnMut(JobId, &Job));

    /// Jobs with neighbouring ids came into being together: they differ in their lengths at most.
    fn insert_all(&mut self, first_id: JobId, jobs: impl Iterator<Item = Job>) {
        for (id, job) in (first_id.0..).map(JobId).zip(jobs) {
            self.insert(id, job);
        }
    }

    /// Jobs go to one holder together.
    fn lend(&mut self, ids: &[JobId], lending: &mut Lending) {
        for id in ids {
            self.update(*id, |job| {
                lending.lend(job);
            });
        }
    }
}

/// What is durable beside the jobs themselves. A second one, never stored, serves `memory` jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    pub(crate) epoch: u64,
    pub(crate) next_id: u64,
    pub(crate) queues: Vec<QueueRecord>,
    pub(crate) names: BTreeMap<String, BTreeMap<String, QueueId>>,
    pub(crate) producers: BTreeMap<ProducerId, Producer>,
    pub(crate) uploads: BTreeMap<(SessionId, u64), Upload>,
    /// Jobs whose body begins in parts.
    pub(crate) large: BTreeMap<JobId, Vec<JobId>>,
    pub(crate) topics: Topics,
    pub(crate) requests: Book,
    pub(crate) window: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct QueueRecord {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) paused: bool,
    pub(crate) pushed: u64,
    pub(crate) done: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Upload {
    pub(crate) parts: Vec<JobId>,
    pub(crate) bytes: u64,
}

impl Ledger {
    /// Nothing yet. `first_id` is the first job id to give; `producer_window` is
    /// [`crate::Limits::producer_window`].
    #[must_use]
    pub fn new(first_id: JobId, producer_window: u32) -> Self {
        Self {
            epoch: 0,
            next_id: first_id.0,
            queues: Vec::new(),
            names: BTreeMap::new(),
            producers: BTreeMap::new(),
            uploads: BTreeMap::new(),
            large: BTreeMap::new(),
            topics: Topics::default(),
            requests: Book::default(),
            window: producer_window,
        }
    }

    /// The id that the next job gets; every id below has been given.
    #[must_use]
    pub fn next_id(&self) -> JobId {
        JobId(self.next_id)
    }

    /// The queue of this name.
    #[must_use]
    pub fn find(&self, namespace: &str, name: &str) -> Option<QueueId> {
        self.names.get(namespace)?.get(name).copied()
    }

    /// The queues of a namespace behind this name, in the order of their names.
    pub fn behind(&self, namespace: &str, name: &str) -> impl Iterator<Item = QueueId> {
        use std::ops::Bound::{Excluded, Unbounded};
        let names = self.names.get(namespace).into_iter();
        let range = (Excluded(name.to_owned()), Unbounded);
        names
            .flat_map(move |names| names.range(range.clone()))
            .map(|(_, queue)| *queue)
    }

    /// The oldest record that a partition keeps; none when its topic is gone.
    #[must_use]
    pub fn start_of(&self, partition: PartitionId) -> Option<Offset> {
        Some(self.topics.partition(partition)?.start)
    }

    /// Every partition with the offsets of the records that it keeps.
    pub fn kept_records(&self) -> impl Iterator<Item = (PartitionId, Range<Offset>)> {
        let topics = self.topics.topics.iter();
        topics.flat_map(|(topic, of)| {
            let id = |number| PartitionId {
                topic: *topic,
                number,
            };
            let partitions = (0..).zip(&of.partitions);
            partitions.map(move |(number, it)| (id(number), it.start..it.next))
        })
    }

    /// Requests of durability `disk` and their results.
    #[must_use]
    pub fn requests(&self) -> &Book {
        &self.requests
    }

    /// Ids of what is no job's own body and still needed, in order: parts of large bodies that jobs or
    /// open uploads need, bodies of requests and of their results.
    #[must_use]
    pub fn parts(&self) -> Vec<JobId> {
        let uploads = self.uploads.values().flat_map(|upload| &upload.parts);
        let mut ids: Vec<JobId> = self
            .large
            .values()
            .flatten()
            .chain(uploads)
            .copied()
            .chain(self.requests.bodies().map(|body| body.id))
            .collect();
        ids.sort_unstable();
        ids
    }

    /// Ids of the parts that the body of this job begins with; none for most jobs.
    #[must_use]
    pub fn parts_of(&self, id: JobId) -> &[JobId] {
        self.large.get(&id).map_or(&[], Vec::as_slice)
    }

    /// Of [`Self::parts`], what nobody needs once the event is applied; ask before applying it.
    #[must_use]
    pub fn parts_freed_by(&self, event: &Event) -> Vec<JobId> {
        match event {
            Event::UploadDropped { session, upload } => {
                let upload = self.uploads.get(&(*session, *upload));
                upload.map_or_else(Vec::new, |upload| upload.parts.clone())
            }
            Event::Acked { ids } | Event::Purged { ids } if !self.large.is_empty() => ids
                .iter()
                .filter_map(|id| self.large.get(id))
                .flatten()
                .copied()
                .collect(),
            Event::Request(event) => self.requests.freed_by(event),
            _ => Vec::new(),
        }
    }

    /// Applies one event; `now_ms` is the time at which it was decided.
    pub fn apply(&mut self, jobs: &mut impl JobSlots, event: &Event, now_ms: Millis) {
        match event {
            Event::Started { epoch } => self.epoch = *epoch,
            Event::QueueCreated {
                queue,
                namespace,
                name,
            } => self.create_queue(*queue, namespace, name),
            Event::Pushed(pushed) => self.push(jobs, pushed, now_ms),
            Event::PartStored {
                session,
                upload,
                id,
                payload,
            } => self.store_part((*session, *upload), *id, payload.len()),
            Event::UploadDropped { session, upload } => {
                self.uploads.remove(&(*session, *upload));
            }
            Event::Leased {
                session,
                token,
                subscription,
                ids,
            } => {
                let mut lending = Lending::new(*token, *session, *subscription, now_ms);
                jobs.lend(ids, &mut lending);
            }
            Event::Acked { ids } => self.remove(jobs, ids, true),
            Event::Purged { ids } => self.remove(jobs, ids, false),
            Event::Failed { jobs: failed } => {
                for (id, retry_ms) in failed {
                    jobs.update(*id, |job| job.fail(*retry_ms));
                }
            }
            Event::Died { ids } => {
                for id in ids {
                    jobs.update(*id, |job| job.die(now_ms));
                }
            }
            Event::Requeued { ids, excused } => {
                for id in ids {
                    jobs.update(*id, |job| job.give_back(*excused));
                }
            }
            Event::Touched { jobs: touched } => {
                for (id, until_ms) in touched {
                    jobs.update(*id, |job| job.touch(*until_ms));
                }
            }
            Event::QueuePaused { queue, paused } => self.record(*queue).paused = *paused,
            Event::ProducersForgotten { producers } => {
                for producer in producers {
                    self.producers.remove(producer);
                }
            }
            Event::Topic(event) => self.topics.apply(event, self.window, now_ms),
            Event::Request(event) => self.keep_request(event, now_ms),
        }
    }

    fn keep_request(&mut self, event: &RequestEvent, now_ms: Millis) {
        if let Some(body) = self.requests.apply(event, now_ms) {
            assert_eq!(body.0, self.next_id, "ids are dense");
            self.next_id += 1;
        }
    }

    fn create_queue(&mut self, queue: QueueId, namespace: &str, name: &str) {
        let next = self.queues.len();
        assert_eq!(queue.0 as usize, next, "queues are numbered in order");
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        let names = self.names.entry(namespace.clone()).or_default();
        names.insert(name.clone(), queue);
        self.queues.push(QueueRecord {
            namespace,
            name,
            ..QueueRecord::default()
        });
    }

    fn store_part(&mut self, upload: (SessionId, u64), id: JobId, bytes: usize) {
        assert_eq!(id.0, self.next_id, "ids are dense");
        self.next_id += 1;
        let upload = self.uploads.entry(upload).or_default();
        upload.parts.push(id);
        upload.bytes += bytes as u64;
    }

    fn push(&mut self, jobs: &mut impl JobSlots, pushed: &Pushed, now_ms: Millis) {
        let count = pushed.count();
        assert_eq!(pushed.first_id.0, self.next_id, "ids are dense");
        self.next_id += count as u64;
        self.record(pushed.queue).pushed += count as u64;
        if let Some((producer, sequence)) = pushed.producer {
            let taken = Taken {
                sequence,
                first_id: pushed.first_id,
                count: count as u32,
            };
            self.producers
                .entry(producer)
                .or_default()
                .take(taken, self.window, now_ms);
        }
        if pushed.upload != 0 {
            self.uploads.remove(&(pushed.session, pushed.upload));
            self.large.insert(pushed.first_id, pushed.parts.clone());
        }
        let job = |index| Job {
            queue: pushed.queue,
            priority: pushed.priority,
            due_ms: pushed.due_ms,
            length: pushed.lengths.length(index) + pushed.parts_bytes,
            lease_ms: pushed.lease_ms,
            attempts: 0,
            excused: 0,
            attempts_max: pushed.attempts_max,
            place: Place::Queued,
        };
        jobs.insert_all(pushed.first_id, (0..count).map(job));
    }

    fn remove(&mut self, jobs: &mut impl JobSlots, ids: &[JobId], done: bool) {
        jobs.remove_all(ids, |id, job| {
            self.record(job.queue).done += u64::from(done);
            if !self.large.is_empty() {
                self.large.remove(&id);
            }
        });
    }

    // The ledger of `memory` jobs hears of no queue being created; it counts by number alone.
    fn record(&mut self, queue: QueueId) -> &mut QueueRecord {
        let at = queue.0 as usize;
        if at >= self.queues.len() {
            self.queues.resize_with(at + 1, QueueRecord::default);
        }
        &mut self.queues[at]
    }

    pub(crate) fn counts(&self, queue: QueueId) -> (u64, u64) {
        self.queues
            .get(queue.0 as usize)
            .map_or((0, 0), |record| (record.pushed, record.done))
    }
}
