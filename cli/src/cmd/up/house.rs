//! Broker, gateway and metrics in this process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use verteilt_broker::{Broker, Health};
use verteilt_gateway::{Gateway, GatewayConfig};
use verteilt_protocol::limits;

use crate::broker_process::{self, loopback};
use crate::config::Config;
use crate::connect::Connection;
use crate::failure::{Exit, Failure};
use crate::metrics_server;
use crate::output;
use crate::signals::StopSignals;

/// Everything that runs, and how to stop it.
#[derive(Debug)]
pub(super) struct House {
    pub(super) broker: Broker,
    data: PathBuf,
    gateway: SocketAddr,
    gateway_stop: CancellationToken,
    gateway_task: JoinHandle<()>,
    gateway_connection: Connection,
    metrics: SocketAddr,
    health: watch::Sender<Health>,
    /// What does not run where one would look for it.
    moved: Vec<String>,
}

impl House {
    /// Starts all of it, on other ports where the usual ones are taken.
    pub(super) async fn open(data: &Path) -> Result<Self, Failure> {
        let mut moved = Vec::new();
        let starting = Health {
            ready: false,
            reason: Some("starting".into()),
        };
        let (health, shown) = watch::channel(starting);
        let metrics = free(limits::METRICS_PORT, "metrics", &mut moved).await;
        let metrics = metrics_server::start(metrics, shown).await?;

        let listen = free(limits::BROKER_PORT, "the broker", &mut moved).await;
        let config = Config {
            data: data.to_owned(),
            listen,
            ..Config::default()
        };
        let broker = broker_process::start(broker_process::broker_config(&config)?).await?;
        health.send_replace(broker.health());

        let listen = free(limits::GATEWAY_PORT, "the gateway", &mut moved).await;
        let gateway_connection = Connection::open(url(&broker)).await?;
        let client = gateway_connection.client.clone();
        let gateway = Gateway::bind(GatewayConfig::new(listen), client)
            .await
            .map_err(|error| Failure::work(error.to_string()))?;
        let gateway_addr = gateway.local_addr();
        let gateway_stop = CancellationToken::new();
        let gateway_task = tokio::spawn(gateway.run(gateway_stop.clone()));
        Ok(Self {
            broker,
            data: data.to_owned(),
            gateway: gateway_addr,
            gateway_stop,
            gateway_task,
            gateway_connection,
            metrics,
            health,
            moved,
        })
    }

    /// An ordinary client of the broker.
    pub(super) async fn connect(&self) -> Result<Connection, Failure> {
        Connection::open(url(&self.broker)).await
    }

    /// What runs where.
    pub(super) fn tell(&self) -> Result<(), Failure> {
        output::line(&format!("broker   {}", url(&self.broker)))?;
        output::line(&format!("gateway  http://{}", self.gateway))?;
        output::line(&format!("metrics  http://{}/metrics", self.metrics))?;
        output::line(&format!("data     {}", self.data.display()))?;
        self.moved.iter().try_for_each(|moved| output::line(moved))
    }

    /// What to try next.
    pub(super) fn tell_next(&self, folder: &Path) -> Result<(), Failure> {
        output::line("\nThe broker stays up. Next, in another terminal:\n")?;
        if self.broker.local_addr().port() != limits::BROKER_PORT {
            output::line(&format!("  export VERTEILT_URL={}", url(&self.broker)))?;
        }
        output::line(&format!(
            "  find {} -type f | verteilt push sums --lines\n  \
             verteilt work sums --drain --concurrency 4 -- sha256sum {{}}\n  \
             curl --data-binary hello http://{}/v1/queues/hello/jobs\n  \
             verteilt queue ls\n\nCtrl-C stops it; the data stays in {}",
            folder.display(),
            self.gateway,
            self.data.display()
        ))
    }

    /// Gateway first: it takes no more work, then its jobs and ours get into the journal.
    pub(super) async fn close(self, signals: &StopSignals) -> Result<Exit, Failure> {
        let stopping = Health {
            ready: false,
            reason: Some("stopping".into()),
        };
        self.health.send_replace(stopping);
        self.gateway_stop.cancel();
        tokio::select! {
            ended = self.gateway_task => {
                ended.map_err(|panic| Failure::work(format!("the gateway broke: {panic}")))?;
            }
            () = signals.at_once.cancelled() => return Ok(signals.exit()),
        }
        self.gateway_connection.close().await;
        broker_process::stop(self.broker, broker_process::GRACE, signals).await
    }
}

fn url(broker: &Broker) -> String {
    format!("verteilt://{}", broker.local_addr())
}

/// The usual port if nobody has it, else any. The listener is closed again at once; should
/// somebody take the port in between, the one that wanted it says so.
async fn free(port: u16, what: &str, moved: &mut Vec<String>) -> SocketAddr {
    match TcpListener::bind(loopback(port)).await {
        Ok(_) => loopback(port),
        Err(error) => {
            moved.push(format!(
                "(port {port} cannot be had: {error}; {what} took another)"
            ));
            loopback(0)
        }
    }
}
