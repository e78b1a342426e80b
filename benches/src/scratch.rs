//! Where the servers keep their data while they are measured.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::machine;

/// Discards of a few gigabytes take less.
const CLEARED: Duration = Duration::from_secs(3);

/// A folder of one run. Gone when dropped, with everything in it.
#[derive(Debug)]
pub struct Scratch {
    folder: TempDir,
    made: AtomicU32,
    filesystem: String,
}

impl Scratch {
    /// In `parent`, which is made if it is not there.
    ///
    /// # Errors
    /// If the folder would be in memory: nothing is durable there, so nothing measured there counts.
    pub fn new(parent: impl AsRef<Path>) -> Result<Self> {
        let parent = parent.as_ref();
        fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
        let parent = parent
            .canonicalize()
            .with_context(|| format!("looking at {}", parent.display()))?;
        let filesystem = machine::filesystem_of(&parent)?;
        if ["tmpfs", "ramfs"].contains(&filesystem.as_str()) {
            bail!(
                "{} is on {filesystem}, which is memory: name a folder on a disk with --data",
                parent.display()
            );
        }
        let folder = tempfile::Builder::new()
            .prefix("bench-")
            .tempdir_in(&parent)
            .with_context(|| format!("making a folder in {}", parent.display()))?;
        let made = AtomicU32::new(0);
        Ok(Self {
            folder,
            made,
            filesystem,
        })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A new folder in it, its name beginning like this.
    ///
    /// # Errors
    /// What the system says.
    pub fn fresh(&self, name: &str) -> Result<PathBuf> {
        let made = self.made.fetch_add(1, Ordering::Relaxed);
        let path = self.path().join(format!("{name}-{made}"));
        fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(path)
    }

    /// Removes what [`Self::fresh`] made, and waits until the disk is done with it: freed blocks may
    /// be discarded later, in the middle of what is measured next.
    ///
    /// # Errors
    /// What the system says.
    pub async fn clear(&self) -> Result<()> {
        for entry in fs::read_dir(self.path())? {
            let path = entry?.path();
            if path.is_dir() {
                fs::remove_dir_all(&path)
                    .with_context(|| format!("removing {}", path.display()))?;
            }
        }
        settle().await?;
        tokio::time::sleep(CLEARED).await;
        Ok(())
    }

    /// What it lies on, such as `ext4`.
    #[must_use]
    pub fn filesystem(&self) -> &str {
        &self.filesystem
    }
}

/// Writes back what others left in the page cache, so that nobody pays for what came before.
///
/// # Errors
/// If there is no `sync` to run.
pub async fn settle() -> Result<()> {
    let done = tokio::process::Command::new("sync").status().await;
    let done = done.context("running sync")?;
    ensure!(done.success(), "sync ended with {done}");
    Ok(())
}

/// Bytes that the files of a folder take on the disk.
///
/// # Errors
/// What the system says; files that vanish meanwhile do not count.
pub fn disk_bytes(folder: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut bytes = 0;
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let entry = entry?;
        let Ok(about) = entry.metadata() else {
            continue;
        };
        bytes += if about.is_dir() {
            disk_bytes(&entry.path())?
        } else {
            about.blocks() * 512
        };
    }
    Ok(bytes)
}
