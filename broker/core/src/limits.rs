//! The bounds that decisions are made by. The caller fills them in; there is no default here,
//! because the numbers of the product stand in one place, and that is not this crate.

use crate::id::Millis;

/// Every number that a decision depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Queues of a shard.
    pub queues_max: u32,
    /// Subscriptions and waiting pulls of one session.
    pub subscriptions_max: u32,
    /// Runs of a job in all when its push names none.
    pub attempts_default: u16,
    /// Milliseconds of a lease when the push names none.
    pub lease_ms_default: u32,
    /// Longest lease that a push or a touch may ask for, in milliseconds.
    pub lease_ms_max: u32,
    /// Longest delay of a push or a nack, in milliseconds.
    pub delay_ms_max: u64,
    /// First wait after a failed run, in milliseconds; doubled for each further failure.
    pub backoff_ms_first: u64,
    /// Longest such wait.
    pub backoff_ms_max: u64,
    /// Spread of such a wait in percent of itself, each way.
    pub backoff_jitter_percent: u64,
    /// Pushes of one producer that are remembered, to answer a repeated one as the first time.
    pub producer_window: u32,
    /// A producer that has been silent for this long is forgotten.
    pub producer_idle_ms: Millis,
    /// How long a lease stays good for its session to come back after a restart.
    pub resume_grace_ms: Millis,
    /// Bytes that the bodies of `memory` jobs may take together.
    pub memory_bytes_max: u64,
    /// Bytes of all uploads together that no push has completed yet.
    pub upload_bytes_max: u64,
    /// Bytes of one body with its headers.
    pub body_bytes_max: u64,
    /// Topics of a shard.
    pub topics_max: u32,
    /// Partitions of one topic.
    pub partitions_max: u32,
    /// Partitions of all topics together.
    pub partitions_total_max: u32,
    /// Consumer groups of one topic.
    pub groups_max: u32,
    /// Topics or positions of groups in one answer with counts.
    pub stats_topics_max: usize,
    /// Queues in one answer with counts.
    pub stats_queues_max: usize,
    /// Jobs in one `Leased` event, and so in one delivery.
    pub delivery_jobs_max: usize,
    /// Bytes of several jobs in one delivery, so that it fits into one frame: a pull has one answer,
    /// and a lease token stands in one frame. One job is always allowed.
    pub delivery_bytes_max: u64,
}
