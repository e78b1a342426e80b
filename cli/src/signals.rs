//! SIGINT and SIGTERM: the first asks for a graceful stop, the second for one at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::failure::{Exit, Failure};

/// Tells that somebody wants this process to end.
#[derive(Clone, Debug)]
pub(crate) struct StopSignals {
    /// Cancelled by the first signal: finish what runs, start nothing.
    pub(crate) gently: CancellationToken,
    /// Cancelled by the second: leave everything as it is.
    pub(crate) at_once: CancellationToken,
    first: Arc<AtomicI32>,
}

impl StopSignals {
    /// Takes both signals over from now on.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let cannot = |error| Failure::work(format!("cannot listen for signals: {error}"));
        let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
        let signals = Self {
            gently: CancellationToken::new(),
            at_once: CancellationToken::new(),
            first: Arc::new(AtomicI32::new(0)),
        };
        let told = signals.clone();
        tokio::spawn(async move {
            for token in [&told.gently, &told.at_once] {
                let number = tokio::select! {
                    _ = interrupt.recv() => Signal::INT,
                    _ = terminate.recv() => Signal::TERM,
                };
                if !told.gently.is_cancelled() {
                    told.first.store(number.as_raw(), Ordering::Release);
                }
                token.cancel();
            }
        });
        Ok(signals)
    }

    /// How to end when the first signal came before the work was done.
    pub(crate) fn exit(&self) -> Exit {
        Exit::Signal(self.first.load(Ordering::Acquire))
    }
}
