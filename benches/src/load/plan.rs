//! What is asked of a load.

use std::time::Duration;

use anyhow::{Result, ensure};
use clap::ValueEnum;
use serde::Serialize;
use verteilt_protocol::limits;

/// Bytes of a body that the cycle needs to tell when it was due.
pub(super) const STAMP_BYTES: usize = 16;

/// What is done to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Push jobs; each is answered when it is on the broker's disk
    Push,
    /// Take and ack the jobs of a backlog that is pushed before, and not measured
    Reserve,
    /// Push jobs, take them and ack them; the latency of the whole way
    Cycle,
    /// Send requests to a service, which answers them; nothing of it is written to a disk
    Request,
    /// Send HTTP requests through a gateway, which is started for it, to a service
    Http,
    /// Publish records to a topic; each is answered when it is on the broker's disk
    Publish,
    /// Read a topic from its beginning on each connection; it is published before, not measured
    Consume,
}

impl Kind {
    /// What it is about: jobs of a queue, records of a topic, requests to a service.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::Push | Self::Reserve | Self::Cycle => "jobs",
            Self::Request | Self::Http => "requests",
            Self::Publish | Self::Consume => "records",
        }
    }

    /// Whether it uses a topic, not a queue.
    #[must_use]
    pub const fn is_topic(self) -> bool {
        matches!(self, Self::Publish | Self::Consume)
    }

    /// The load that makes what this one takes, if it takes something.
    pub(super) const fn maker(self) -> Option<Self> {
        match self {
            Self::Reserve => Some(Self::Push),
            Self::Consume => Some(Self::Publish),
            Self::Push | Self::Cycle | Self::Request | Self::Http | Self::Publish => None,
        }
    }
}

/// What is asked of a load.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The broker.
    pub url: String,
    /// The gateway in front of it, as host and port, for HTTP.
    pub gateway: Option<String>,
    /// The queue, the topic, or the service; nobody else should use it meanwhile.
    pub queue: String,
    /// Of a topic.
    pub partitions: u32,
    /// Connections; a cycle has as many again for its consumers, requests for their workers.
    pub connections: usize,
    /// Jobs that may be unanswered at one time on each connection.
    pub in_flight: usize,
    /// Jobs of one request; 1: single calls, which the client gathers into frames by itself.
    pub batch: usize,
    /// Bytes of a body.
    pub body_bytes: usize,
    /// Ends after so many jobs. A reserve always has a number.
    pub jobs: Option<u64>,
    /// Ends after this time.
    pub time: Option<Duration>,
    /// Jobs a second in all, whatever the broker does; none: a closed loop.
    pub rate: Option<f64>,
    /// What is kept of every job.
    pub keep: Keep,
}

/// What is kept of every job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// How long it took, in a histogram.
    Times,
    /// Its id, to hold it against what the broker has.
    Ids,
}

impl Plan {
    /// Requests that may be unanswered at one time on each connection.
    pub(super) fn requests(&self) -> usize {
        (self.in_flight / self.batch).max(1)
    }

    /// The same with batches and without limits but the number of jobs: how a backlog is made.
    pub(super) fn backlog(&self) -> Self {
        Self {
            batch: self.in_flight.clamp(1, 256),
            time: None,
            rate: None,
            ..self.clone()
        }
    }

    /// Whether this load can be made of it.
    ///
    /// # Errors
    /// What does not fit, in words.
    pub fn check(&self, kind: Kind) -> Result<()> {
        ensure!(
            (1..=limits::BATCH_JOBS_MAX).contains(&self.batch),
            "a batch has 1 to {} jobs",
            limits::BATCH_JOBS_MAX
        );
        ensure!(
            self.jobs.is_some() || self.time.is_some(),
            "a load needs an end: a number of jobs or a time"
        );
        if let Some(rate) = self.rate {
            ensure!(rate > 0.0 && rate.is_finite(), "a rate is above 0");
            ensure!(
                kind.maker().is_none(),
                "this load takes what is there as fast as it can; use another one for a rate"
            );
        }
        ensure!(
            !matches!(kind, Kind::Request | Kind::Http) || self.batch == 1,
            "requests have no batches"
        );
        ensure!(
            kind != Kind::Http || self.in_flight == 1,
            "a connection has one HTTP request under way"
        );
        ensure!(
            kind.maker().is_none() || self.jobs.is_some(),
            "this load needs the number of what it takes"
        );
        ensure!(
            kind != Kind::Cycle || self.body_bytes >= STAMP_BYTES,
            "a cycle writes the time into its bodies: {STAMP_BYTES} bytes at least"
        );
        Ok(())
    }
}
