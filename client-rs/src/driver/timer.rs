//! One timer for everything that has a time.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep};

/// Fires at the earliest of the times it was told.
#[derive(Default)]
pub(super) struct Timer {
    at: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    /// Fires at `at` or earlier.
    pub(super) fn lower(&mut self, at: Option<Instant>) {
        let Some(at) = at else { return };
        if self.at.is_some_and(|known| known <= at) {
            return;
        }
        self.at = Some(at);
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(at),
            none @ None => *none = Some(Box::pin(tokio::time::sleep_until(at))),
        }
    }

    /// Ready once when the time has come; then it has to be told again.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let (Some(_), Some(sleep)) = (self.at, &mut self.sleep) else {
            return Poll::Pending;
        };
        std::task::ready!(sleep.as_mut().poll(context));
        self.at = None;
        Poll::Ready(())
    }
}

/// The earlier of two times that may be missing.
pub(super) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        _ => one.or(other),
    }
}
