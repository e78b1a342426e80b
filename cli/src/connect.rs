//! How a client command finds its broker, and what it says when something is wrong with it.

use std::time::Duration;

use clap::Args;
use tokio::sync::broadcast::error::RecvError;
use verteilt_client::{Client, ClientError, ConnectionEvent, Reconnect};

use crate::failure::{Exit, Failure, note};

/// The broker of this machine, on its usual port.
const DEFAULT_URL: &str = "verteilt://127.0.0.1:7450";

/// Longest pause between two attempts to reconnect. Well below the time for which a restarted
/// broker keeps leases for their holders to come back.
const RECONNECT_MAX: Duration = Duration::from_secs(1);

/// Longest wait for an answer: a checkpoint of a large store takes its time.
const ANSWER_MAX: Duration = Duration::from_secs(10 * 60);

/// Longest wait for what is unanswered when a command ends.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// Where the broker of a client command is.
#[derive(Clone, Debug, Args)]
pub(crate) struct BrokerAddress {
    /// The broker, as verteilt://HOST:PORT
    #[arg(
        long,
        value_name = "URL",
        env = "VERTEILT_URL",
        default_value = DEFAULT_URL
    )]
    url: String,
}

/// A client, and the address it was made for.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) client: Client,
    url: String,
}

impl BrokerAddress {
    /// Connects; fails at once if there is no broker.
    pub(crate) async fn connect(&self) -> Result<Connection, Failure> {
        Connection::open(self.url().to_owned()).await
    }

    pub(crate) fn url(&self) -> &str {
        // Deployment files write an empty variable for one that is not set.
        if self.url.is_empty() {
            DEFAULT_URL
        } else {
            &self.url
        }
    }
}

impl Connection {
    /// As [`BrokerAddress::connect`], to an address that is known.
    pub(crate) async fn open(url: String) -> Result<Self, Failure> {
        let reconnect = Reconnect {
            delay_max: RECONNECT_MAX,
            ..Reconnect::default()
        };
        let client = Client::builder()
            .url(&url)
            .name("verteilt-cli")
            .reconnect(reconnect)
            .request_timeout(ANSWER_MAX)
            .close_timeout(CLOSE_MAX)
            .connect()
            .await;
        match client {
            Ok(client) => Ok(Self { client, url }),
            Err(error) => Err(explain(&url, &error)),
        }
    }

    /// What a failed call means for the command.
    pub(crate) fn explain(&self, error: &ClientError) -> Failure {
        explain(&self.url, error)
    }

    /// Tells a person when the connection is lost and when it is back. Ends with the client.
    pub(crate) fn narrate(&self) {
        let mut events = self.client.events();
        let url = self.url.clone();
        tokio::spawn(async move {
            let mut lost = false;
            loop {
                match events.recv().await {
                    Ok(ConnectionEvent::Disconnected { reason }) if !lost => {
                        lost = true;
                        tracing::debug!(reason, "disconnected");
                        note(format_args!("lost the broker at {url}; waiting for it"));
                    }
                    Ok(ConnectionEvent::Connected { .. }) if lost => {
                        lost = false;
                        note(format_args!("the broker at {url} is back; going on"));
                    }
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                }
            }
        });
    }

    /// Says goodbye. Everything this command was asked for has been answered by now, so there is
    /// nothing left to lose.
    pub(crate) async fn close(self) {
        if let Err(error) = self.client.close().await {
            tracing::debug!(%error, "the connection did not end well");
        }
    }
}

/// What a failed call means, and what to do.
pub(crate) fn explain(url: &str, error: &ClientError) -> Failure {
    match error {
        ClientError::Connect { source, .. } => {
            Failure::new(Exit::Unreachable, format!("no broker at {url}: {source}")).advise(
                "start one with `verteilt serve` or `verteilt up`, or name another with --url or \
                 VERTEILT_URL",
            )
        }
        ClientError::Address { .. }
        | ClientError::BadName { .. }
        | ClientError::BadArgument { .. }
        | ClientError::BodyTooLarge { .. }
        | ClientError::HeadersTooLarge { .. } => Failure::usage(error.to_string()),
        ClientError::Refused { .. } => Failure::new(Exit::Refused, error.to_string()),
        ClientError::Deadline { .. }
        | ClientError::ReconnectGaveUp { .. }
        | ClientError::Protocol { .. } => {
            Failure::new(Exit::Unreachable, format!("the broker at {url}: {error}"))
        }
        _ => Failure::work(error.to_string()),
    }
}
