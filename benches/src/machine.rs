//! What was measured on, as far as it tells the reader something.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

/// Beside every set of figures.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// Processors that this process may use.
    pub processors: usize,
    /// The kernel's release.
    pub kernel: String,
    /// What the data folder lies on.
    pub filesystem: String,
    /// Runnable processes in the last minute, before the run: above the processors, somebody else
    /// was at work.
    pub load_before: String,
}

impl Machine {
    /// Looks around.
    #[must_use]
    pub fn look(filesystem: &str) -> Self {
        let line = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let load = line("/proc/loadavg");
        Self {
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: line("/proc/sys/kernel/osrelease").trim().to_owned(),
            filesystem: filesystem.to_owned(),
            load_before: load.split(' ').next().unwrap_or_default().to_owned(),
        }
    }
}

/// The kind of file system that a folder is on.
///
/// # Errors
/// If the folder is not there.
pub fn filesystem_of(folder: &Path) -> Result<String> {
    let folder = folder
        .canonicalize()
        .with_context(|| format!("looking at {}", folder.display()))?;
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut best: Option<(usize, &str)> = None;
    for line in mounts.lines() {
        let mut words = line.split(' ').skip(1);
        let (Some(point), Some(kind)) = (words.next(), words.next()) else {
            continue;
        };
        // A later mount hides an earlier one on the same point.
        if folder.starts_with(point) && best.is_none_or(|(length, _)| point.len() >= length) {
            best = Some((point.len(), kind));
        }
    }
    Ok(best.map_or("unknown", |(_, kind)| kind).to_owned())
}
