//! A request from its acceptance to its end.

use std::sync::Arc;

use super::command::Content;
use super::service::ServerKey;
use crate::command::QueueName;
use crate::id::{ConnectionId, GatewayId, Micros};

/// See the module.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) gateway: GatewayId,
    /// Where it is, or waits to be.
    pub(super) service: QueueName,
    /// Which it asks for; empty: any.
    pub(super) version: Arc<str>,
    pub(super) endpoint: Arc<str>,
    /// Until when the reply must have begun.
    pub(super) deadline_us: Micros,
    pub(super) forwards: u32,
    pub(super) stage: Stage,
    /// Who brings further parts of the request's body, and how much of it was asked for.
    pub(super) source: Source,
    pub(super) body_credit: u64,
    /// The worker asked for further parts, so that they are on their way to nobody else.
    pub(super) body_asked: bool,
    /// What the worker may still send of the reply's body.
    pub(super) reply_credit: u64,
}

/// How far a request is.
#[derive(Debug)]
pub(super) enum Stage {
    /// In line, from this time on.
    Waiting {
        order: u64,
        since_us: Micros,
        content: Content,
    },
    /// A worker has it.
    Held(Lease),
    /// The reply has begun and is not at its end.
    Replying(Lease),
}

/// A worker's right to answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    pub(super) token: u64,
    pub(super) server: ServerKey,
    pub(super) since_us: Micros,
    /// Of the first part, which count against the worker's credit.
    pub(super) bytes: u64,
}

/// Who brings further parts of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// There are none.
    Nobody,
    Caller,
    /// The worker that passed it on, by its ended lease.
    Forwarder(ConnectionId, u64),
}

impl Open {
    pub(super) fn lease(&self) -> Option<&Lease> {
        match &self.stage {
            Stage::Waiting { .. } => None,
            Stage::Held(lease) | Stage::Replying(lease) => Some(lease),
        }
    }
}
