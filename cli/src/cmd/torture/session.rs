//! A client whose connections stand in the history.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use verteilt_client::{Client, ConnectionEvent, Reconnect};

use super::flow::Hands;
use super::witness::Witness;
use crate::failure::Failure;

/// Longest pause between two attempts to come back, well below the broker's grace for sessions.
const RECONNECT_MAX: Duration = Duration::from_millis(100);

/// Longest wait for an answer, restarts included.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// Connects the client of this number in the history.
pub(super) async fn connect(
    url: &str,
    number: u32,
    witness: &Arc<Witness>,
    hands: Arc<Hands>,
) -> Result<Client, Failure> {
    let reconnect = Reconnect {
        delay_first: Duration::from_millis(10),
        delay_max: RECONNECT_MAX,
        deadline: None,
    };
    let client = Client::builder()
        .url(url)
        .name(format!("torture-{number}"))
        .reconnect(reconnect)
        .request_timeout(ANSWER_MAX)
        .connect()
        .await
        .map_err(|error| Failure::work(error.to_string()))?;
    witness.connected(number, None);
    watch(&client, number, Arc::clone(witness), hands);
    Ok(client)
}

/// Ends with the client.
fn watch(client: &Client, number: u32, witness: Arc<Witness>, hands: Arc<Hands>) {
    let mut events = client.events();
    tokio::spawn(async move {
        loop {
            match events.recv().await {
                Ok(ConnectionEvent::Connected { resumed: true, .. }) => {
                    witness.connected(number, Some(hands.named()));
                }
                Ok(ConnectionEvent::Disconnected { .. }) => witness.disconnected(number),
                Ok(ConnectionEvent::Closed) | Err(RecvError::Closed) => return,
                // Which event was missed nobody knows: any lease may have ended.
                Err(RecvError::Lagged(_)) => witness.connected(number, None),
                Ok(_) => {}
            }
        }
    });
}
