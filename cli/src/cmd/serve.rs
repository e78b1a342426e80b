//! `verteilt serve`: the broker.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use tokio::sync::watch;
use verteilt_broker::{Broker, Health};

use crate::broker_process;
use crate::config::{Config, Listener, LogFormat};
use crate::failure::{Exit, Failure};
use crate::signals::StopSignals;
use crate::units::Span;
use crate::{logging, metrics_server, output};

/// Run the broker
///
/// What is set here counts before the environment (VERTEILT_LISTEN, VERTEILT_JOURNAL__BYTES_MAX, ...),
/// that before the configuration file, that before the defaults.
///
/// SIGTERM and SIGINT stop the broker gracefully: it hands out nothing more, work in flight may
/// finish for the grace time, everything is flushed, and it ends with 0.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The folder of all data; made if it is not there [default: ./verteilt-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where clients connect; port 0 takes any free one [default: 127.0.0.1:7450]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Where /metrics, /health and /ready are served, or "off" [default: off]
    #[arg(long, value_name = "ADDR")]
    metrics: Option<Listener>,
    /// Listen to other machines although anybody who can connect may do anything
    #[arg(long)]
    allow_unauthenticated: bool,
    /// How long work in flight may go on after a signal [default: 10s]
    #[arg(long, value_name = "DURATION")]
    grace: Option<Span>,
    /// How the log on standard error is written [default: text]
    #[arg(long, value_enum, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// The configuration file [default: ./verteilt.toml, if it is there]
    #[arg(long, value_name = "FILE", env = "VERTEILT_CONFIG")]
    config: Option<PathBuf>,
    /// Print the configuration that would be used, as a file, and end
    #[arg(long)]
    print_config: bool,
}

impl Serve {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        let print_only = self.print_config;
        let config = self.configure()?;
        if print_only {
            output::line(config.to_toml()?.trim_end())?;
            return Ok(Exit::Done);
        }
        config.check_exposure()?;
        logging::start(config.logging.format, &config.logging.filter)?;
        let signals = StopSignals::listen()?;
        serve(&config, &signals).await
    }

    fn configure(self) -> Result<Config, Failure> {
        let mut config = Config::load(self.config.as_deref())?;
        config.data = self.data.unwrap_or(config.data);
        config.listen = self.listen.unwrap_or(config.listen);
        config.metrics = self.metrics.unwrap_or(config.metrics);
        config.allow_unauthenticated |= self.allow_unauthenticated;
        config.grace = self.grace.unwrap_or(config.grace);
        config.logging.format = self.log_format.unwrap_or(config.logging.format);
        Ok(config)
    }
}

async fn serve(config: &Config, signals: &StopSignals) -> Result<Exit, Failure> {
    let recovering = Health {
        ready: false,
        reason: Some("recovering the data folder".into()),
        disk: None,
    };
    let (health, shown) = watch::channel(recovering);
    // Before the broker: a long recovery should be seen, and its metrics recorded.
    let metrics = match config.metrics {
        Listener::Off => None,
        Listener::At(address) => {
            let listener = metrics_server::bind(address).await?;
            // A real port also where 0 was asked.
            let bound = listener.local_addr().unwrap_or(address);
            metrics_server::start(listener, shown)?;
            Some(bound)
        }
    };
    let broker = tokio::select! {
        started = broker_process::start(broker_process::broker_config(config)?) => started?,
        // Nothing has been promised to anyone yet.
        () = signals.gently.cancelled() => return Ok(Exit::Done),
    };
    announce(&broker, metrics)?;
    let failed = tokio::select! {
        failure = broker.failed() => Some(failure),
        () = signals.gently.cancelled() => None,
        () = broker_process::publish_health(&broker, &health) => None,
    };
    health.send_replace(Health {
        ready: false,
        reason: Some("stopping".into()),
        disk: None,
    });
    match failed {
        Some(failure) => Err(broker_process::broken(&failure)),
        None => broker_process::stop(broker, config.grace.0, signals).await,
    }
}

/// What a program that started us waits for.
fn announce(broker: &Broker, metrics: Option<SocketAddr>) -> Result<(), Failure> {
    let lines = [
        Some(format!("listening on verteilt://{}", broker.local_addr())),
        metrics.map(|address| format!("metrics on http://{address}/metrics")),
    ];
    for line in lines.into_iter().flatten() {
        match output::line(&line) {
            // Nobody reads it; the broker was asked for all the same.
            Err(failure) if failure.message.is_empty() => {}
            written => written?,
        }
    }
    Ok(())
}
