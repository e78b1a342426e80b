//! Backups: the pairs of the store that one manifest names, in one file. So a backup is exact at
//! one log sequence number, and needs no journal.
//!
//! | file | what stands there |
//! |---|---|
//! | `format.rs` | the bytes of the file |
//! | `writer.rs` | a pinned checkpoint to those bytes, piece by piece |
//! | `file.rs` | the file as a store that can be read |
//! | `restore.rs` | a new data folder from it |

mod file;
mod format;
mod restore;
mod writer;

pub(crate) use file::{BackupError, BackupFile};
pub use restore::{RestoreError, Restored, restore};
pub(crate) use writer::BackupWriter;
