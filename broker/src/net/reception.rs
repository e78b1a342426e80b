//! Lets connections in, up to their number, whatever they come over.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use verteilt_protocol::{ErrorCode, FrameType, encode};

use crate::bare::Door;

const REFUSAL_DEADLINE: Duration = Duration::from_secs(1);

/// Cheap to clone; all clones count together.
#[derive(Clone, Debug)]
pub(crate) struct Reception {
    door: Door,
    slots: Arc<Semaphore>,
    connections: metrics::Gauge,
    tracker: TaskTracker,
}

impl Reception {
    pub(crate) fn new(door: Door, connections_max: usize) -> Self {
        Self {
            door,
            slots: Arc::new(Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS))),
            connections: metrics::gauge!("verteilt_connections"),
            tracker: TaskTracker::new(),
        }
    }

    pub(crate) fn door(&self) -> &Door {
        &self.door
    }

    /// Every connection is a task of this one.
    pub(crate) fn tracker(&self) -> &TaskTracker {
        &self.tracker
    }

    /// Serves a connection, or turns it away if there are as many as there may be.
    pub(crate) fn receive<T>(&self, stream: T) -> impl Future<Output = ()> + Send + use<T>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let slot = Arc::clone(&self.slots).try_acquire_owned();
        let (door, connections) = (self.door.clone(), self.connections.clone());
        async move {
            let Ok(_slot) = slot else {
                return turn_away(stream).await;
            };
            connections.increment(1.0);
            door.serve(stream).await;
            connections.decrement(1.0);
        }
    }
}

async fn turn_away(mut stream: impl AsyncWrite + Unpin) {
    let error = ErrorCode::ConnectionLimit.error("the broker has as many connections as it may");
    let mut frame = BytesMut::new();
    encode(&mut frame, FrameType::Error, 0, 0, &error, &[]);
    // A peer that does not even take this gets nothing.
    let _ = timeout(REFUSAL_DEADLINE, stream.write_all(&frame)).await;
}
