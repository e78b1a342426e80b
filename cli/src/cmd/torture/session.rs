//! A client whose connections stand in the history.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use verteilt_client::{Client, ConnectionEvent, Reconnect};
use verteilt_history::{Event, Recorder};

use crate::failure::Failure;

/// Longest pause between two attempts to come back, well below the broker's grace for sessions.
const RECONNECT_MAX: Duration = Duration::from_millis(200);

/// Longest wait for an answer, restarts included.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// Connects the client of this number in the history.
pub(super) async fn connect(
    url: &str,
    number: u32,
    recorder: &Arc<Recorder>,
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
    recorder.record(Event::Connected {
        client: number,
        held: None,
    });
    watch(&client, number, Arc::clone(recorder));
    Ok(client)
}

/// Ends with the client.
fn watch(client: &Client, number: u32, recorder: Arc<Recorder>) {
    let mut events = client.events();
    tokio::spawn(async move {
        loop {
            match events.recv().await {
                Ok(ConnectionEvent::Connected { resumed: true, .. }) => {
                    recorder.record(Event::Connected {
                        client: number,
                        held: None,
                    });
                }
                Ok(ConnectionEvent::Disconnected { .. }) => {
                    recorder.record(Event::Disconnected { client: number });
                }
                Ok(ConnectionEvent::Closed) | Err(RecvError::Closed) => return,
                Ok(_) | Err(RecvError::Lagged(_)) => {}
            }
        }
    });
}
