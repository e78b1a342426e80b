//! Other brokers under the same load: each as its own package starts it, on loopback, on the same disk,
//! told to sync before it answers.
//!
//! | file | what stands there |
//! |---|---|
//! | `mod.rs` | [`Peer`]: what is done to each of them |
//! | `server.rs` | a server as a child process |
//! | `wire.rs` | a connection, and requests kept in flight on it |
//! | `syncs.rs` | whether it really syncs: its system calls are counted |
//! | `verteilt.rs` | ourselves, through the client |
//! | `redis.rs`, `resp.rs` | Redis: a stream |
//! | `beanstalkd.rs` | beanstalkd: a tube |
//! | `nats.rs`, `nats_wire.rs` | NATS JetStream: a work queue |
//! | `rabbitmq.rs`, `amqp.rs` | RabbitMQ: a quorum queue |
//! | [`requests`] | requests and replies, next to core NATS |
//!
//! The clients here do only what the load needs: requests are bytes that were made before, answers are
//! walked without making anything of them. That gives each its best speed.

mod amqp;
mod beanstalkd;
mod nats;
mod nats_wire;
mod rabbitmq;
mod redis;
pub mod requests;
mod resp;
mod server;
mod syncs;
mod verteilt;
mod wire;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;

pub use beanstalkd::Beanstalkd;
pub use nats::Nats;
pub use rabbitmq::RabbitMq;
pub use redis::Redis;
pub use syncs::syncs_of_awaited_pushes;
pub use verteilt::Verteilt;

use crate::disk::SyncFile;

/// Samples of one kind before as many of the other: what disturbs one disturbs both.
const TURN: usize = 100;

/// What is put on a broker.
#[derive(Debug, Clone)]
pub struct Load {
    /// Jobs.
    pub jobs: u64,
    /// Connections.
    pub connections: usize,
    /// Requests that wait for their answer at one time on each of them.
    pub in_flight: usize,
    /// The body of every job.
    pub body: Bytes,
}

/// Where a broker lives.
#[derive(Debug, Clone)]
pub struct Home {
    /// Its program, where it is not looked for in the path: our own.
    pub program: PathBuf,
    /// Its data, and nobody else's.
    pub data: PathBuf,
    /// Where its syncs are written down, if they are.
    pub trace: Option<PathBuf>,
}

impl Home {
    /// Beside the data.
    fn log(&self) -> PathBuf {
        self.data.with_extension("log")
    }
}

/// A broker that the same is done to as to every other. Killed when dropped.
#[expect(
    async_fn_in_trait,
    reason = "awaited where it is called, on one thread, by our own programs"
)]
pub trait Peer: Sized {
    /// What it is called.
    const NAME: &'static str;
    /// What a push is there.
    const PUSH: &'static str;
    /// What reserve and ack are there.
    const WORK: &'static str;
    /// Whether it syncs once for each job, however many wait. Its rate is then that of the disk, and does
    /// not depend on the number of jobs.
    const SYNCS_EACH: bool = false;

    /// Its version and how it is set.
    ///
    /// # Errors
    /// If it is not installed.
    async fn about(program: &Path) -> Result<String>;

    /// Starts it on a free port, on an empty folder, and waits until it answers.
    ///
    /// # Errors
    /// If it does not come up.
    async fn start(home: Home) -> Result<Self>;

    /// Its process id.
    ///
    /// # Errors
    /// If it is gone.
    fn id(&self) -> Result<u32>;

    /// SIGKILL; returns when it is gone.
    ///
    /// # Errors
    /// What the system says.
    async fn kill(&mut self) -> Result<()>;

    /// Starts it again on its folder after a kill, and waits until it answers for what is there.
    ///
    /// # Errors
    /// If it does not come up.
    async fn start_again(&mut self) -> Result<()>;

    /// Pushes one by one, each answered. The time from the first request to the last answer.
    ///
    /// # Errors
    /// The first one that is not answered as it should be.
    async fn push(&mut self, load: &Load) -> Result<Duration>;

    /// Proves that what was pushed is there after a kill, no more and no less.
    ///
    /// # Errors
    /// If it is not.
    async fn check_pushed(&mut self, load: &Load) -> Result<()>;

    /// Takes and acks all of it, each ack answered where there are answers to acks.
    ///
    /// # Errors
    /// The first one that is not answered as it should be.
    async fn work(&mut self, load: &Load) -> Result<Duration>;

    /// How many jobs came back after a kill although they were acked.
    ///
    /// # Errors
    /// If that is more than the peer promises.
    async fn count_returned(&mut self, load: &Load) -> Result<u64>;

    /// A producer and a consumer that waits, on connections of their own.
    type Pair: Pair;

    /// Makes the pair.
    ///
    /// # Errors
    /// What the peer answers.
    async fn pair(&mut self) -> Result<Self::Pair>;
}

/// A producer and a consumer that waits.
#[expect(
    async_fn_in_trait,
    reason = "awaited where it is called, on one thread, by our own programs"
)]
pub trait Pair {
    /// Pushes one job and takes it. The time from the request to the job in the consumer's hands; the
    /// answer to the push and the ack are waited for and do not count.
    ///
    /// # Errors
    /// What the peer answers.
    async fn once(&mut self, body: &Bytes) -> Result<Duration>;
}

/// Samples of one broker.
#[derive(Debug, Default)]
pub struct Samples {
    /// From the push to the job in the consumer's hands.
    pub delivery: Vec<Duration>,
    /// One 4 KiB write with its `fdatasync`, in the same minutes.
    pub sync: Vec<Duration>,
}

/// Takes `count` samples of each kind, in turns.
///
/// # Errors
/// If a push, a delivery or a write fails.
pub async fn latency<P: Peer>(
    peer: &mut P,
    folder: &Path,
    count: usize,
    body: &Bytes,
) -> Result<Samples> {
    let mut pair = peer.pair().await?;
    let mut file = SyncFile::new(folder)?;
    let mut samples = Samples::default();
    while samples.delivery.len() < count {
        for _ in 0..TURN.min(count - samples.delivery.len()) {
            samples.delivery.push(pair.once(body).await?);
        }
        for _ in 0..TURN {
            samples.sync.push(file.sync()?);
        }
    }
    Ok(samples)
}
