//! What a test can put under the file journal.

use std::{fmt::Debug, io, path::Path};

/// One thing that the journal is about to do to the disk.
#[derive(Debug)]
pub(in crate::journal) enum DiskOperation<'a> {
    Create(&'a Path),
    Write(&'a Path, u64, &'a [u8]),
    Sync(&'a Path),
    Rename(&'a Path, &'a Path),
    Remove(&'a Path),
    SyncFolder,
}

/// Sees every operation before it happens; an error keeps it from happening.
pub(in crate::journal) trait DiskHook: Debug + Send + Sync {
    fn before(&self, operation: &DiskOperation<'_>) -> io::Result<()>;
}
