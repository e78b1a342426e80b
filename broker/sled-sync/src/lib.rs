//! Makes a flush of sled 0.34 reach the disk.
//!
//! On Linux `sled::Db::flush` ends in `sync_file_range`, which neither writes metadata nor empties
//! the cache of the disk, and sled overwrites freed segments trusting it. This crate defines the C
//! symbol `sync_file_range`, and the linker prefers it to the one of the C library: it calls
//! `fdatasync` on the whole file instead. A failure reaches sled as a failure of the flush, and is
//! kept here as well, because sled's background thread only logs one.
//!
//! The symbol holds for the whole process: any other code in it that calls `sync_file_range` gets
//! an `fdatasync`, which does more and takes longer. A program that embeds the broker and cannot
//! have that leaves the feature `honest-sled-sync` of the broker out.
//!
//! Nothing proves here that the linker took this symbol; the broker does so at every start, by
//! flushing once and looking at [`calls`].

#[cfg(target_os = "linux")]
mod linux;

use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

static CALLS: AtomicU64 = AtomicU64::new(0);
/// 0 is no error number.
static FAILURE: AtomicI32 = AtomicI32::new(0);

/// How often `sync_file_range` has been called in this process and come here.
pub fn calls() -> u64 {
    CALLS.load(Ordering::Acquire)
}

/// The error number of the first `fdatasync` of those that failed. It stays: after a failed sync
/// nobody knows what is on the disk, and a later one that succeeds does not change that.
pub fn failure() -> Option<i32> {
    Some(FAILURE.load(Ordering::Acquire)).filter(|errno| *errno != 0)
}
