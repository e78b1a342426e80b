//! Numbers of the loop for Prometheus. Handles are looked up once; counting is then an addition.

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use verteilt_core::{Effect, RequestEffect, Shard, TopicEffect};

use crate::service_meters;
use crate::space::DiskRoom;

/// Queues that get gauges of their own; more would make every scrape long.
const QUEUES_MAX: usize = 1_000;

pub(crate) struct Meters {
    rounds: Counter,
    requests: Counter,
    round_requests: Histogram,
    pushed: Counter,
    delivered: Counter,
    settled: Counter,
    published: Counter,
    records: Counter,
    refused: Counter,
    started: Counter,
    replied: Counter,
    broken_off: Counter,
    jobs: Gauge,
    leased: Gauge,
    cached: Gauge,
    lag: Gauge,
    journal: Gauge,
}

impl Meters {
    pub(crate) fn new() -> Self {
        describe();
        service_meters::describe();
        Self {
            rounds: counter!("verteilt_rounds_total"),
            requests: counter!("verteilt_requests_total"),
            round_requests: histogram!("verteilt_round_requests"),
            pushed: counter!("verteilt_jobs_pushed_total"),
            delivered: counter!("verteilt_jobs_delivered_total"),
            published: counter!("verteilt_records_published_total"),
            records: counter!("verteilt_records_delivered_total"),
            settled: counter!("verteilt_settles_total"),
            refused: counter!("verteilt_requests_refused_total"),
            started: counter!("verteilt_service_requests_started_total"),
            replied: counter!("verteilt_service_replies_total"),
            broken_off: counter!("verteilt_service_requests_ended_total"),
            jobs: gauge!("verteilt_jobs"),
            leased: gauge!("verteilt_jobs_leased"),
            cached: gauge!("verteilt_body_cache_bytes"),
            lag: gauge!("verteilt_checkpoint_lag_events"),
            journal: gauge!("verteilt_journal_bytes"),
        }
    }

    pub(crate) fn round(&self, requests: usize) {
        if requests > 0 {
            self.rounds.increment(1);
            self.requests.increment(requests as u64);
            self.round_requests.record(requests as f64);
        }
    }

    pub(crate) fn effect(&self, effect: &Effect) {
        match effect {
            Effect::Pushed {
                count,
                duplicate: false,
                ..
            } => {
                self.pushed.increment(u64::from(*count));
            }
            Effect::Topic(TopicEffect::Published {
                count,
                duplicate: false,
                ..
            }) => self.published.increment(u64::from(*count)),
            Effect::Deliver { jobs, .. } => self.delivered.increment(jobs.len() as u64),
            Effect::Settled { .. } => self.settled.increment(1),
            Effect::Refused { .. } => self.refused.increment(1),
            _ => {}
        }
    }

    /// Of requests to services.
    pub(crate) fn request(&self, effect: &RequestEffect) {
        match effect {
            RequestEffect::Deliver { .. } => self.started.increment(1),
            RequestEffect::Reply { .. } => self.replied.increment(1),
            RequestEffect::Ended { .. } => self.broken_off.increment(1),
            RequestEffect::Refused { .. } => self.refused.increment(1),
            _ => {}
        }
    }

    pub(crate) fn records_delivered(&self, records: u64) {
        if records > 0 {
            self.records.increment(records);
        }
    }

    /// Depths, once a second.
    pub(crate) fn depths(
        &self,
        shard: &Shard,
        cached_bytes: usize,
        checkpoint_lsn: u64,
        journal_bytes: u64,
    ) {
        self.journal.set(journal_bytes as f64);
        self.jobs.set(shard.jobs_len() as f64);
        self.leased.set(shard.leased_len() as f64);
        self.cached.set(cached_bytes as f64);
        self.lag
            .set(shard.lsn().saturating_sub(checkpoint_lsn) as f64);
        for (namespace, stats) in shard.all_stats().into_iter().take(QUEUES_MAX) {
            let states = [
                ("scheduled", stats.scheduled),
                ("ready", stats.ready),
                ("leased", stats.leased),
                ("failed", stats.failed),
                ("dead", stats.dead),
            ];
            for (state, jobs) in states {
                let labels = [
                    ("namespace", namespace.clone()),
                    ("queue", stats.queue.clone()),
                    ("state", state.to_owned()),
                ];
                gauge!("verteilt_queue_jobs", &labels).set(jobs as f64);
            }
        }
        for (namespace, stats) in shard.all_topics().into_iter().take(QUEUES_MAX) {
            let labels = [("namespace", namespace), ("topic", stats.topic)];
            gauge!("verteilt_topic_records", &labels).set(stats.records as f64);
            gauge!("verteilt_topic_bytes", &labels).set(stats.bytes as f64);
        }
    }
}

/// Numbers of the disk's room.
pub(crate) struct RoomMeters {
    free: Gauge,
    reusable: Gauge,
    needed: Gauge,
    full: Gauge,
    refused: Counter,
}

impl RoomMeters {
    pub(crate) fn new() -> Self {
        use metrics::{describe_counter, describe_gauge};
        describe_gauge!(
            "verteilt_disk_free_bytes",
            "Bytes that the file system of the data folder has left"
        );
        describe_gauge!(
            "verteilt_disk_reusable_bytes",
            "Bytes of the store's file that hold nothing and are used again"
        );
        describe_gauge!(
            "verteilt_disk_needed_bytes",
            "Bytes that have to stay free: the reserve and what the next checkpoint may need"
        );
        describe_gauge!(
            "verteilt_disk_full",
            "1 while pushes are refused because the disk is nearly full"
        );
        describe_counter!(
            "verteilt_disk_full_refusals_total",
            "Requests refused because the disk was nearly full"
        );
        Self {
            free: gauge!("verteilt_disk_free_bytes"),
            reusable: gauge!("verteilt_disk_reusable_bytes"),
            needed: gauge!("verteilt_disk_needed_bytes"),
            full: gauge!("verteilt_disk_full"),
            refused: counter!("verteilt_disk_full_refusals_total"),
        }
    }

    pub(crate) fn show(&self, room: DiskRoom) {
        self.free.set(room.free_bytes as f64);
        self.reusable.set(room.reusable_bytes as f64);
        self.needed.set(room.needed_bytes as f64);
        self.full.set(f64::from(u8::from(room.is_full)));
    }

    pub(crate) fn refused(&self) {
        self.refused.increment(1);
    }
}

/// The HELP line of every metric that does not stand beside its use.
fn describe() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_counter!(
        "verteilt_rounds_total",
        "Rounds of the engine that had requests"
    );
    describe_counter!("verteilt_requests_total", "Requests decided");
    describe_histogram!("verteilt_round_requests", "Requests decided in one round");
    describe_counter!(
        "verteilt_jobs_pushed_total",
        "Jobs taken in and acknowledged"
    );
    describe_counter!(
        "verteilt_jobs_delivered_total",
        "Jobs handed to workers, every run counted"
    );
    describe_counter!("verteilt_settles_total", "Requests that settled leases");
    describe_counter!(
        "verteilt_requests_refused_total",
        "Requests answered with an error"
    );
    describe_counter!(
        "verteilt_service_requests_started_total",
        "Requests to services handed to workers, every forward counted"
    );
    describe_counter!(
        "verteilt_service_replies_total",
        "Replies of services sent to callers"
    );
    describe_counter!(
        "verteilt_service_requests_ended_total",
        "Callers and workers told that a request to a service is over without a reply"
    );
    describe_counter!(
        "verteilt_records_published_total",
        "Records taken in and acknowledged"
    );
    describe_counter!(
        "verteilt_records_delivered_total",
        "Records sent to subscriptions, each time counted"
    );
    describe_gauge!("verteilt_topic_records", "Records that a topic keeps");
    describe_gauge!(
        "verteilt_topic_bytes",
        "Bytes that a topic keeps, with what stands around its records"
    );
    describe_gauge!("verteilt_jobs", "Jobs that are not done");
    describe_gauge!("verteilt_jobs_leased", "Jobs that workers hold");
    describe_gauge!("verteilt_queue_jobs", "Jobs of a queue by state");
    describe_gauge!(
        "verteilt_body_cache_bytes",
        "Bytes of bodies kept in memory"
    );
    describe_gauge!(
        "verteilt_checkpoint_lag_events",
        "Events that are not in the store yet"
    );
    describe_gauge!(
        "verteilt_journal_bytes",
        "Bytes of journal that no checkpoint has freed"
    );
    describe_histogram!("verteilt_checkpoint_seconds", "Time that a checkpoint took");
    describe_counter!(
        "verteilt_checkpoint_bytes_total",
        "Bytes that checkpoints gave the store"
    );
    describe_gauge!("verteilt_connections", "Open connections");
}
