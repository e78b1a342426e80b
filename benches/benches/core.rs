//! The core alone: 256 jobs are pushed, lent and acked, in an empty queue and behind a million others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use verteilt_core::{
    Caller, Command, ConnectionId, Effect, JobId, JobOptions, Lengths, Limits, Output, ProducerId,
    Push, QueueName, SessionId, Settle, SettleKind, Shard,
};
use verteilt_protocol::limits;

const JOBS: usize = 256;
const BODY_BYTES: usize = 256;
const NOW_MS: u64 = 1_700_000_000_000;

/// A shard with one session, its subscription and a queue of a certain depth.
struct Desk {
    shard: Shard,
    output: Output,
    push: Push,
    sequence: u64,
    leases: Vec<(JobId, u64)>,
}

impl Desk {
    fn new(depth: usize) -> Self {
        let queue = QueueName {
            namespace: Arc::from("default"),
            name: "bench".to_owned(),
        };
        let push = Push {
            queue: queue.clone(),
            producer: None,
            options: JobOptions::default(),
            lengths: Lengths {
                ends: (1..=JOBS).map(|at| (at * BODY_BYTES) as u32).collect(),
                headers: Vec::new(),
            },
            upload: 0,
            upload_parts: 0,
            payload: verteilt_benches::body(JOBS * BODY_BYTES),
        };
        let mut this = Self {
            shard: Shard::new(core_limits()),
            output: Output::default(),
            push,
            sequence: 0,
            leases: Vec::new(),
        };
        this.shard.start(NOW_MS, &mut this.output);
        this.handle(Command::Connect { held: None });
        for _ in 0..depth.div_ceil(JOBS) {
            this.push();
            this.clear();
        }
        this.handle(Command::Subscribe {
            subscription: 1,
            queue,
            credit_jobs: JOBS as u32,
            credit_bytes: 0,
        });
        this.clear();
        if depth > 0 {
            // The turns begin with nothing lent out.
            this.lease();
            this.ack();
            this.clear();
            this.shard.tick(NOW_MS, &mut this.output);
        }
        this
    }

    fn handle(&mut self, command: Command) {
        let caller = Caller {
            connection: ConnectionId(1),
            session: SessionId(1),
            correlation: 1,
        };
        self.shard.handle(caller, command, NOW_MS, &mut self.output);
    }

    fn clear(&mut self) {
        self.output.events.clear();
        self.output.effects.clear();
    }

    fn push(&mut self) {
        self.sequence += 1;
        let mut push = self.push.clone();
        push.producer = Some((ProducerId(7), self.sequence));
        self.handle(Command::Push(push));
    }

    fn lease(&mut self) {
        self.shard.tick(NOW_MS, &mut self.output);
    }

    fn take_leases(&mut self) {
        for told in &self.output.effects {
            if let Effect::Deliver { token, jobs, .. } = &told.effect {
                self.leases.extend(jobs.iter().map(|job| (job.id, *token)));
            }
        }
        self.clear();
    }

    fn ack(&mut self) {
        self.take_leases();
        let leases = std::mem::take(&mut self.leases);
        let kind = SettleKind::Ack;
        self.handle(Command::Settle(Settle { kind, leases }));
    }

    /// What push, lease and ack took.
    fn turn(&mut self) -> [Duration; 3] {
        let begun = Instant::now();
        self.push();
        let push = begun.elapsed();
        let begun = Instant::now();
        self.lease();
        let lease = begun.elapsed();
        self.take_leases();
        assert_eq!(self.leases.len(), JOBS, "the credit is used up each time");
        let begun = Instant::now();
        self.ack();
        let ack = begun.elapsed();
        self.clear();
        [push, lease, ack]
    }
}

fn core_limits() -> Limits {
    Limits {
        queues_max: limits::QUEUES_MAX as u32,
        subscriptions_max: limits::SUBSCRIPTIONS_MAX as u32,
        attempts_default: limits::ATTEMPTS_DEFAULT as u16,
        lease_ms_default: limits::LEASE_MS_DEFAULT as u32,
        lease_ms_max: limits::LEASE_MS_MAX as u32,
        delay_ms_max: limits::DELAY_MS_MAX,
        backoff_ms_first: limits::BACKOFF_MS_FIRST,
        backoff_ms_max: limits::BACKOFF_MS_MAX,
        backoff_jitter_percent: u64::from(limits::BACKOFF_JITTER_PERCENT),
        producer_window: limits::PRODUCER_WINDOW as u32,
        producer_idle_ms: limits::PRODUCER_IDLE_MS,
        resume_grace_ms: limits::RESUME_GRACE_MS,
        memory_bytes_max: 256 * 1024 * 1024,
        upload_bytes_max: limits::UPLOAD_BYTES_MAX,
        body_bytes_max: limits::BODY_BYTES_MAX,
        stats_queues_max: 1_000,
        delivery_jobs_max: 4_096,
        delivery_bytes_max: 512 * 1024,
    }
}

fn turns(criterion: &mut Criterion) {
    for (at, name) in ["push", "lease", "ack"].into_iter().enumerate() {
        let mut group = criterion.benchmark_group(format!("core: {name} 256"));
        group.throughput(Throughput::Elements(JOBS as u64));
        for depth in [0, 1_000_000] {
            let mut desk = Desk::new(depth);
            let id = BenchmarkId::new("queued", depth);
            group.bench_function(id, |bencher| {
                bencher.iter_custom(|turns| (0..turns).map(|_| desk.turn()[at]).sum());
            });
        }
        group.finish();
    }
}

criterion_group!(benches, turns);
criterion_main!(benches);
