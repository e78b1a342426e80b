//! Accepts connections and bounds their number.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use verteilt_protocol::{ErrorCode, FrameType, encode};

use crate::bare::Door;

/// After the system refused a connection (no descriptors left, say), wait before the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const REFUSAL_DEADLINE: Duration = Duration::from_secs(1);

/// Accepts until cancelled. Every connection is a task of the tracker.
pub(crate) async fn listen(
    listener: TcpListener,
    door: Door,
    connections_max: usize,
    tracker: TaskTracker,
    cancel: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(connections_max));
    let connections = metrics::gauge!("verteilt_connections");
    loop {
        let accepted = tokio::select! {
            () = cancel.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            tracker.spawn(turn_away(stream));
            continue;
        };
        // Answers are gathered by us, so the kernel must not wait for more.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
        connections.increment(1.0);
        let (door, connections) = (door.clone(), connections.clone());
        tracker.spawn(async move {
            door.serve(stream).await;
            connections.decrement(1.0);
            drop(slot);
        });
    }
}

async fn turn_away(mut stream: TcpStream) {
    let error = ErrorCode::ConnectionLimit.error("the broker has as many connections as it may");
    let mut frame = BytesMut::new();
    encode(&mut frame, FrameType::Error, 0, 0, &error, &[]);
    // A peer that does not even take this gets nothing.
    let _ = timeout(REFUSAL_DEADLINE, stream.write_all(&frame)).await;
}
