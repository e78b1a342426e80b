//! Processes of services: started, started again when they die, and ended with us.
//!
//! Each holds the other end of a pipe as its standard input and ends when that closes: so it ends with
//! this process however this one ends.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Before it is started again; doubled with each death in a row.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Whoever has lived so long has not died in a row.
const STEADY: Duration = Duration::from_secs(10);
/// To finish what it has begun, when it shall end.
const GRACE: Duration = Duration::from_secs(5);

/// All that were started.
#[derive(Debug)]
pub(super) struct Children {
    stop: CancellationToken,
    keepers: TaskTracker,
}

/// What to start, again and again.
#[derive(Debug)]
struct Kept {
    service: &'static str,
    command: Command,
}

impl Children {
    /// Starts `node SERVICE/main.js` in `folder`, so many of each.
    pub(super) fn start(folder: &Path, services: &[(&'static str, u32)], url: &str) -> Self {
        let (stop, keepers) = (CancellationToken::new(), TaskTracker::new());
        for &(service, count) in services {
            for _ in 0..count {
                let command = command(folder, service, url);
                keepers.spawn(Kept { service, command }.keep(stop.clone()));
            }
        }
        keepers.close();
        Self { stop, keepers }
    }

    /// Asks all to end, and waits until they have.
    pub(super) async fn end(self) {
        self.stop.cancel();
        self.keepers.wait().await;
    }
}

fn command(folder: &Path, service: &str, url: &str) -> Command {
    let mut command = Command::new("node");
    command
        .arg(format!("{service}/main.js"))
        .arg("--until-stdin-closes")
        .current_dir(folder)
        .env("VERTEILT_URL", url)
        .stdin(Stdio::piped())
        // What goes wrong they say on standard error, which is ours.
        .stdout(Stdio::null())
        // A group of its own: Ctrl-C reaches us alone, who end them in their turn.
        .process_group(0)
        .kill_on_drop(true);
    command
}

impl Kept {
    async fn keep(mut self, stop: CancellationToken) {
        let mut deaths = 0;
        while !stop.is_cancelled() {
            let begun = Instant::now();
            let ended = match self.command.spawn() {
                Ok(child) => watch(child, &stop).await,
                Err(error) => Err(error),
            };
            if stop.is_cancelled() {
                return;
            }
            if begun.elapsed() >= STEADY {
                deaths = 0;
            }
            let pause = backoff(deaths);
            deaths += 1;
            match ended {
                Ok(status) => {
                    tracing::warn!(service = self.service, %status, ?pause, "a service ended; it is started again")
                }
                Err(error) => {
                    tracing::warn!(service = self.service, %error, ?pause, "a service cannot be run")
                }
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => {}
            }
        }
    }
}

/// Until it ends by itself, or is ended because of `stop`.
async fn watch(mut child: Child, stop: &CancellationToken) -> io::Result<ExitStatus> {
    let stdin = child.stdin.take();
    tokio::select! {
        status = child.wait() => return status,
        () = stop.cancelled() => drop(stdin),
    }
    if let Ok(status) = tokio::time::timeout(GRACE, child.wait()).await {
        return status;
    }
    child.kill().await?;
    child.wait().await
}

fn backoff(deaths: u32) -> Duration {
    let factor = 1u32.checked_shl(deaths).unwrap_or(u32::MAX);
    BACKOFF_FIRST.saturating_mul(factor).min(BACKOFF_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_end() {
        assert_eq!(backoff(0), Duration::from_millis(100));
        assert_eq!(backoff(3), Duration::from_millis(800));
        assert_eq!(backoff(6), BACKOFF_MAX);
        assert_eq!(backoff(u32::MAX), BACKOFF_MAX);
    }
}
