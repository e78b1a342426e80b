//! Accepts connections.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::reception::Reception;

/// After the system refused a connection (no descriptors left, say), wait before the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts until cancelled.
pub(crate) async fn listen(listener: TcpListener, reception: Reception, cancel: CancellationToken) {
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
        // Answers are gathered by us, so the kernel must not wait for more.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
        reception.tracker().spawn(reception.receive(stream));
    }
}
