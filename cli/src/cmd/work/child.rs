//! One run of the command.

use std::future::Future;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, ChildStdin, Command};
use tokio_util::task::AbortOnDropHandle;

use super::echo::Output;

/// From SIGTERM to SIGKILL for a command that is broken off.
const TERMINATE_GRACE: Duration = Duration::from_secs(2);

/// How a run ended.
#[derive(Debug)]
pub(super) enum Run {
    /// By itself.
    Exited(ExitStatus, Output),
    /// Because `broken_off` said so; all its processes are gone.
    BrokenOff,
}

/// Runs `command` with `body` on its standard input until it has exited and its standard output is
/// closed, or until `broken_off` comes first. Dropping the future kills the command.
pub(super) async fn run(
    mut command: Command,
    body: Bytes,
    broken_off: impl Future<Output = ()>,
) -> io::Result<Run> {
    // A group of its own: Ctrl-C in a terminal reaches us alone, so that running jobs can finish.
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let group = Group::of(&child);
    // Beside the reading: a command may write before it has read everything, or never read.
    let _feeding = child.stdin.take().map(|stdin| {
        let feeding = tokio::spawn(feed(stdin, body));
        AbortOnDropHandle::new(feeding)
    });
    let ended = tokio::select! {
        ended = finish(&mut child) => Some(ended),
        () = broken_off => None,
    };
    match ended {
        Some(Ok((status, output))) => {
            group.let_go();
            Ok(Run::Exited(status, output))
        }
        Some(Err(error)) => {
            group.end(&mut child).await?;
            Err(error)
        }
        None => {
            group.end(&mut child).await?;
            Ok(Run::BrokenOff)
        }
    }
}

/// The process is reaped last: until then its id, and with it the group's, belongs to nobody else.
async fn finish(child: &mut Child) -> io::Result<(ExitStatus, Output)> {
    let stdout = child.stdout.take().ok_or(io::ErrorKind::NotConnected)?;
    let output = Output::collect(stdout).await?;
    Ok((child.wait().await?, output))
}

async fn feed(mut stdin: ChildStdin, body: Bytes) {
    // The command need not read its input; its exit says whether all is well.
    let _not_read = stdin.write_all(&body).await;
}

/// The command and whatever it has started. Killed when dropped.
#[derive(Debug)]
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let number = child.id().and_then(|id| i32::try_from(id).ok());
        Self(number.and_then(Pid::from_raw))
    }

    /// Reaped: the id may be somebody else's from now on.
    fn let_go(mut self) {
        self.0 = None;
    }

    /// Asks it to end, then makes it.
    async fn end(self, child: &mut Child) -> io::Result<()> {
        self.signal(Signal::TERM);
        if tokio::time::timeout(TERMINATE_GRACE, child.wait())
            .await
            .is_err()
        {
            self.signal(Signal::KILL);
            child.wait().await?;
        }
        self.let_go();
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        // It may be gone already: the aim.
        let _gone = self.0.map(|group| kill_process_group(group, signal));
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}
