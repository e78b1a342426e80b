//! Every number of the protocol and every default that clients and broker share, in one place.
//! The unit stands last in the name.

/// Port of the broker: the protocol of this crate.
pub const BROKER_PORT: u16 = 7450;
/// Port of the HTTP gateway.
pub const GATEWAY_PORT: u16 = 7480;
/// Port of metrics and health.
pub const METRICS_PORT: u16 = 7490;

/// Most bytes of the name of a queue, topic, service or namespace.
pub const NAME_BYTES_MAX: usize = 200;
/// The namespace of a client that names none.
pub const NAMESPACE_DEFAULT: &str = "default";
/// Bytes of a session, producer, broker, request or gateway id.
pub const ID_BYTES: usize = 16;
/// Most bytes of a client's name and of its version in HELLO.
pub const CLIENT_NAME_BYTES_MAX: usize = 200;

/// Most bytes of a frame, counted as its length field counts: without those four bytes.
pub const FRAME_BYTES_MAX: usize = 1024 * 1024;
/// Most bytes of one job, header block and body together; in parts if they do not fit into a frame.
pub const BODY_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Most bytes of one job's header block.
pub const HEADER_BYTES_MAX: usize = 64 * 1024;
/// Most jobs, ids or records of one frame.
pub const BATCH_JOBS_MAX: usize = 16_384;
/// Bytes of a body in one PUSH_PART or DELIVER_PART frame: leaves room for the message.
pub const PART_BYTES: usize = FRAME_BYTES_MAX - 64 * 1024;
/// Bytes of all unfinished uploads of a broker together.
pub const UPLOAD_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Each side sends something at least this often, in milliseconds.
pub const HEARTBEAT_MS: u32 = 15_000;
/// Heartbeats missed in a row after which the other side is gone.
pub const HEARTBEATS_MISSED_MAX: u32 = 2;
/// Milliseconds from the accepted connection to HELLO.
pub const HANDSHAKE_DEADLINE_MS: u64 = 5_000;
/// Connections of a broker.
pub const CONNECTIONS_MAX: usize = 10_000;
/// Subscriptions and waiting RESERVE of one connection together.
pub const SUBSCRIPTIONS_MAX: usize = 1_024;
/// Most jobs of a subscription's credit; more is cut to this.
pub const CREDIT_JOBS_MAX: u32 = 65_536;
/// Bytes of a subscription's credit that names none.
pub const CREDIT_BYTES_DEFAULT: u64 = 8 * 1024 * 1024;
/// Most bytes of a subscription's credit; more is cut to this.
pub const CREDIT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Most jobs of one QUEUE_PEEK; more is cut to this.
pub const PEEK_JOBS_MAX: u32 = 1_000;
/// Most jobs of one QUEUE_PURGE; more is cut to this.
pub const PURGE_JOBS_MAX: u32 = 10_000;
/// Queues of a broker.
pub const QUEUES_MAX: usize = 10_000;

/// Topics of a broker.
pub const TOPICS_MAX: usize = 1_000;
/// Partitions of one topic.
pub const PARTITIONS_MAX: u32 = 1_024;
/// Partitions of all topics of a broker together.
pub const PARTITIONS_TOTAL_MAX: usize = 65_536;
/// Consumer groups of one topic.
pub const GROUPS_MAX: usize = 1_000;
/// Most bytes of one record: key, header block and value together.
pub const RECORD_BYTES_MAX: usize = FRAME_BYTES_MAX - 64 * 1024;
/// Most records of a subscription's credit; more is cut to this.
pub const CREDIT_RECORDS_MAX: u32 = 65_536;

/// Bytes of payload that a client may push before it is granted more.
pub const PUSH_CREDIT_BYTES: u64 = 1024 * 1024;

/// Priority of a push that names none; higher runs first.
pub const PRIORITY_DEFAULT: i32 = 0;
/// Milliseconds a worker holds a job without a touch.
pub const LEASE_MS_DEFAULT: u64 = 30_000;
/// Longest lease, in milliseconds: 24 hours.
pub const LEASE_MS_MAX: u64 = 24 * 60 * 60 * 1_000;
/// Runs of a job in all before it is dead.
pub const ATTEMPTS_DEFAULT: u32 = 20;
/// Most runs that a push may ask for.
pub const ATTEMPTS_MAX: u32 = 65_535;
/// Longest delay of a push or a nack, in milliseconds: 366 days.
pub const DELAY_MS_MAX: u64 = 366 * 24 * 60 * 60 * 1_000;
/// Longest wait of a RESERVE, in milliseconds; a longer one is cut to this.
pub const RESERVE_WAIT_MS_MAX: u64 = 60 * 60 * 1_000;
/// Wait before the second run of a failed job, in milliseconds.
pub const BACKOFF_MS_FIRST: u64 = 1_000;
/// Each further wait is this many times the one before.
pub const BACKOFF_FACTOR: u32 = 2;
/// Longest wait between two runs, in milliseconds.
pub const BACKOFF_MS_MAX: u64 = 10 * 60 * 1_000;
/// A wait is lengthened or shortened by up to this many percent, so that failures spread out.
pub const BACKOFF_JITTER_PERCENT: u32 = 10;

/// Milliseconds after a restart of the broker in which a session may come back to its leases.
pub const RESUME_GRACE_MS: u64 = 10_000;
/// Latest sequences of a producer within which a double is known.
pub const PRODUCER_WINDOW: u64 = 1_024;
/// Milliseconds without a push after which a producer is forgotten: 24 hours.
pub const PRODUCER_IDLE_MS: u64 = 24 * 60 * 60 * 1_000;
/// Milliseconds in which a unique key or message id is known.
pub const UNIQUE_WINDOW_MS: u64 = 10 * 60 * 1_000;
/// Unique keys or message ids that are known at one time.
pub const UNIQUE_WINDOW_COUNT: usize = 1_000_000;
/// Milliseconds that the result of a request of durability `disk` is kept: 24 hours.
pub const RESULT_KEPT_MS: u64 = 24 * 60 * 60 * 1_000;

/// Bytes of one journal segment.
pub const JOURNAL_SEGMENT_BYTES: u32 = 64 * 1024 * 1024;
/// Bytes of journal at which pushes are held back.
pub const JOURNAL_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Bytes of cache of the store.
pub const STORE_CACHE_BYTES: usize = 8 * 1024 * 1024;

/// Leases that one HELLO names at most.
pub const HELD_LEASES_MAX: usize = 10_000;

/// Milliseconds in which the reply to a request that names no deadline must have begun.
pub const REQUEST_DEADLINE_MS_DEFAULT: u64 = 30_000;
/// Longest deadline of a request, in milliseconds: 24 hours. A longer one is cut to this.
pub const REQUEST_DEADLINE_MS_MAX: u64 = 24 * 60 * 60 * 1_000;
/// Milliseconds that an inbox waits for its client after a lost connection: one setting of a broker.
pub const INBOX_GRACE_MS: u64 = RESUME_GRACE_MS;
/// Bytes of a reply's body that may be sent behind its first frame before the caller grants more. Of
/// a request's body none: it waits for a worker that reads it.
pub const REPLY_CREDIT_BYTES: u64 = 64 * 1024;
/// Bytes of a body in one BODY_PART frame that a client sends at most.
pub const STREAM_PART_BYTES: usize = 64 * 1024;
/// Requests of one inbox that are open at one time.
pub const REQUESTS_OPEN_MAX: usize = 16_384;
/// Requests that wait for a worker of one service.
pub const REQUESTS_WAITING_MAX: usize = 65_536;
/// Bytes of all requests that wait for a worker, and of all replies that wait for their client.
pub const REQUEST_BYTES_WAITING_MAX: u64 = 64 * 1024 * 1024;
/// Services of a broker, and SERVE subscriptions of all its connections together.
pub const SERVICES_MAX: usize = 10_000;
/// Most requests of the credit of a SERVE; more is cut to this.
pub const CREDIT_REQUESTS_MAX: u32 = 65_536;
/// Forwards of one request.
pub const FORWARDS_MAX: u32 = 32;
/// Requests whose way is remembered.
pub const TRACES_MAX: usize = 4_096;
/// Bytes of header block and body, together, of a request of durability `disk`, and of its reply.
pub const STORED_BYTES_MAX: usize = PART_BYTES;
/// Requests of durability `disk` of one broker that have no result yet.
pub const REQUESTS_ACCEPTED_MAX: usize = 65_536;
/// Workers that such a request is given to, one after the other.
pub const REQUEST_ATTEMPTS_MAX: u16 = ATTEMPTS_DEFAULT as u16;
/// Results of such requests that a broker keeps; with more, the oldest go before their time.
pub const RESULTS_MAX: usize = 100_000;
/// Bytes of those results.
pub const RESULT_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Longest wait of a RESULT, in milliseconds; a longer one is cut to this.
pub const RESULT_WAIT_MS_MAX: u64 = 5 * 60 * 1_000;
/// Bytes of a fingerprint of a request.
pub const FINGERPRINT_BYTES_MAX: usize = 32;
/// Endpoints and metadata entries of one SERVE, each.
pub const SERVE_ENTRIES_MAX: usize = 256;
/// Bytes of the texts of one SERVE together.
pub const SERVE_BYTES_MAX: usize = 16 * 1024;
/// Most bytes of a service's version, an endpoint or an instance.
pub const LABEL_BYTES_MAX: usize = 200;
