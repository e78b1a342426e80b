//! The first failure is the last word.

use std::sync::{Arc, OnceLock};

use super::JournalError;

#[derive(Debug, Default)]
pub(super) struct Latch {
    failure: OnceLock<Arc<JournalError>>,
}

impl Latch {
    /// Refuses everything after the first failure.
    pub(super) fn check(&self) -> Result<(), JournalError> {
        match self.failure.get() {
            Some(cause) => Err(JournalError::Failed {
                cause: Arc::clone(cause),
            }),
            None => Ok(()),
        }
    }

    /// Keeps the first failure, and returns the final error that everyone gets from now on.
    pub(super) fn set(&self, error: JournalError) -> JournalError {
        let cause = match error {
            JournalError::Failed { cause } => cause,
            other => Arc::new(other),
        };
        let mut is_first = false;
        let latched = self.failure.get_or_init(|| {
            is_first = true;
            cause
        });
        if is_first {
            tracing::error!(cause = %latched, "the journal failed and stays so");
        }
        JournalError::Failed {
            cause: Arc::clone(latched),
        }
    }
}
