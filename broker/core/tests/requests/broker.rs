//! The requests of a broker with what is on its disk: a shard that takes in what they decide, and
//! beside it a ledger that lives from the bytes of the journal alone, as a follower's does. The two
//! agree after every decision.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use verteilt_core::{
    BodyRun, Book, ConnectionId, Disk, Effect, Event, EventReader, Job, JobId, JobSlots, Ledger,
    Limits, Lsn, Millis, Output, QueueId, Refusal, RequestEffect, Requests, Shard, encode_event,
    record,
};

use crate::world::limits;

pub(crate) struct Broker {
    pub(crate) requests: Requests,
    shard: Shard,
    /// What the bytes of the journal make.
    followed: Ledger,
    /// Every body that the journal brought and that is still needed.
    bodies: BTreeMap<JobId, Bytes>,
    /// Since somebody looked.
    pub(crate) journaled: Vec<Event>,
    pub(crate) told: Vec<(ConnectionId, RequestEffect)>,
    pub(crate) refusal: Option<Refusal>,
}

/// There are no jobs here.
struct NoJobs;

impl JobSlots for NoJobs {
    fn insert(&mut self, id: JobId, _job: Job) {
        panic!("{id:?} is nobody's job");
    }

    fn update(&mut self, id: JobId, _change: impl FnOnce(&mut Job)) -> QueueId {
        panic!("{id:?} is nobody's job");
    }

    fn remove_all(&mut self, ids: &[JobId], _each: impl FnMut(JobId, &Job)) {
        panic!("{ids:?} are nobody's jobs");
    }
}

fn job_limits() -> Limits {
    Limits {
        queues_max: 1,
        subscriptions_max: 1,
        attempts_default: 1,
        lease_ms_default: 1,
        lease_ms_max: 1,
        delay_ms_max: 1,
        backoff_ms_first: 1,
        backoff_ms_max: 1,
        backoff_jitter_percent: 0,
        producer_window: 1,
        producer_idle_ms: 1,
        resume_grace_ms: 1,
        memory_bytes_max: 1,
        upload_bytes_max: 1,
        body_bytes_max: 1,
        topics_max: 1,
        partitions_max: 1,
        partitions_total_max: 1,
        groups_max: 1,
        stats_topics_max: 1,
        stats_queues_max: 1,
        delivery_jobs_max: 1,
        delivery_bytes_max: 1,
    }
}

fn bytes_of(ledger: &Ledger) -> Bytes {
    let mut out = BytesMut::new();
    record::put_ledger(&mut out, ledger);
    out.freeze()
}

impl Broker {
    pub(crate) fn new(now_us: u64) -> Self {
        let mut broker = Self {
            requests: Requests::new(limits(), 0),
            shard: Shard::new(job_limits()),
            followed: Ledger::new(JobId(1), 1),
            bodies: BTreeMap::new(),
            journaled: Vec::new(),
            told: Vec::new(),
            refusal: None,
        };
        broker.start(now_us);
        broker.requests = Requests::new(limits(), 0);
        broker
    }

    /// Decides, journals, tells.
    pub(crate) fn decide(&mut self, now_us: u64, decide: impl FnOnce(&mut Requests, Disk<'_>)) {
        let disk = Disk {
            ledger: self.shard.ledger(),
            refusal: self.refusal,
        };
        decide(&mut self.requests, disk);
        let (before, now_ms) = (self.shard.lsn(), now_us / 1_000);
        let mut output = Output::default();
        let decided = self.requests.take_disk_output();
        self.shard.take_requests(decided, now_ms, &mut output);
        self.follow(&output.events, before, now_ms);
        self.journaled.append(&mut output.events);
        self.told.extend(self.requests.take_output());
        for addressed in output.effects {
            assert_eq!(
                addressed.after,
                self.shard.lsn(),
                "told once all is durable"
            );
            let Effect::Request { mut effect, stored } = addressed.effect else {
                panic!("nothing else is told here");
            };
            if let Some(id) = stored {
                let (_, content) = effect.stored_content().expect("it has a place for it");
                assert!(content.payload.is_empty(), "it lies in one place");
                let Some(body) = self.bodies.get(&id) else {
                    panic!("{effect:?}: its body is gone");
                };
                content.payload = body.clone();
            }
            self.told.push((addressed.to, *effect));
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.requests.next_deadline(Disk {
            ledger: self.shard.ledger(),
            refusal: None,
        })
    }

    pub(crate) fn book(&self) -> &Book {
        self.shard.ledger().requests()
    }

    /// What was not journaled is gone.
    pub(crate) fn restart(&mut self, now_us: u64) {
        let ledger = record::ledger(bytes_of(&self.followed), 1).expect("its own bytes");
        assert_eq!(ledger, self.followed);
        let (lsn, now_ms) = (self.shard.lsn(), self.shard.now_ms());
        self.shard = Shard::restore(job_limits(), lsn, now_ms, ledger, std::iter::empty());
        self.start(now_us);
    }

    fn start(&mut self, now_us: u64) {
        let before = self.shard.lsn();
        let mut output = Output::default();
        self.shard.start(now_us / 1_000, &mut output);
        self.follow(&output.events, before, now_us / 1_000);
        self.requests = Requests::new(limits(), self.shard.epoch());
        let book = self.shard.ledger().requests();
        self.requests.restore(book, now_us);
    }

    /// Through the bytes of the journal, and no other way.
    fn follow(&mut self, events: &[Event], before: Lsn, now_ms: Millis) {
        let mut batch = BytesMut::new();
        for event in events {
            encode_event(&mut batch, event);
        }
        let batch = batch.freeze();
        for run in BodyRun::scan(&batch).expect("its own bytes") {
            let (_, body) = run.find(&batch, run.first_id).expect("it is in there");
            self.bodies.insert(run.first_id, body);
        }
        let read = EventReader::new(batch, before + 1, now_ms);
        for (read, event) in read.zip(events) {
            let (_, _, read) = read.expect("its own bytes");
            assert_eq!(read, *event);
            for freed in self.followed.parts_freed_by(&read) {
                assert!(self.bodies.remove(&freed).is_some(), "{freed:?} was there");
            }
            self.followed.apply(&mut NoJobs, &read, now_ms);
        }
        assert_eq!(bytes_of(&self.followed), bytes_of(self.shard.ledger()));
        let kept: Vec<JobId> = self.bodies.keys().copied().collect();
        assert_eq!(kept, self.followed.parts(), "no more and no less is kept");
    }
}
