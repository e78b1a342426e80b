//! A shard driven by hand, for what cannot be seen from outside. What can is told as stories in
//! `tests/scripts`, and in any order by `tests/properties.rs`.

use std::sync::Arc;

use bytes::Bytes;

use super::{Output, Shard};
use crate::command::{Caller, Command, JobOptions, Lengths, Push, QueueName, Settle, SettleKind};
use crate::effect::Effect;
use crate::event::Event;
use crate::id::{ConnectionId, JobId, Millis, ProducerId, QueueId, SessionId};
use crate::limits::Limits;

pub(crate) fn limits() -> Limits {
    Limits {
        queues_max: 100,
        subscriptions_max: 16,
        attempts_default: 20,
        lease_ms_default: 30_000,
        lease_ms_max: 12 * 3_600_000,
        delay_ms_max: 365 * 86_400_000,
        backoff_ms_first: 1_000,
        backoff_ms_max: 600_000,
        backoff_jitter_percent: 10,
        producer_window: 1_024,
        producer_idle_ms: 86_400_000,
        resume_grace_ms: 10_000,
        memory_bytes_max: 1 << 20,
        upload_bytes_max: 1 << 20,
        body_bytes_max: 1 << 19,
        topics_max: 3,
        partitions_max: 8,
        partitions_total_max: 12,
        groups_max: 2,
        stats_topics_max: 3,
        stats_queues_max: 1_000,
        delivery_jobs_max: 1_024,
        delivery_bytes_max: 1 << 19,
    }
}

struct Driven {
    shard: Shard,
    now_ms: Millis,
    output: Output,
}

fn worker(number: u64) -> Caller {
    Caller {
        connection: ConnectionId(number),
        session: SessionId(u128::from(number)),
        correlation: 1,
    }
}

fn mail() -> QueueName {
    let (namespace, name) = (Arc::from("default"), "mail".to_owned());
    QueueName { namespace, name }
}

fn push(count: u32, options: JobOptions) -> Push {
    Push {
        queue: mail(),
        producer: None,
        options,
        lengths: Lengths {
            ends: (1..=count).collect(),
            headers: Vec::new(),
        },
        upload: 0,
        upload_parts: 0,
        payload: Bytes::from(vec![b'x'; count as usize]),
    }
}

fn subscribe(credit_jobs: u32) -> Command {
    Command::Subscribe {
        subscription: 1,
        queue: mail(),
        credit_jobs,
        credit_bytes: 0,
    }
}

impl Driven {
    fn new() -> Self {
        let (mut shard, mut output) = (Shard::new(limits()), Output::default());
        shard.start(1_000, &mut output);
        let mut driven = Self {
            shard,
            now_ms: 1_000,
            output: Output::default(),
        };
        driven.ask(Command::Connect { held: None });
        driven
    }

    fn ask(&mut self, command: Command) {
        self.output = Output::default();
        self.shard
            .handle(worker(1), command, self.now_ms, &mut self.output);
    }

    fn push(&mut self, count: u32, options: JobOptions) {
        self.ask(Command::Push(push(count, options)));
    }

    fn push_of(&mut self, producer: u128, options: JobOptions) {
        let producer = Some((ProducerId(producer), 1));
        self.ask(Command::Push(Push {
            producer,
            ..push(1, options)
        }));
    }

    fn tick(&mut self) {
        self.output = Output::default();
        self.shard.tick(self.now_ms, &mut self.output);
    }

    fn settle(&mut self, kind: SettleKind, ids: &[JobId]) {
        let token = |id: &JobId| Some((*id, self.shard.job(*id)?.lease()?.token));
        let leases = ids.iter().filter_map(token).collect();
        self.ask(Command::Settle(Settle { kind, leases }));
    }

    fn delivered(&self) -> Vec<JobId> {
        let jobs = self
            .output
            .effects
            .iter()
            .filter_map(|told| match &told.effect {
                Effect::Deliver { jobs, .. } => Some(jobs),
                _ => None,
            });
        jobs.flatten().map(|job| job.id).collect()
    }

    /// Entries in the lanes of the queue, and how many of them stand for a job in line.
    fn entries(&self) -> (usize, usize) {
        let queue = &self.shard.jobs.index.queues[0];
        (queue.entries(), queue.ready)
    }
}

fn memory() -> JobOptions {
    JobOptions {
        volatile: true,
        ..JobOptions::default()
    }
}

#[test]
fn silent_producers_leave_no_trace() {
    let mut driven = Driven::new();
    driven.push_of(1, memory());
    driven.push_of(2, JobOptions::default());
    driven.now_ms += limits().producer_idle_ms;
    driven.tick();
    let producers = vec![ProducerId(2)];
    assert_eq!(
        driven.output.events,
        [Event::ProducersForgotten { producers }]
    );
    assert!(driven.shard.volatile.producers.is_empty());
    assert!(driven.shard.ledger.producers.is_empty());
}

/// Clients that live for one request each would else come faster than they are forgotten.
#[test]
fn silent_producers_are_forgotten_as_fast_as_they_came() {
    let mut driven = Driven::new();
    for producer in 0..10_000 {
        driven.push_of(producer, JobOptions::default());
    }
    driven.now_ms += limits().producer_idle_ms;
    for _ in 0..3 {
        driven.tick();
        assert_eq!(driven.output.events.len(), 1);
    }
    assert!(driven.shard.ledger.producers.is_empty());
    driven.tick();
    assert!(driven.output.events.is_empty());
}

/// The wall clock may stand behind the time that is in the journal.
#[test]
fn a_start_goes_by_the_last_journaled_time() {
    let mut driven = Driven::new();
    driven.push(
        1,
        JobOptions {
            lease_ms: 1_000,
            ..JobOptions::default()
        },
    );
    driven.ask(subscribe(1));
    driven.tick();
    let mut output = Output::default();
    driven.shard.start(5, &mut output);
    let until_ms = 1_000 + limits().resume_grace_ms;
    let jobs = vec![(JobId(1), until_ms)];
    assert_eq!(output.events[1], Event::Touched { jobs });
    assert_eq!(driven.shard.next_deadline(), Some(until_ms));
}

/// Entries of jobs that left stay behind in a lane only until the next one leaves.
#[test]
fn entries_of_jobs_that_left_do_not_pile_up() {
    let mut driven = Driven::new();
    let mut seed = 1u64;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) % below
    };
    for _ in 0..3_000 {
        driven.now_ms += random(3);
        let delay_ms = random(2) * random(20);
        let (priority, volatile) = (random(2) as i32, random(4) == 0);
        let options = JobOptions {
            delay_ms,
            priority,
            volatile,
            ..JobOptions::default()
        };
        driven.push(1 + random(3) as u32, options);
        driven.ask(subscribe(random(6) as u32));
        driven.tick();
        let mut held: Vec<JobId> = driven.shard.jobs.leases().map(|l| l.1).collect();
        held.retain(|_| random(3) > 0);
        let delay_ms = Some(random(5));
        match random(8) {
            0 => driven.settle(SettleKind::Release, &held),
            1 => driven.settle(SettleKind::Nack { delay_ms }, &held),
            2 => driven.ask(Command::Purge {
                queue: mail(),
                jobs_max: random(9) as u32,
            }),
            _ => driven.settle(SettleKind::Ack, &held),
        }
        let (entries, ready) = driven.entries();
        assert!(entries <= 2 * ready, "{entries} entries of {ready} jobs");
        let leases = &driven.shard.jobs.index.leases;
        let (entries, leased) = (leases.entries(), leases.live);
        assert!(entries <= 2 * leased + 4, "{entries} entries of {leased}");
    }
}

/// With a tick for each command, a hundred workers share as fairly as in one round.
#[test]
fn equal_workers_get_equal_shares() {
    let mut driven = Driven::new();
    let mut output = Output::default();
    for number in 2..102 {
        let shard = &mut driven.shard;
        shard.handle(
            worker(number),
            Command::Connect { held: None },
            1_000,
            &mut output,
        );
        shard.handle(worker(number), subscribe(1_000), 1_000, &mut output);
    }
    for count in [1, 7, 92, 150, 250] {
        driven.push(count, JobOptions::default());
        driven.tick();
    }
    let index = &driven.shard.jobs.index;
    let held: Vec<u32> = index.subscriptions.values().map(|s| s.held_jobs).collect();
    assert_eq!(held, [5; 100]);
}

/// More leases than one decision ends: the deadline stays in the past until all have ended.
#[test]
fn many_leases_that_end_together_end_in_several_ticks() {
    let mut driven = Driven::new();
    driven.push(10_000, JobOptions::default());
    driven.ask(subscribe(10_000));
    driven.tick();
    assert_eq!(driven.delivered().len(), 10_000);
    driven.ask(subscribe(0));
    driven.now_ms += Millis::from(limits().lease_ms_default);
    for left in [10_000 - 4096, 10_000 - 2 * 4096, 0] {
        assert!(driven.shard.next_deadline() <= Some(driven.now_ms));
        driven.tick();
        assert_eq!(driven.shard.leased_len(), left);
    }
    assert_eq!(driven.shard.next_deadline(), None);
    assert_eq!(driven.shard.jobs.index.queue(QueueId(0)).ready, 10_000);
}

/// A session that is neither connected nor holds anything takes no memory.
#[test]
fn sessions_leave_no_trace() {
    let mut driven = Driven::new();
    driven.ask(subscribe(1));
    driven.ask(Command::Disconnect);
    assert!(driven.shard.jobs.index.sessions.is_empty());
    driven.ask(Command::Connect { held: None });
    driven.push(1, JobOptions::default());
    driven.ask(subscribe(1));
    driven.tick();
    driven.ask(Command::Drain);
    driven.ask(Command::Disconnect);
    assert_eq!(
        driven.shard.jobs.index.sessions.len(),
        1,
        "it holds a lease"
    );
    driven.now_ms += Millis::from(limits().lease_ms_default);
    driven.tick();
    let index = &driven.shard.jobs.index;
    assert!(index.sessions.is_empty());
    assert!(index.subscriptions.is_empty() && index.queues[0].hungry.is_empty());
}
