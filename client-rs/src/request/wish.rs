//! What requests and services ask of the driver.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;
use verteilt_protocol::wire;

use super::id::RequestId;
use super::outlet::Outlet;
use super::sending::Outgoing;
use super::service::Service;
use crate::call::Command;
use crate::error::ClientError;
use crate::shared::Shared;

/// Which end of which request: a caller knows it by its id, a worker by its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Caller(RequestId),
    Worker(u64),
}

impl Side {
    /// The two fields that name a request on the wire.
    pub(crate) fn to_wire(self) -> (Bytes, u64) {
        match self {
            Self::Caller(request) => (request.to_wire(), 0),
            Self::Worker(token) => (Bytes::new(), token),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) enum Wish {
    Send(Box<Outgoing>),
    /// The caller has gone, or wants no more of the reply.
    Cancel(RequestId),
    Part {
        side: Side,
        payload: Bytes,
        more: bool,
        broken: bool,
    },
    Credit {
        side: Side,
        bytes: u64,
    },
    Reply {
        reply: wire::Reply,
        payload: Bytes,
        outlet: Option<Arc<Outlet>>,
    },
    Forward {
        forward: Box<wire::Forward>,
        payload: Bytes,
        outlet: Option<Arc<Outlet>>,
        taken: oneshot::Sender<Result<(), ClientError>>,
    },
    /// Requests for this service go there from now on, also after a reconnect.
    Register(Arc<Service>),
    /// No more of them.
    Unregister(u64),
    /// Its credit or health has changed.
    Update(u64),
}

impl Wish {
    /// The client has ended before it came to this.
    pub(crate) fn fail(self, error: &ClientError) {
        match self {
            Self::Send(outgoing) => outgoing.fail(error),
            Self::Reply {
                outlet: Some(outlet),
                ..
            } => outlet.close(),
            Self::Forward { taken, .. } => {
                // A handler that has been dropped does not mind.
                let _ = taken.send(Err(error.clone()));
            }
            Self::Register(service) => service.close(Some(error.clone())),
            _ => {}
        }
    }
}

impl Shared {
    /// Hands a wish to the driver.
    pub(crate) fn wish(&self, wish: Wish) -> Result<(), ClientError> {
        let counts = matches!(wish, Wish::Send(_) | Wish::Reply { .. });
        let mut pending = self.pending.lock();
        if let Some(error) = &pending.closed {
            return Err(error.clone());
        }
        pending.wishes += usize::from(counts);
        pending.commands.push_back(Command::Wish(wish));
        pending.wake_driver();
        Ok(())
    }
}
