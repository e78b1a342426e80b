//! Services as JSON.

use serde::Serialize;
use verteilt_client::{InstanceStats, ServiceStats};

use super::{percentile, word};

/// One service.
#[derive(Debug, Serialize)]
pub(super) struct Service {
    service: String,
    waiting: u64,
    waiting_bytes: u64,
    refused: u64,
    expired: u64,
    cancelled: u64,
    instances: Vec<Instance>,
    instances_left_out: u64,
}

#[derive(Debug, Serialize)]
struct Instance {
    instance: String,
    version: String,
    endpoints: Vec<String>,
    host: String,
    process: u32,
    started_ms: u64,
    health: &'static str,
    concurrency: u32,
    in_flight: u64,
    replies: Replies,
    forwarded: u64,
    expired: u64,
    cancelled: u64,
    broken: u64,
    wait_us: Times,
    run_us: Times,
}

#[derive(Debug, Serialize)]
struct Replies {
    #[serde(rename = "1xx")]
    informational: u64,
    #[serde(rename = "2xx")]
    success: u64,
    #[serde(rename = "3xx")]
    redirect: u64,
    #[serde(rename = "4xx")]
    client_error: u64,
    #[serde(rename = "5xx")]
    server_error: u64,
}

/// Percentiles are the ends of their buckets; entry i of the buckets counts what took less than 2^i.
#[derive(Debug, Serialize)]
struct Times {
    p50: Option<u64>,
    p90: Option<u64>,
    p99: Option<u64>,
    buckets: Vec<u64>,
}

impl From<&ServiceStats> for Service {
    fn from(stats: &ServiceStats) -> Self {
        Self {
            service: stats.service.clone(),
            waiting: stats.waiting,
            waiting_bytes: stats.waiting_bytes,
            refused: stats.refused,
            expired: stats.expired,
            cancelled: stats.cancelled,
            instances: stats.instances.iter().map(Instance::from).collect(),
            instances_left_out: stats.instances_left_out,
        }
    }
}

impl From<&InstanceStats> for Instance {
    fn from(stats: &InstanceStats) -> Self {
        let [informational, success, redirect, client_error, server_error] = stats.replies;
        Self {
            instance: stats.instance.clone(),
            version: stats.version.clone(),
            endpoints: stats.endpoints.clone(),
            host: stats.host.clone(),
            process: stats.process,
            started_ms: stats.started_ms,
            health: word(stats.health),
            concurrency: stats.concurrency,
            in_flight: stats.in_flight,
            replies: Replies {
                informational,
                success,
                redirect,
                client_error,
                server_error,
            },
            forwarded: stats.forwarded,
            expired: stats.expired,
            cancelled: stats.cancelled,
            broken: stats.broken,
            wait_us: Times::from(&stats.wait_us),
            run_us: Times::from(&stats.run_us),
        }
    }
}

impl From<&Vec<u64>> for Times {
    fn from(counts: &Vec<u64>) -> Self {
        let us = |percent| percentile(counts, percent).map(|time| time.as_micros() as u64);
        Self {
            p50: us(50),
            p90: us(90),
            p99: us(99),
            buckets: counts.clone(),
        }
    }
}
