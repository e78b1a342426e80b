//! A job's output: kept until the job has ended, then printed whole and in one piece.

use std::fs::File;
use std::io::{self, Read, Seek as _, Write as _};
use std::os::fd::AsFd as _;
use std::sync::Arc;

use indicatif::ProgressBar;
use tempfile::SpooledTempFile;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::Mutex;

/// Output of one job kept in memory; what is longer goes to a temporary file without a name.
const MEMORY_BYTES: usize = 1024 * 1024;

/// Bytes of a pipe's usual capacity.
const READ_BYTES: usize = 64 * 1024;

/// All that a command wrote.
#[derive(Debug)]
pub(super) struct Output(SpooledTempFile);

impl Output {
    /// Reads to the end.
    pub(super) async fn collect(mut source: impl AsyncRead + Unpin) -> io::Result<Self> {
        let mut kept = SpooledTempFile::new(MEMORY_BYTES);
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let read = source.read(&mut buffer).await?;
            if read == 0 {
                kept.rewind()?;
                return Ok(Self(kept));
            }
            kept.write_all(&buffer[..read])?;
        }
    }
}

/// Standard output, one job at a time.
#[derive(Clone, Debug)]
pub(super) struct Echo {
    // Not std's own handle: that one cuts what it writes at line ends.
    out: Arc<Mutex<File>>,
    bar: ProgressBar,
}

impl Echo {
    /// Prints above `bar`, which may be a hidden one.
    pub(super) fn new(bar: ProgressBar) -> io::Result<Self> {
        let out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        Ok(Self {
            out: Arc::new(Mutex::new(out)),
            bar,
        })
    }

    /// Returns once everything is written. A slow reader makes this wait, on a thread of its own.
    pub(super) async fn print(&self, output: Output) -> io::Result<()> {
        let out = self.out.clone().lock_owned().await;
        let bar = self.bar.clone();
        let printed = tokio::task::spawn_blocking(move || bar.suspend(|| write(output, &out)));
        printed
            .await
            .unwrap_or_else(|panic| Err(io::Error::other(panic)))
    }
}

fn write(Output(mut kept): Output, mut out: &File) -> io::Result<()> {
    // In one write where it fits, so that other writers to the same pipe do not come between.
    let mut piece = Vec::with_capacity(READ_BYTES);
    loop {
        piece.clear();
        if (&mut kept as &mut dyn Read)
            .take(MEMORY_BYTES as u64)
            .read_to_end(&mut piece)?
            == 0
        {
            return out.flush();
        }
        out.write_all(&piece)?;
    }
}

/// As [`Echo::print`], to standard error.
pub(super) fn print_to_standard_error(Output(mut kept): Output) -> io::Result<()> {
    io::copy(&mut kept, &mut io::stderr().lock()).map(|_| ())
}
