//! The broker of Verteilt as a library: durable job queues behind a binary protocol.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use verteilt_broker::{Broker, BrokerConfig};
//!
//! let broker = Broker::start(BrokerConfig::new("data", "127.0.0.1:0".parse()?))?;
//! println!("listening on {}", broker.local_addr());
//! broker.stop(std::time::Duration::from_secs(10)).await?;
//! # Ok(()) }
//! ```
//!
//! Work goes `net` -> `engine` -> `journal` and back; beside it the `follower` brings what survives
//! into the `store`. Only `convert` knows both the wire and the core.
//!
//! The crate defines the C symbol `sync_file_range` for the whole process, so that sled's flush is a
//! real fdatasync; build without the feature `honest-sled-sync` where that is not wanted.

mod backup;
pub mod bare;
mod broker;
mod clock;
mod config;
mod convert;
pub mod embed;
mod engine;
mod error;
mod folder;
mod follower;
pub mod journal;
mod lock;
mod meters;
mod net;
mod recovery;
mod running;
mod service_meters;
pub mod space;
mod status;
pub mod store;
mod verify;

pub use backup::{RestoreError, Restored, restore};
pub use broker::Broker;
pub use config::BrokerConfig;
pub use engine::Failure;
pub use error::StartError;
pub use lock::FolderOwner;
pub use space::DiskRoom;
pub use status::{BrokerFailure, Health};
pub use verify::{
    FileReport, Problem, QueueReport, Report, ReportKind, TopicReport, Verdict, VerifyError, verify,
};
