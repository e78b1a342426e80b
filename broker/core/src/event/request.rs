//! What has been decided about requests of durability `disk`.

use std::sync::Arc;

use bytes::Bytes;

use crate::effect::Refusal;
use crate::id::{JobId, Millis, RequestId};

/// One thing that happened to such requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestEvent {
    /// One was taken in.
    Accepted(Box<AcceptedRequest>),
    /// It was given to a worker.
    Started {
        /// Which.
        request: RequestId,
    },
    /// It goes on to the service that is named, with this body. Namespace, fingerprint and deadline
    /// stay what they were and are not journaled.
    Forwarded(Box<AcceptedRequest>),
    /// It was answered.
    Replied {
        /// Which.
        request: RequestId,
        /// As in HTTP.
        status: u32,
        /// Until when the answer is kept.
        until_ms: Millis,
        /// The id of header block and body.
        body: JobId,
        /// Bytes of the header block.
        header_length: u32,
        /// Header block and body.
        payload: Bytes,
    },
    /// It ended without an answer.
    Failed {
        /// Which.
        request: RequestId,
        /// Why.
        refusal: Refusal,
        /// The service that had it; empty: it waited.
        holder: Arc<str>,
        /// Until when this is kept.
        until_ms: Millis,
    },
    /// Results are not kept any longer.
    Forgotten {
        /// Whose.
        requests: Vec<RequestId>,
    },
}

/// A request as it was taken in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AcceptedRequest {
    /// Its name.
    pub request: RequestId,
    /// Where its service stands.
    pub namespace: Arc<str>,
    /// Who is to do it.
    pub service: Arc<str>,
    /// Only workers of this version; empty: any.
    pub version: Arc<str>,
    /// What of the service.
    pub endpoint: Arc<str>,
    /// When it must have been answered.
    pub deadline_ms: Millis,
    /// Tells whether the same is asked again.
    pub fingerprint: u128,
    /// The id of header block and body.
    pub body: JobId,
    /// Bytes of the header block.
    pub header_length: u32,
    /// Header block and body.
    pub payload: Bytes,
}

impl RequestEvent {
    /// The id of the body that comes with it.
    #[must_use]
    pub fn body(&self) -> Option<JobId> {
        match self {
            Self::Accepted(it) | Self::Forwarded(it) => Some(it.body),
            Self::Replied { body, .. } => Some(*body),
            Self::Started { .. } | Self::Failed { .. } | Self::Forgotten { .. } => None,
        }
    }
}
