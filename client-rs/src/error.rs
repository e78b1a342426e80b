//! Everything that can go wrong, as values that say what to do next.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use verteilt_protocol::{ErrorCode, FrameError, NameError, wire};

/// Why a call failed. Cheap to clone: one error may answer many waiting calls.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The address of the broker cannot be read.
    #[error(
        "`{text}` is no broker address: {reason}; write it like verteilt://127.0.0.1:7450/namespace"
    )]
    Address {
        /// As given.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A name of a queue or a namespace breaks the rules.
    #[error("`{name}` is no valid name: {reason}; choose another")]
    BadName {
        /// As given.
        name: String,
        /// The rule that it breaks.
        reason: NameError,
    },
    /// An argument is out of its bounds.
    #[error("{reason}; correct the call")]
    BadArgument {
        /// Which, and what its bounds are.
        reason: String,
    },
    /// A body is over the limit; nothing was sent.
    #[error(
        "the body (with its headers) has {bytes} bytes, the limit is {limit}; keep it elsewhere and push a reference"
    )]
    BodyTooLarge {
        /// Length of body and header block.
        bytes: u64,
        /// Most bytes of both.
        limit: u64,
    },
    /// The headers of a job are over the limit; nothing was sent.
    #[error("the headers take {bytes} bytes, the limit is {limit}; move data into the body")]
    HeadersTooLarge {
        /// Bytes of the encoded header block.
        bytes: u64,
        /// Most bytes of a header block.
        limit: u64,
    },
    /// A backup ended before all of it had come; what came is of no use.
    #[error("the backup broke off: {reason}; take another one")]
    BackupBrokenOff {
        /// What happened.
        reason: String,
    },
    /// No connection to the broker came about.
    #[error("cannot connect to {address}: {source}; check the address and that the broker runs")]
    Connect {
        /// Where to.
        address: String,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The broker refused.
    #[error("the broker refused ({name}): {message}{}", hint(*code))]
    Refused {
        /// The code, if this client knows it.
        code: Option<ErrorCode>,
        /// Its number on the wire.
        number: u32,
        /// Its name, or `UNKNOWN`.
        name: &'static str,
        /// The broker's text.
        message: String,
        /// Whether the same call may succeed later, unchanged.
        retryable: bool,
        /// The broker's advice on when; zero: none.
        retry_after: Duration,
    },
    /// The lease of the job has ended: it may run elsewhere by now.
    #[error("the lease of job {id} is lost; drop what was done for it, it runs again elsewhere")]
    LeaseLost {
        /// The job.
        id: u64,
    },
    /// The job has been settled before.
    #[error("job {id} has been settled already; settle a job once")]
    AlreadySettled {
        /// The job.
        id: u64,
    },
    /// No answer in time. Whether the call took effect is not known.
    #[error(
        "no answer to {what} within {limit:?}; whether it took effect is unknown. \
         Look at the connection events and the broker's load, or allow more time"
    )]
    Deadline {
        /// The call.
        what: &'static str,
        /// How long it was waited for.
        limit: Duration,
    },
    /// The connection was lost and did not come back in the time allowed.
    #[error(
        "gave up reconnecting after {after:?}: {reason}; \
         make a new client once the broker is reachable, or allow more time"
    )]
    ReconnectGaveUp {
        /// How long it was tried.
        after: Duration,
        /// What the last attempt failed with.
        reason: String,
    },
    /// The broker in this process has ended, and the client with it.
    #[error("{reason}, and it was in this process; open it again, and make a new client of it")]
    BrokerEnded {
        /// Why.
        reason: String,
    },
    /// The peer does not keep the protocol.
    #[error("the peer broke the protocol: {reason}; check that it is a Verteilt broker, report it")]
    Protocol {
        /// What came.
        reason: String,
    },
    /// The system gave no random bytes, which identify a session.
    #[error("the system gave no random bytes: {reason}")]
    Entropy {
        /// What it said.
        reason: String,
    },
    /// The client is closed or closing.
    #[error("the client is closed; make a new one")]
    Closed,
}

fn hint(code: Option<ErrorCode>) -> String {
    code.map(|code| format!(". {}", code.hint()))
        .unwrap_or_default()
}

impl ClientError {
    /// The broker's code, or the one that fits a refusal made on this side. `None` where no code
    /// does: connecting, deadlines, a closed client.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused { code, .. } => *code,
            Self::BadName { .. } => Some(ErrorCode::BadName),
            Self::BadArgument { .. } => Some(ErrorCode::BadArgument),
            Self::BodyTooLarge { .. } => Some(ErrorCode::BodyTooLarge),
            Self::HeadersTooLarge { .. } => Some(ErrorCode::HeadersTooLarge),
            Self::LeaseLost { .. } => Some(ErrorCode::LeaseLost),
            Self::Address { .. }
            | Self::BackupBrokenOff { .. }
            | Self::Connect { .. }
            | Self::AlreadySettled { .. }
            | Self::Deadline { .. }
            | Self::ReconnectGaveUp { .. }
            | Self::BrokerEnded { .. }
            | Self::Protocol { .. }
            | Self::Entropy { .. }
            | Self::Closed => None,
        }
    }

    /// Whether the same call may succeed later, unchanged. A push that failed by
    /// [`ClientError::Deadline`] may have been taken all the same.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Refused { retryable, .. } => *retryable,
            Self::BackupBrokenOff { .. }
            | Self::Connect { .. }
            | Self::Deadline { .. }
            | Self::ReconnectGaveUp { .. } => true,
            _ => false,
        }
    }

    /// The broker's ERROR message as a value.
    pub(crate) fn refused(error: wire::Error) -> Self {
        let code = ErrorCode::from_number(error.code);
        Self::Refused {
            code,
            number: error.code,
            name: code.map_or("UNKNOWN", ErrorCode::name),
            message: error.message,
            // A code that this client does not know is judged by what came with it.
            retryable: code.map_or(error.retryable, ErrorCode::is_retryable),
            retry_after: Duration::from_millis(error.retry_after_ms),
        }
    }

    /// A refusal that came as a bare number.
    pub(crate) fn refused_number(number: u32) -> Self {
        Self::refused(wire::Error {
            code: number,
            ..wire::Error::default()
        })
    }

    pub(crate) fn protocol(reason: impl Into<String>) -> Self {
        Self::Protocol {
            reason: reason.into(),
        }
    }

    /// No further handshake can cure this one.
    pub(crate) fn ends_client(&self, in_handshake: bool) -> bool {
        let refused_for_good = matches!(
            self,
            Self::Refused {
                retryable: false,
                ..
            }
        );
        let taken_over = self.code() == Some(ErrorCode::SessionReplaced);
        let broker_fails = self.code() == Some(ErrorCode::StoreFailed);
        taken_over || (in_handshake && refused_for_good && !broker_fails)
    }
}

impl From<FrameError> for ClientError {
    fn from(error: FrameError) -> Self {
        Self::protocol(error.to_string())
    }
}
