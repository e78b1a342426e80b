//! Every way in which the store can refuse or fail.

use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

/// Why the store refused or failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreError {
    /// An I/O error from the engine. What of the last changes is on the disk is unknown, so nothing
    /// may be acknowledged on top of it: stop, say why, restart. Latched.
    #[error("the store has stopped: {reason}")]
    Failed {
        /// What the engine said, and what to do.
        reason: Arc<str>,
    },
    /// The folder could not be opened.
    #[error("cannot open the store in {}: {reason}", folder.display())]
    Open {
        /// The folder of the store.
        folder: PathBuf,
        /// What stood in the way, and what to do if that is known.
        reason: Arc<str>,
    },
    /// `sync_file_range` of the running program is not ours, so a flush of sled is no fsync.
    #[error(
        "the store cannot be made durable in this program: sled flushes with sync_file_range, and \
         that symbol is not the one of verteilt-sled-sync (another library or LD_PRELOAD defines \
         it, or the linker dropped ours). Remove the other definition, or build without the \
         feature honest-sled-sync to accept that a power cut can damage the store"
    )]
    SyncNotInForce,
    /// What is on the disk is not what was written there.
    #[error(
        "the store is damaged at {key}: {reason}. Nothing was changed; restore the data folder \
         from a copy"
    )]
    Damaged {
        /// The key in words: kind, shard, number.
        key: String,
        /// What is wrong with its value.
        reason: &'static str,
    },
    /// The value was written by a version of the broker that this one does not know.
    #[error(
        "{key} has format version {version} and this broker knows version {known}; start the \
         version that wrote it"
    )]
    UnknownVersion {
        /// The key in words: kind, shard, number.
        key: String,
        /// The version found.
        version: u8,
        /// The version this broker writes.
        known: u8,
    },
    /// The block or page was dropped by a checkpoint that has been committed since the caller
    /// learned its number: look the place up again. Never a loss.
    #[error("{key} was dropped by a checkpoint")]
    Dropped {
        /// The key in words: kind, shard, number.
        key: String,
    },
    /// A key, value, page or block over its limit. Nothing was written.
    #[error("a {what} of {bytes} bytes is over the limit of {bytes_max}")]
    TooLarge {
        /// What was too large.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The caller asked for what makes no sense; the checkpoint it belongs to must be given up.
    #[error("checkpoint refused: {reason}")]
    Refused {
        /// The rule that was broken.
        reason: &'static str,
    },
}

impl StoreError {
    /// Whether the store is unusable from here on until the broker is started again.
    pub fn is_final(&self) -> bool {
        !matches!(
            self,
            Self::Dropped { .. } | Self::TooLarge { .. } | Self::Refused { .. }
        )
    }
}
