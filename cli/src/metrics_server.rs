//! `/metrics` for Prometheus, `/health` and `/ready` for whatever watches over the process.

use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::watch;
use verteilt_broker::{DiskRoom, Health};

use crate::failure::Failure;

/// Between two rounds in which the recorder folds what it has collected.
const UPKEEP: Duration = Duration::from_secs(5);

/// Upper bounds of histogram buckets in seconds: from the write of one batch to a long recovery.
const BUCKETS_S: [f64; 14] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0,
    30.0,
];

/// Upper bounds of histograms of sizes in bytes: from one small job to many full frames.
const BUCKETS_BYTES: [f64; 8] = [
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    16_777_216.0,
];

/// Upper bounds of all other histograms, which count things.
const BUCKETS_COUNT: [f64; 10] = [
    1.0, 2.0, 4.0, 8.0, 16.0, 64.0, 256.0, 1_024.0, 4_096.0, 16_384.0,
];

#[derive(Clone)]
struct Shown {
    recorder: PrometheusHandle,
    health: watch::Receiver<Health>,
}

#[derive(Serialize)]
struct Status {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk: Option<Disk>,
}

/// Room on the disk; what it is full for stands in docs/operations.md.
#[derive(Serialize)]
struct Disk {
    full: bool,
    free_bytes: u64,
    reusable_bytes: u64,
    needed_bytes: u64,
}

impl From<DiskRoom> for Disk {
    fn from(room: DiskRoom) -> Self {
        Self {
            full: room.is_full,
            free_bytes: room.free_bytes,
            reusable_bytes: room.reusable_bytes,
            needed_bytes: room.needed_bytes,
        }
    }
}

/// Listens, without answering yet.
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        Failure::work(format!("cannot serve metrics on {address}: {error}"))
            .advise("choose another address with --metrics, or `--metrics off`")
    })
}

/// Records this process's metrics from now on and serves them until the process ends.
pub(crate) fn start(listener: TcpListener, health: watch::Receiver<Health>) -> Result<(), Failure> {
    let ending = |unit: &str| Matcher::Suffix(unit.to_owned());
    let recorder = PrometheusBuilder::new()
        .set_buckets(&BUCKETS_COUNT)
        .and_then(|builder| builder.set_buckets_for_metric(ending("_seconds"), &BUCKETS_S))
        .and_then(|builder| builder.set_buckets_for_metric(ending("_bytes"), &BUCKETS_BYTES))
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|error| Failure::work(format!("cannot record metrics: {error}")))?;
    tokio::spawn(upkeep(recorder.clone()));
    let routes = Router::new()
        .route("/metrics", get(metrics))
        .route("/health", get(live))
        .route("/ready", get(ready))
        .with_state(Shown { recorder, health });
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, routes).await {
            tracing::error!(%error, "the metrics server has ended");
        }
    });
    Ok(())
}

async fn upkeep(recorder: PrometheusHandle) {
    let mut rounds = tokio::time::interval(UPKEEP);
    loop {
        rounds.tick().await;
        recorder.run_upkeep();
    }
}

async fn metrics(State(shown): State<Shown>) -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4")],
        shown.recorder.render(),
    )
}

/// The process runs and answers.
async fn live() -> impl IntoResponse {
    Json(Status {
        status: "ok",
        reason: None,
        disk: None,
    })
}

/// The broker takes work.
async fn ready(State(shown): State<Shown>) -> impl IntoResponse {
    let Health {
        ready,
        reason,
        disk,
    } = shown.health.borrow().clone();
    let disk = disk.map(Disk::from);
    match ready {
        true => (
            StatusCode::OK,
            Json(Status {
                status: "ready",
                reason: None,
                disk,
            }),
        ),
        false => (
            StatusCode::SERVICE_UNAVAILABLE,
            Json(Status {
                status: "not ready",
                reason,
                disk,
            }),
        ),
    }
}
