//! The broker that the load is put on.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use verteilt_benches::disk::sync_median;
use verteilt_benches::load;
use verteilt_benches::process::{Broker, Launch};
use verteilt_benches::scratch::Scratch;

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
        queue: &str,
    ) -> Result<Self, Failure> {
        let Some(url) = url else {
            let own = Self::start(data).await;
            return own.map_err(|error| Failure::work(format!("{error:#}")));
        };
        let claimed = load::claim(&url, queue).await;
        claimed.map_err(|error| explain(&url, &error))?;
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

    /// Leaves somebody's queue as it was found.
    pub(super) async fn tidy_up(&self, queue: &str) -> Result<(), Failure> {
        let Self::Named { url } = self else {
            return Ok(());
        };
        let emptied = load::empty(url, queue).await;
        emptied.map_err(|error| explain(url, &error))
    }
}
