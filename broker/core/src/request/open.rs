//! A request from its acceptance to its end.

use std::sync::Arc;

use super::command::Content;
use super::durable::OnDisk;
use super::service::ServerKey;
use super::trace::TraceNumber;
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
    /// The way of further parts of the request's body, none when it is whole: the first link ends at
    /// the worker, each other one at the forwarder that the link before begins with.
    pub(super) links: Vec<Link>,
    /// What the worker may still send of the reply's body.
    pub(super) reply_credit: u64,
    /// What is beside that of one of durability `disk`.
    pub(super) on_disk: Option<Box<OnDisk>>,
    /// Where its way is remembered.
    pub(super) trace: TraceNumber,
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

/// One leg of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) from: Source,
    /// What may still be sent over it.
    pub(super) credit: u64,
    /// Its receiver asked for parts, so that they are on their way to nobody else.
    pub(super) asked: bool,
}

/// Who brings further parts of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Caller,
    /// The worker that passed it on, by its ended lease.
    Forwarder(ConnectionId, u64),
}

impl Link {
    pub(super) const fn new(from: Source) -> Self {
        Self {
            from,
            credit: 0,
            asked: false,
        }
    }
}

impl Open {
    /// Where somebody stands among those who bring parts.
    pub(super) fn link_from(&self, source: Source) -> Option<usize> {
        self.links.iter().position(|link| link.from == source)
    }

    pub(super) fn lease(&self) -> Option<&Lease> {
        match &self.stage {
            Stage::Waiting { .. } => None,
            Stage::Held(lease) | Stage::Replying(lease) => Some(lease),
        }
    }
}
