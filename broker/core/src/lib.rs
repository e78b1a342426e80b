//! The pure heart of the broker: what a job, a queue, a lease and a producer are and how they change.
//!
//! Nothing here reads a clock, draws a random number, touches a file, waits or logs: time comes in
//! as an argument, and everything that has to happen outside goes out as a value. Start reading at
//! [`Shard`]: [`Shard::handle`] decides one command, [`Shard::tick`] does what time asks for, and
//! [`Shard::replay`] applies events that were decided before.
//!
//! The contract with the caller is *decide, persist, tell*: an [`Effect`] that comes with an
//! [`Lsn`] may leave only after every durable event up to that number is on the disk.
//!
//! | file | what stands there |
//! |---|---|
//! | `shard.rs` | the state of a shard and its one door in |
//! | `decide/` | one file a family of commands: what is allowed, which events follow |
//! | `job.rs` | a job, its states and all of its moves |
//! | `live.rs`, `index.rs` | the jobs of a running shard and everything that finds them again |
//! | `queue.rs`, `lane.rs` | the order in which jobs leave a queue |
//! | `session.rs` | who is there: sessions, subscriptions, credit |
//! | `ledger.rs`, `producer.rs` | the small durable state beside the jobs |
//! | `topic.rs`, `topic/` | topics: partitions, retention, groups, who reads |
//! | `request.rs`, `request/` | requests to services: what of them is journaled stands in `request/book.rs` |
//! | `event.rs`, `codec/` | what is journaled, and its bytes |

mod codec;
mod command;
mod decide;
mod effect;
mod event;
mod id;
mod index;
mod job;
mod lane;
mod ledger;
mod limits;
mod live;
mod producer;
mod queue;
mod request;
mod session;
mod shard;
mod table;
mod topic;

pub use codec::{
    BodyRun, CodecError, EventReader, RecordRun, RecordTables, Written, encode_clock, encode_event,
    record,
};
pub use command::{
    Caller, Command, JobOptions, Lengths, Publish, Push, QueueName, RecordLengths, Settle,
    SettleKind, Start, Target, TopicCommand, TopicName, TopicSubscribe,
};
pub use effect::{
    Addressed, Assignment, Delivery, Effect, GroupStats, PartitionStats, PeekedJob, QueueStats,
    Refusal, TopicEffect, TopicStats,
};
pub use event::{AcceptedRequest, Event, Published, Pushed, RequestEvent, TopicEvent};
pub use id::{
    ConnectionId, GatewayId, JobId, Lsn, Micros, Millis, Offset, PartitionId, ProducerId, QueueId,
    RecordId, RequestId, SessionId, SubscriptionKey, TopicId,
};
pub use job::{Job, JobState, Lease, Lending, Place};
pub use ledger::{JobSlots, Ledger};
pub use limits::Limits;
pub use request::{
    Book, Content, Disk, DiskOutput, Durable, Forward, Health, Histogram, Holder, InstanceStats,
    NewRequest, Part, Reply, RequestCommand, RequestEffect, RequestLimits, RequestOutput,
    RequestResult, Requests, Serve, ServerCounts, ServerInfo, ServiceStats, ServiceTotals, Side,
    Stored, TraceKind, TraceStep, TracedRequest,
};
pub use shard::{Output, Shard};
pub use topic::Retention;
