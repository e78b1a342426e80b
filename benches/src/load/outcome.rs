//! What a load came to.

use std::time::Duration;

use serde::Serialize;

use super::plan::{Kind, Plan};
use super::running::Running;
use super::timer::Latency;

/// The figures of a load.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// What was done.
    pub load: Kind,
    /// Connections.
    pub connections: usize,
    /// Jobs that were unanswered at one time on each connection, at most.
    pub in_flight: usize,
    /// Jobs of a request.
    pub batch: usize,
    /// Bytes of a body.
    pub body_bytes: usize,
    /// Jobs a second that were asked for; none: a closed loop.
    pub rate: Option<f64>,
    /// Of the topic, if it is about one; jobs are records then.
    pub partitions: Option<u32>,
    /// Jobs that were answered; in a cycle their acks.
    pub jobs: u64,
    /// From the first request to the last answer.
    pub seconds: f64,
    /// The two divided.
    pub jobs_per_second: f64,
    /// The longest time in which nothing was answered.
    pub longest_gap_ms: f64,
    /// Jobs that were due and could not be sent in time: their latencies are missing.
    pub unsent: u64,
    /// Whether somebody ended it early.
    pub interrupted: bool,
    /// How long each step took.
    pub latency: Vec<Latency>,
    /// Of the jobs, sorted, if they were to be kept.
    #[serde(skip)]
    pub ids: Vec<u64>,
}

impl Outcome {
    pub(super) fn of(kind: Kind, running: &Running, took: Duration) -> Self {
        let Plan {
            connections,
            in_flight,
            batch,
            body_bytes,
            rate,
            partitions,
            ..
        } = running.plan;
        let (jobs, seconds) = (running.watch.done(), took.as_secs_f64());
        Self {
            load: kind,
            connections,
            in_flight,
            batch,
            body_bytes,
            rate,
            partitions: kind.is_topic().then_some(partitions),
            jobs,
            seconds,
            jobs_per_second: jobs as f64 / seconds,
            longest_gap_ms: running.watch.longest_gap().as_secs_f64() * 1e3,
            unsent: running.unsent(),
            interrupted: running.watch.stop.is_cancelled(),
            latency: running.latencies(),
            ids: running.take_ids(),
        }
    }

    /// Ended before the load itself began.
    pub(super) fn without_jobs(self, kind: Kind) -> Self {
        Self {
            load: kind,
            jobs: 0,
            jobs_per_second: 0.0,
            latency: Vec::new(),
            ..self
        }
    }
}
