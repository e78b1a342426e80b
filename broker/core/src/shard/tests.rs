//! A shard driven by hand.

use crate::Limits;

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
        stats_queues_max: 1_000,
        delivery_jobs_max: 1_024,
    }
}
