//! The gateway as a process: start, reload, end.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, watch};
use verteilt_broker::Health;
use verteilt_client::{Client, ConnectionEvent};
use verteilt_gateway::{AccessLog, AccessWriter, Gateway, GatewayConfig, Routes, Table, routes};

use super::{Serve, check};
use crate::config::Listener;
use crate::connect::Connection;
use crate::failure::{Exit, Failure};
use crate::signals::StopSignals;
use crate::{logging, metrics_server, output};

pub(super) async fn run(serve: Serve) -> Result<Exit, Failure> {
    check_exposure(&serve)?;
    logging::start(serve.log_format, "info")?;
    let signals = StopSignals::listen()?;
    let (text, table) = match &serve.routes {
        Some(file) => check::read(file)?,
        None => (String::new(), Table::default()),
    };
    let routes = Routes::new(table);
    let connection = serve.broker.connect().await?;
    // Before the gateway: what it counts is recorded from the first request on.
    serve_metrics(serve.metrics, &connection.client).await?;
    let (log, writer) = access_log(&serve)?;
    let mut config = GatewayConfig::new(serve.listen);
    config.connections_max = serve.connections as usize;
    config.grace = serve.grace.0;
    config.trusted_proxies.clone_from(&serve.trust_proxy);
    let gateway = Gateway::bind(config, connection.client.clone())
        .await
        .map_err(|error| Failure::work(error.to_string()))?
        .with_routes(routes.clone())
        .with_access_log(log);
    output::line(&format!("listening on http://{}", gateway.local_addr()))?;

    let again = Notify::new();
    let watching = async {
        match serve.routes {
            Some(file) => routes::watch(file, text, routes, &again).await,
            None => std::future::pending().await,
        }
    };
    let end = until_stopped(gateway, connection, &signals);
    let end = tokio::select! {
        end = end => end,
        () = watching => Ok(Exit::Done),
        failure = hang_ups(&again) => Err(failure),
    };
    if let Some(writer) = writer {
        writer.join();
    }
    end
}

async fn until_stopped(
    gateway: Gateway,
    connection: Connection,
    signals: &StopSignals,
) -> Result<Exit, Failure> {
    tokio::select! {
        () = gateway.run(signals.gently.clone()) => {}
        () = signals.at_once.cancelled() => return Ok(signals.exit()),
    }
    connection.close().await;
    Ok(Exit::Done)
}

fn check_exposure(serve: &Serve) -> Result<(), Failure> {
    let metrics = match serve.metrics {
        Listener::Off => None,
        Listener::At(address) => Some(("--metrics", address)),
    };
    let mut listeners = [Some(("--listen", serve.listen)), metrics]
        .into_iter()
        .flatten();
    let open = listeners.find(|(_, address)| !address.ip().to_canonical().is_loopback());
    match open {
        Some((flag, address)) if !serve.allow_unauthenticated => Err(Failure::usage(format!(
            "`{flag}` is {address}: other machines could reach every service and queue, and the \
             gateway asks nobody who they are"
        ))
        .advise(
            "listen on 127.0.0.1 behind a proxy that knows its users, or pass \
             --allow-unauthenticated if the network itself keeps others out",
        )),
        _ => Ok(()),
    }
}

/// Gives lines to a thread that writes them to standard output.
fn access_log(serve: &Serve) -> Result<(AccessLog, Option<AccessWriter>), Failure> {
    let Some(format) = serve.access_log.format() else {
        return Ok((AccessLog::default(), None));
    };
    let (log, writer) = AccessLog::to(io::stdout(), format)
        .map_err(|error| Failure::work(format!("cannot write an access log: {error}")))?;
    Ok((log, Some(writer)))
}

async fn serve_metrics(listener: Listener, client: &Client) -> Result<(), Failure> {
    let Listener::At(address) = listener else {
        return Ok(());
    };
    let listener = metrics_server::bind(address).await?;
    let bound = listener.local_addr().unwrap_or(address);
    let (health, shown) = watch::channel(connected(true));
    metrics_server::start(listener, shown)?;
    tokio::spawn(follow(client.clone(), health));
    output::line(&format!("metrics on http://{bound}/metrics"))
}

fn connected(ready: bool) -> Health {
    Health {
        ready,
        reason: (!ready).then(|| "the broker is not connected".into()),
        disk: None,
    }
}

/// Ready is who has a broker.
async fn follow(client: Client, health: watch::Sender<Health>) {
    let mut events = client.events();
    loop {
        match events.recv().await {
            Ok(event) => {
                let ready = matches!(event, ConnectionEvent::Connected { .. });
                health.send_replace(connected(ready));
            }
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

/// Each SIGHUP asks for the route file to be read again.
async fn hang_ups(again: &Notify) -> Failure {
    let mut hang_ups = match signal(SignalKind::hangup()) {
        Ok(hang_ups) => hang_ups,
        Err(error) => return Failure::work(format!("cannot listen for signals: {error}")),
    };
    loop {
        hang_ups.recv().await;
        again.notify_one();
    }
}
