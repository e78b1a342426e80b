//! Whether a peer really syncs. One push at a time on one connection, each awaited: if there were fewer
//! syncs than pushes, some were answered without one.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;

use super::{Home, Load, Peer};

/// Syncs of a peer while it took so many pushes, one at a time.
///
/// # Errors
/// If strace is not there, or there were fewer syncs than pushes.
pub async fn syncs_of_awaited_pushes<P: Peer>(
    program: &Path,
    data: PathBuf,
    pushes: u64,
    body: &Bytes,
) -> Result<u64> {
    let trace = data.with_extension("trace");
    let load = |jobs| Load {
        jobs,
        connections: 1,
        in_flight: 1,
        body: body.clone(),
    };
    let home = Home {
        program: program.to_path_buf(),
        data,
        trace: Some(trace.clone()),
    };
    let mut peer = P::start(home).await.context("under strace")?;
    // Files and segments are made by the first.
    peer.push(&load(1)).await?;
    let before = count(&trace)?;
    peer.push(&load(pushes)).await?;
    let syncs = count(&trace)? - before;
    peer.kill().await?;
    ensure!(
        syncs >= pushes,
        "{pushes} pushes were answered, one after the other, with {syncs} syncs: it answers before the disk has them"
    );
    Ok(syncs)
}

fn count(trace: &Path) -> Result<u64> {
    let text = fs::read_to_string(trace).context("reading what strace wrote")?;
    let is_call = |line: &&str| line.contains(" fsync(") || line.contains(" fdatasync(");
    Ok(text.lines().filter(is_call).count() as u64)
}
