//! Broker, gateway, metrics and the services of a small shop in this process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use verteilt_broker::{Broker, Health};
use verteilt_client::Serving;
use verteilt_gateway::{Gateway, GatewayConfig, Routes, Table};
use verteilt_protocol::limits;

use crate::broker_process::{self, loopback};
use crate::config::Config;
use crate::connect::Connection;
use crate::failure::{Exit, Failure};
use crate::metrics_server;
use crate::output;
use crate::signals::StopSignals;

use super::children::Children;
use super::node::{self, Node};

/// For requests in flight at the end: the event streams of pages that are open do not end by themselves.
const GATEWAY_GRACE: Duration = Duration::from_secs(2);

/// Everything that runs, and how to stop it.
#[derive(Debug)]
pub(super) struct House {
    pub(super) broker: Broker,
    data: PathBuf,
    gateway: SocketAddr,
    gateway_stop: CancellationToken,
    gateway_task: JoinHandle<()>,
    gateway_connection: Connection,
    /// The services behind the page.
    shop: Vec<Serving>,
    shop_connection: Connection,
    /// Those of them that run in Node.
    node: Option<Children>,
    metrics: SocketAddr,
    health: watch::Sender<Health>,
}

impl House {
    /// Starts all of it, on other ports where the usual ones are taken.
    pub(super) async fn open(data: &Path) -> Result<Self, Failure> {
        let starting = Health {
            ready: false,
            reason: Some("starting".into()),
            disk: None,
        };
        let (health, shown) = watch::channel(starting);
        let listener = match metrics_server::bind(loopback(limits::METRICS_PORT)).await {
            Ok(listener) => listener,
            Err(_) => metrics_server::bind(loopback(0)).await?,
        };
        let metrics = listener.local_addr().unwrap_or(loopback(0));
        metrics_server::start(listener, shown)?;

        let config = Config {
            data: data.to_owned(),
            ..Config::default()
        };
        let config = broker_process::broker_config(&config)?;
        let broker = broker_process::start_anywhere(config).await?;
        health.send_replace(broker.health());

        let shop_connection = Connection::open(url(&broker)).await?;
        let shop = verteilt_shop::open(&shop_connection.client, &verteilt_shop::SERVICES).await;
        let shop = shop.map_err(|error| shop_connection.explain(&error))?;
        let gateway_connection = Connection::open(url(&broker)).await?;
        let gateway = bind_gateway(&gateway_connection).await?;
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
            shop,
            shop_connection,
            node: None,
            metrics,
            health,
        })
    }

    /// The part of the shop that runs in Node, from this folder.
    pub(super) fn start_node(&mut self, services: &Path) {
        let url = url(&self.broker);
        self.node = Some(Children::start(services, &node::SERVICES, &url));
    }

    /// An ordinary client of the broker.
    pub(super) async fn connect(&self) -> Result<Connection, Failure> {
        Connection::open(url(&self.broker)).await
    }

    /// What runs where.
    pub(super) fn tell(&self, node: Option<Node>) -> Result<(), Failure> {
        output::line(&format!("page     http://{}/", self.gateway))?;
        output::line(&format!("broker   {}", url(&self.broker)))?;
        output::line(&format!("gateway  http://{}", self.gateway))?;
        output::line(&format!("metrics  http://{}/metrics", self.metrics))?;
        output::line(&format!("data     {}", self.data.display()))?;
        output::line(&format!("shop     {}", shop(node)))?;
        for (what, address, usual) in [
            ("broker", self.broker.local_addr(), limits::BROKER_PORT),
            ("gateway", self.gateway, limits::GATEWAY_PORT),
            ("metrics", self.metrics, limits::METRICS_PORT),
        ] {
            if address.port() != usual {
                output::line(&format!("(port {usual} is taken: the {what} took another)"))?;
            }
        }
        Ok(())
    }

    /// What to try next.
    pub(super) fn tell_next(&self, folder: &Path) -> Result<(), Failure> {
        output::line(&format!(
            "\nAll of it stays up. Look at http://{}/ in a browser; or, in another terminal:\n",
            self.gateway
        ))?;
        if self.broker.local_addr().port() != limits::BROKER_PORT {
            output::line(&format!("  export VERTEILT_URL={}", url(&self.broker)))?;
        }
        output::line(&format!(
            "  find {} -type f | verteilt push sums --lines\n  \
             verteilt work sums --drain --concurrency 4 -- sha256sum {{}}\n  \
             curl --data-binary hello http://{}/v1/queues/hello/jobs\n  \
             curl http://{}/stock/items\n  \
             verteilt queue ls\n\nCtrl-C stops it; the data stays in {}",
            folder.display(),
            self.gateway,
            self.gateway,
            self.data.display()
        ))
    }

    /// Gateway first: it takes no more work. Then the services, then the broker: jobs get into the
    /// journal.
    pub(super) async fn close(self, signals: &StopSignals) -> Result<Exit, Failure> {
        let stopping = Health {
            ready: false,
            reason: Some("stopping".into()),
            disk: None,
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
        if let Some(node) = self.node {
            node.end().await;
        }
        drop(self.shop);
        self.shop_connection.close().await;
        broker_process::stop(self.broker, broker_process::GRACE, signals).await
    }
}

fn url(broker: &Broker) -> String {
    format!("verteilt://{}", broker.local_addr())
}

/// Which services of the shop run, and why not the others.
fn shop(node: Option<Node>) -> String {
    let here = verteilt_shop::SERVICES.join(", ");
    match node {
        None => here,
        Some(Node::Ready(_)) => {
            let names = node::SERVICES.iter().map(|(name, count)| match count {
                1 => (*name).to_owned(),
                _ => format!("{name} x{count}"),
            });
            let names: Vec<_> = names.collect();
            format!("{here}; in Node: {}", names.join(", "))
        }
        Some(Node::Missing(what)) => format!("{here}; nothing in Node: {what}"),
    }
}

async fn bind_gateway(connection: &Connection) -> Result<Gateway, Failure> {
    let at = |port| {
        let mut config = GatewayConfig::new(loopback(port));
        config.grace = GATEWAY_GRACE;
        Gateway::bind(config, connection.client.clone())
    };
    let gateway = match at(limits::GATEWAY_PORT).await {
        Ok(gateway) => Ok(gateway),
        Err(_) => at(0).await,
    };
    let gateway = gateway.map_err(|error| Failure::work(error.to_string()))?;
    let table = Table::parse(verteilt_shop::ROUTES);
    let table = table.map_err(|error| Failure::work(error.to_string()))?;
    Ok(gateway.with_routes(Routes::new(table)))
}
