//! Whether the gateway has its broker.

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use verteilt_client::{Client, ConnectionEvent};

/// Follows the connection of `client`, which has one now, for as long as anybody looks.
pub(crate) fn follow(client: &Client) -> watch::Receiver<bool> {
    let mut events = client.events();
    let (connected, shown) = watch::channel(true);
    tokio::spawn(async move {
        loop {
            let now = tokio::select! {
                () = connected.closed() => return,
                event = events.recv() => match event {
                    Ok(ConnectionEvent::Connected { .. }) => true,
                    Ok(_) => false,
                    // What was missed is older than what comes next.
                    Err(RecvError::Lagged(_)) => continue,
                    Err(RecvError::Closed) => {
                        connected.send_replace(false);
                        return;
                    }
                },
            };
            connected.send_replace(now);
        }
    });
    shown
}
