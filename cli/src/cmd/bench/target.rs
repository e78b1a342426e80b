//! The broker that the load is put on.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use verteilt_benches::disk::sync_median;
use verteilt_benches::load::{self, Kind};
use verteilt_benches::process::{Broker, Launch, processor_time, written_bytes};
use verteilt_benches::scratch::{Scratch, disk_bytes};

use super::explain;
use crate::failure::Failure;

/// Writes to the disk whose median is told beside the figures.
const SYNCS: usize = 200;

/// Whose broker it is.
pub(super) enum Target {
    /// Somebody's.
    Named {
        /// Where it listens.
        url: String,
    },
    /// Our own, gone with its folder when this is dropped.
    Own(Box<Own>),
}

/// What a broker and the load have used.
pub(super) struct Used {
    pub(super) processor: Duration,
    /// Of this process.
    pub(super) load_processor: Duration,
    /// To the disk, by the broker.
    pub(super) written_bytes: u64,
    /// Of its folder.
    pub(super) data_bytes: u64,
}

pub(super) struct Own {
    broker: Broker,
    pub(super) scratch: Scratch,
    /// What one 4 KiB write with its `fdatasync` takes there.
    pub(super) sync: Duration,
}

impl Target {
    /// The one at `url`, whose queue must be free, or one of our own with its data in `data`.
    pub(super) async fn find(
        url: Option<String>,
        data: &Path,
        kind: Kind,
        queue: &str,
    ) -> Result<Self, Failure> {
        let Some(url) = url else {
            let own = Self::start(data).await;
            return own.map_err(|error| Failure::work(format!("{error:#}")));
        };
        // A topic is looked for when it is made.
        if !kind.is_topic() {
            let claimed = load::claim(&url, queue).await;
            claimed.map_err(|error| explain(&url, &error))?;
        }
        Ok(Self::Named { url })
    }

    async fn start(data: &Path) -> anyhow::Result<Self> {
        let scratch = Scratch::new(data)?;
        let sync = sync_median(scratch.path(), SYNCS)?;
        let broker = Broker::start(Launch {
            binary: std::env::current_exe().context("looking for this program")?,
            data: scratch.fresh("broker")?,
            config: None,
            trace: None,
        })
        .await?;
        Ok(Self::Own(Box::new(Own {
            broker,
            scratch,
            sync,
        })))
    }

    pub(super) fn url(&self) -> &str {
        match self {
            Self::Named { url } => url,
            Self::Own(own) => own.broker.url(),
        }
    }

    /// What our own broker has used so far; nothing is known of another one's.
    pub(super) fn used(&self) -> Option<Used> {
        let Self::Own(own) = self else { return None };
        let id = own.broker.id().ok()?;
        Some(Used {
            processor: processor_time(id).ok()?,
            load_processor: processor_time(std::process::id()).ok()?,
            written_bytes: written_bytes(id).ok()?,
            data_bytes: disk_bytes(own.scratch.path()).ok()?,
        })
    }

    /// Leaves somebody's queue as it was found, and no topic of ours.
    pub(super) async fn tidy_up(&self, kind: Kind, queue: &str) -> Result<(), Failure> {
        let Self::Named { url } = self else {
            return Ok(());
        };
        let emptied = if kind.is_topic() {
            load::delete(url, queue).await
        } else {
            load::empty(url, queue).await
        };
        emptied.map_err(|error| explain(url, &error))
    }
}
