//! The Rust client of Verteilt.
//!
//! ```no_run
//! use verteilt_client::{Client, Credit};
//!
//! # async fn example() -> Result<(), verteilt_client::ClientError> {
//! let client = Client::connect("verteilt://127.0.0.1:7450").await?;
//!
//! let pushed = client.push("mail", "to: ada@example.org").await?;
//! println!("job {} is on the broker's disk", pushed.id);
//!
//! let mut jobs = client.subscribe("mail", Credit::jobs(16)).await?;
//! while let Some(job) = jobs.next().await {
//!     println!("run {} of job {}: {:?}", job.attempt(), job.id(), job.body());
//!     job.ack().await?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! An answer to [`Client::push`] means that the job is on the broker's disk, and an answer to
//! [`Job::ack`] that it never runs again. A connection that is lost comes back by itself; what was
//! unanswered is repeated without making doubles, and leases that the broker kept are still good.
//!
//! # Where to start
//! * [`Client`]: push, subscribe, reserve, look at queues; [`ClientBuilder`] for its limits.
//! * [`Topics`]: logs in partitions: publish, consume alone or as a group.
//! * [`Client::request`], [`Client::serve`]: requests that are answered, with bodies that may stream.
//! * [`Worker`]: a handler for a queue, with leases kept alive and an orderly shutdown.
//! * [`Job`]: what a worker may do with a job.
//! * [`ClientError`]: what can go wrong and whether to try again.
//!
//! # What is fast
//! Many pushes at one time, from tasks or joined futures: those to one queue with the same options
//! share a frame, without waiting for each other. The same holds for acks.
//! [`Client::push_batch`] does it for a list, and takes it as a whole or not at all.
//!
//! # Waits and their ends
//! | wait | ends after |
//! |---|---|
//! | connecting, with the handshake | [`ClientBuilder::connect_timeout`], 5 s |
//! | administration, subscribe | [`ClientBuilder::request_timeout`], 30 s, reconnects included |
//! | reserve | its own wait, and the request timeout on top |
//! | request | its deadline, 30 s, and 2 s on top; then the caller reads at its own pace |
//! | push | its deadline; by default none: it waits as long as the client lives |
//! | ack, nack, release, touch | the broker's answer; through reconnects, as long as the client lives |
//! | close | [`ClientBuilder::close_timeout`], 30 s |
//! | a piece of a backup | two of the broker's heartbeats |
//! | a lost connection | [`Reconnect::deadline`]; by default none |
//!
//! All futures may be dropped; each says what that means under *Cancel safety*. To bound a wait that
//! has no end of its own, wrap it in [`tokio::time::timeout`].

mod admin;
mod backup;
mod batch;
mod builder;
mod call;
mod client;
mod completion;
mod consumer;
mod driver;
#[cfg(feature = "embedded")]
pub mod embedded;
mod error;
mod events;
mod job;
mod keep_alive;
mod lot;
mod options;
mod push;
mod randomness;
mod reconnect;
mod request;
mod settle;
mod shared;
mod subscription;
mod topic;
mod transport;
mod url;
mod worker;

pub use verteilt_protocol::ErrorCode;

pub use crate::admin::{JobState, PeekedJob, QueueStats};
pub use crate::backup::{Backup, BackupSummary};
pub use crate::builder::ClientBuilder;
pub use crate::client::Client;
pub use crate::consumer::{Consumer, ConsumerOptions, Record, StartAt};
pub use crate::error::ClientError;
pub use crate::events::ConnectionEvent;
pub use crate::job::Job;
pub use crate::keep_alive::KeepAlive;
pub use crate::options::{Durability, Header, PushOptions, Pushed};
pub use crate::push::Pushing;
pub use crate::reconnect::Reconnect;
pub use crate::request::{
    Accepted, Body, Forwarding, GatewayId, Health, InstanceStats, Request, RequestContext,
    RequestId, RequestResult, Response, Sending, ServeOptions, ServiceStats, Serving, TraceKind,
    TraceStep, TracedRequest,
};
pub use crate::settle::Settling;
pub use crate::subscription::{Credit, Subscription};
pub use crate::topic::{
    GroupPosition, GroupStats, PartitionOffsets, PublishOptions, Published, Publishing, Retention,
    TopicOptions, TopicStats, Topics,
};
pub use crate::transport::{Connecting, Connector, Transport};
pub use crate::worker::{Worker, WorkerSummary};
