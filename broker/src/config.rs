//! What a broker can be told, and what it does when it is told nothing.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use verteilt_core::{Limits, RequestLimits};
use verteilt_protocol::limits;

/// Everything a broker can be told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BrokerConfig {
    /// The data folder; made if it is not there. One broker at a time.
    pub data: PathBuf,
    /// Where to listen; port 0 takes a free one, see [`crate::Broker::local_addr`].
    pub listen: SocketAddr,
    /// Connections at a time.
    pub connections_max: usize,
    /// Bytes of a journal segment: a multiple of 4096, at least 4 MiB.
    pub segment_bytes: u32,
    /// The journal may hold so many bytes before pushes are held; at least four segments.
    pub journal_bytes_max: u64,
    /// Bytes of the disk that stay free, beside what the journal and the next checkpoint may need; at
    /// least 16 MiB. With less, what would stay on the disk is refused until there is more;
    /// acknowledgements and the like go on.
    pub disk_reserve_bytes: u64,
    /// A checkpoint begins when so many bytes have been journaled since the last one.
    pub checkpoint_bytes: u64,
    /// A checkpoint begins after so many milliseconds if anything happened.
    pub checkpoint_interval_ms: u64,
    /// Bytes that the bodies of `memory` jobs may take together.
    pub memory_bytes_max: u64,
    /// Bytes of bodies kept in memory for delivery.
    pub cache_bytes: usize,
    /// Bytes of sled's own cache.
    pub store_cache_bytes: u64,
    /// How long after a restart a session may come back to its leases, in milliseconds.
    pub resume_grace_ms: u64,
    /// Each side says something at least this often, in milliseconds.
    pub heartbeat_ms: u32,
    /// HELLO has to come within so many milliseconds.
    pub handshake_deadline_ms: u64,
    /// Bytes that a connection may push before it is granted more.
    pub push_credit_bytes: u64,
    /// The broker's thread looks for the next message for so many microseconds before it sleeps, as
    /// long as messages come that quickly one after the other; 0: it sleeps at once.
    pub busy_poll_us: u64,
    /// Queues at most.
    pub queues_max: u32,
    /// How long the result of a request of durability `disk` is kept, in milliseconds.
    pub result_keep_ms: u64,
    /// Such results at most; with more, the oldest go before their time.
    pub results_max: usize,
    /// Bytes of such results, likewise.
    pub result_bytes_max: u64,
}

/// What a quarter of it gathers fits into it together with the largest piece that one connection
/// hands in, which is two frames.
const SEGMENT_BYTES_MIN: u32 = 4 * 1024 * 1024;
const DISK_RESERVE_BYTES: u64 = 64 * 1024 * 1024;
/// The store writes in files' parts of some MiB, and moves what is in them.
const DISK_RESERVE_BYTES_MIN: u64 = 16 * 1024 * 1024;
const CHECKPOINT_BYTES: u64 = limits::JOURNAL_BYTES_MAX / 4;
const CHECKPOINT_INTERVAL_MS: u64 = 30_000;
const MEMORY_BYTES_MAX: u64 = 256 * 1024 * 1024;
const CACHE_BYTES: usize = 16 * 1024 * 1024;
/// What it takes to answer a client and to hear from it again, on a machine of few processors.
const BUSY_POLL_US: u64 = 200;
const SEAL_AFTER: Duration = Duration::from_millis(50);
const DELIVERY_JOBS_MAX: usize = 1_024;
/// At most 350 bytes each, so that they fit into one frame.
const STATS_QUEUES_MAX: usize = 2_000;
/// Topics at most 300 bytes each, positions of a group at most 25, so that they fit, too.
const STATS_TOPICS_MAX: usize = 2_000;
/// Services in one answer.
const STATS_SERVICES_MAX: usize = 100;

impl BrokerConfig {
    /// The defaults of the product, for this folder and address.
    #[must_use]
    pub fn new(data: impl Into<PathBuf>, listen: SocketAddr) -> Self {
        Self {
            data: data.into(),
            listen,
            connections_max: limits::CONNECTIONS_MAX,
            segment_bytes: limits::JOURNAL_SEGMENT_BYTES,
            journal_bytes_max: limits::JOURNAL_BYTES_MAX,
            disk_reserve_bytes: DISK_RESERVE_BYTES,
            checkpoint_bytes: CHECKPOINT_BYTES,
            checkpoint_interval_ms: CHECKPOINT_INTERVAL_MS,
            memory_bytes_max: MEMORY_BYTES_MAX,
            cache_bytes: CACHE_BYTES,
            store_cache_bytes: limits::STORE_CACHE_BYTES as u64,
            resume_grace_ms: limits::RESUME_GRACE_MS,
            heartbeat_ms: limits::HEARTBEAT_MS,
            handshake_deadline_ms: limits::HANDSHAKE_DEADLINE_MS,
            push_credit_bytes: limits::PUSH_CREDIT_BYTES,
            busy_poll_us: BUSY_POLL_US,
            queues_max: limits::QUEUES_MAX as u32,
            result_keep_ms: limits::RESULT_KEPT_MS,
            results_max: limits::RESULTS_MAX,
            result_bytes_max: limits::RESULT_BYTES_MAX,
        }
    }

    /// What is wrong with it, if anything.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.segment_bytes < SEGMENT_BYTES_MIN {
            return Err(format!(
                "segment_bytes must be at least {SEGMENT_BYTES_MIN}"
            ));
        }
        if self.journal_bytes_max < 4 * u64::from(self.segment_bytes) {
            return Err("journal_bytes_max must be at least four segments".to_owned());
        }
        if self.disk_reserve_bytes < DISK_RESERVE_BYTES_MIN {
            return Err(format!(
                "disk_reserve must be at least {DISK_RESERVE_BYTES_MIN}"
            ));
        }
        if self.checkpoint_bytes == 0 || self.checkpoint_bytes > self.journal_bytes_max / 2 {
            let text = "checkpoint_bytes must be above 0 and at most half of journal_bytes_max";
            return Err(text.to_owned());
        }
        if self.heartbeat_ms == 0 || self.handshake_deadline_ms == 0 {
            return Err("heartbeat_ms and handshake_deadline_ms must be above 0".to_owned());
        }
        if self.push_credit_bytes < limits::FRAME_BYTES_MAX as u64 / 4 {
            return Err("push_credit_bytes must be at least 262144".to_owned());
        }
        Ok(())
    }

    pub(crate) fn settings(&self) -> crate::engine::Settings {
        crate::engine::Settings {
            gathered_bytes_max: self.segment_bytes as usize / 8,
            journal_bytes_max: self.journal_bytes_max,
            checkpoint_bytes: self.checkpoint_bytes,
            checkpoint_interval: Duration::from_millis(self.checkpoint_interval_ms),
            seal_after: SEAL_AFTER,
            busy_poll: Duration::from_micros(self.busy_poll_us),
            requests: self.request_limits(),
        }
    }

    fn request_limits(&self) -> RequestLimits {
        RequestLimits {
            deadline_ms_default: limits::REQUEST_DEADLINE_MS_DEFAULT,
            deadline_ms_max: limits::REQUEST_DEADLINE_MS_MAX,
            inbox_grace_ms: self.resume_grace_ms,
            open_max: limits::REQUESTS_OPEN_MAX,
            waiting_max: limits::REQUESTS_WAITING_MAX,
            waiting_bytes_max: limits::REQUEST_BYTES_WAITING_MAX,
            services_max: limits::SERVICES_MAX,
            stats_services_max: STATS_SERVICES_MAX,
            forwards_max: limits::FORWARDS_MAX,
            reply_credit_bytes: limits::REPLY_CREDIT_BYTES,
            traces_max: limits::TRACES_MAX,
            attempts_max: limits::REQUEST_ATTEMPTS_MAX,
            accepted_max: limits::REQUESTS_ACCEPTED_MAX,
            stored_bytes_max: limits::STORED_BYTES_MAX as u64,
            result_keep_ms: self.result_keep_ms,
            results_max: self.results_max,
            result_bytes_max: self.result_bytes_max,
        }
    }

    /// What the core of a broker with this configuration is told.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits {
            queues_max: self.queues_max,
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
            resume_grace_ms: self.resume_grace_ms,
            memory_bytes_max: self.memory_bytes_max,
            upload_bytes_max: limits::UPLOAD_BYTES_MAX,
            body_bytes_max: limits::BODY_BYTES_MAX,
            topics_max: limits::TOPICS_MAX as u32,
            partitions_max: limits::PARTITIONS_MAX,
            partitions_total_max: limits::PARTITIONS_TOTAL_MAX as u32,
            groups_max: limits::GROUPS_MAX as u32,
            stats_topics_max: STATS_TOPICS_MAX,
            stats_queues_max: STATS_QUEUES_MAX,
            delivery_jobs_max: DELIVERY_JOBS_MAX,
            delivery_bytes_max: crate::convert::FRAME_ROOM_BYTES as u64,
        }
    }
}
