//! The broker inside this process: the one place that knows how it is configured and started.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;
use verteilt_broker::{Broker, BrokerConfig, BrokerFailure, Health, StartError};
use verteilt_protocol::limits;

use crate::config::{
    Checkpoint, Config, Connections, Journal, Listener, LogFormat, Logging, Memory, Queues, Results,
};
use crate::failure::{Exit, Failure};
use crate::signals::StopSignals;
use crate::units::{Size, Span};

/// Where `serve` and `up` keep their data if nothing else is said.
pub(crate) const DATA: &str = "./verteilt-data";

/// How long work in flight may go on after a signal.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// Between two looks at the broker's health.
const HEALTH_INTERVAL: Duration = Duration::from_millis(500);

/// From the broker's failure to the end of the process, whatever else still hangs.
const FAILED_EXIT: Duration = Duration::from_secs(3);

/// What the broker does by default, as a configuration.
pub(crate) fn default_config() -> Config {
    let listen = loopback(limits::BROKER_PORT);
    let broker = BrokerConfig::new(PathBuf::from(DATA), listen);
    Config {
        data: broker.data,
        disk_reserve: Size(broker.disk_reserve_bytes),
        listen,
        metrics: Listener::Off,
        allow_unauthenticated: false,
        grace: Span(GRACE),
        busy_poll_us: broker.busy_poll_us,
        logging: Logging {
            format: LogFormat::Text,
            filter: "info".to_owned(),
        },
        connections: Connections {
            max: broker.connections_max,
            heartbeat: Span::from_ms(broker.heartbeat_ms.into()),
            handshake_deadline: Span::from_ms(broker.handshake_deadline_ms),
            resume_grace: Span::from_ms(broker.resume_grace_ms),
            push_credit_bytes: Size(broker.push_credit_bytes),
        },
        journal: Journal {
            segment_bytes: Size(broker.segment_bytes.into()),
            bytes_max: Size(broker.journal_bytes_max),
        },
        checkpoint: Checkpoint {
            bytes: Size(broker.checkpoint_bytes),
            interval: Span::from_ms(broker.checkpoint_interval_ms),
        },
        memory: Memory {
            job_bytes_max: Size(broker.memory_bytes_max),
            cache_bytes: Size(broker.cache_bytes as u64),
            store_cache_bytes: Size(broker.store_cache_bytes),
        },
        queues: Queues {
            max: broker.queues_max,
        },
        results: Results {
            keep: Span::from_ms(broker.result_keep_ms),
            max: broker.results_max,
            bytes_max: Size(broker.result_bytes_max),
        },
    }
}

/// This machine only.
pub(crate) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// As the broker wants it. Fails on a number that is too large for its place.
pub(crate) fn broker_config(config: &Config) -> Result<BrokerConfig, Failure> {
    let mut broker = BrokerConfig::new(config.data.clone(), config.listen);
    broker.disk_reserve_bytes = config.disk_reserve.0;
    broker.connections_max = config.connections.max;
    broker.heartbeat_ms = fits(
        "connections.heartbeat",
        config.connections.heartbeat.as_ms(),
    )?;
    broker.handshake_deadline_ms = config.connections.handshake_deadline.as_ms();
    broker.resume_grace_ms = config.connections.resume_grace.as_ms();
    broker.push_credit_bytes = config.connections.push_credit_bytes.0;
    broker.segment_bytes = fits("journal.segment_bytes", config.journal.segment_bytes.0)?;
    broker.journal_bytes_max = config.journal.bytes_max.0;
    broker.checkpoint_bytes = config.checkpoint.bytes.0;
    broker.checkpoint_interval_ms = config.checkpoint.interval.as_ms();
    broker.memory_bytes_max = config.memory.job_bytes_max.0;
    broker.cache_bytes = fits("memory.cache_bytes", config.memory.cache_bytes.0)?;
    broker.store_cache_bytes = config.memory.store_cache_bytes.0;
    broker.queues_max = config.queues.max;
    broker.result_keep_ms = config.results.keep.as_ms();
    broker.results_max = config.results.max;
    broker.result_bytes_max = config.results.bytes_max.0;
    broker.busy_poll_us = config.busy_poll_us;
    Ok(broker)
}

fn fits<T: TryFrom<u64>>(key: &str, number: u64) -> Result<T, Failure> {
    T::try_from(number).map_err(|_| Failure::usage(format!("`{key}` is too large: {number}")))
}

/// Recovers the data folder and listens. Takes as long as the recovery takes.
pub(crate) async fn start(config: BrokerConfig) -> Result<Broker, Failure> {
    open(config).await?.map_err(|error| refused(&error))
}

/// As [`start`], on any free port where the one that was asked for cannot be had.
pub(crate) async fn start_anywhere(mut config: BrokerConfig) -> Result<Broker, Failure> {
    let first = open(config.clone()).await?;
    if !matches!(first, Err(StartError::Listen { .. })) {
        return first.map_err(|error| refused(&error));
    }
    config.listen.set_port(0);
    start(config).await
}

async fn open(config: BrokerConfig) -> Result<Result<Broker, StartError>, Failure> {
    let started = tokio::task::spawn_blocking(move || Broker::start(config)).await;
    started.map_err(|panic| Failure::work(format!("the broker did not start: {panic}")))
}

fn refused(error: &StartError) -> Failure {
    match error {
        StartError::Config(text) => Failure::usage(text.as_str()),
        _ => Failure::work(format!("the broker did not start: {error}")),
    }
}

/// Shows the broker's health on `shown`. Never returns.
pub(crate) async fn publish_health(broker: &Broker, shown: &watch::Sender<Health>) {
    let mut rounds = tokio::time::interval(HEALTH_INTERVAL);
    loop {
        rounds.tick().await;
        shown.send_replace(broker.health());
    }
}

/// Stops gracefully; a second signal cuts that short.
pub(crate) async fn stop(
    broker: Broker,
    grace: Duration,
    signals: &StopSignals,
) -> Result<Exit, Failure> {
    tracing::info!(?grace, "stopping; a second signal stops at once");
    tokio::select! {
        stopped = broker.stop(grace) => match stopped {
            Ok(()) => Ok(Exit::Done),
            Err(failure) => Err(broken(&failure)),
        },
        // Like a crash: the next start recovers from the journal.
        () = signals.at_once.cancelled() => Ok(signals.exit()),
    }
}

/// Whatever was acknowledged is on the disk. Makes sure that the process ends, so that whoever
/// watches over it can start it anew.
pub(crate) fn broken(failure: &BrokerFailure) -> Failure {
    // What to do depends on the cause, and stands in its text: after damage a start is no cure.
    let told = Failure::work(format!("the broker has stopped: {failure}"));
    std::thread::spawn(|| {
        std::thread::sleep(FAILED_EXIT);
        std::process::exit(i32::from(Exit::WorkFailed.code()));
    });
    told
}
