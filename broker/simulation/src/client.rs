//! A client of the simulation: the real one, whose connections stand in the history.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::broadcast::error::RecvError;
use verteilt_client::{Client, ClientError, ConnectionEvent, Reconnect};
use verteilt_history::Event;

use crate::world::World;

/// Longest pause between two attempts to come back.
const RECONNECT_MAX: Duration = Duration::from_millis(100);
/// Longest wait for an answer, restarts included.
const ANSWER_MAX: Duration = Duration::from_secs(120);

/// Leases that somebody holds or is settling, by job and token. Cheap to clone; all clones are the
/// same hands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hands(Arc<Mutex<BTreeSet<(u64, u64)>>>);

impl Hands {
    pub(crate) fn take(&self, lease: (u64, u64)) {
        self.0.lock().insert(lease);
    }

    pub(crate) fn let_go(&self, lease: (u64, u64)) {
        self.0.lock().remove(&lease);
    }

    /// What a client that was connected again just now has named to the broker, at the least.
    fn named(&self) -> Vec<(u64, u64)> {
        self.0.lock().iter().copied().collect()
    }
}

/// Connects the client with this number in the history; tries for as long as the world stands.
pub(crate) async fn connect(
    world: &World,
    number: u32,
    wire: u32,
    hands: Hands,
) -> Result<Client, ClientError> {
    let client = Client::builder()
        .connector(world.network.connector(wire))
        .seed(world.plan.seed ^ (u64::from(number) << 40))
        .reconnect(Reconnect {
            delay_first: Duration::from_millis(5),
            delay_max: RECONNECT_MAX,
            deadline: None,
        })
        .connect_timeout(Duration::from_secs(1))
        .connect_wait(ANSWER_MAX)
        .request_timeout(ANSWER_MAX)
        .connect()
        .await?;
    world.record(Event::Connected {
        client: number,
        held: None,
    });
    let (world, mut events) = (world.clone(), client.events());
    tokio::spawn(async move {
        loop {
            match events.recv().await {
                Ok(ConnectionEvent::Connected { resumed: true, .. }) => {
                    world.record(Event::Connected {
                        client: number,
                        held: Some(hands.named()),
                    });
                }
                Ok(ConnectionEvent::Disconnected { .. }) => {
                    world.record(Event::Disconnected { client: number });
                }
                Ok(ConnectionEvent::Closed) | Err(RecvError::Closed) => return,
                Ok(_) | Err(RecvError::Lagged(_)) => {}
            }
        }
    });
    Ok(client)
}
