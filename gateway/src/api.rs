//! What the gateway answers itself.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, Uri};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use serde::Serialize;
use tokio::sync::{Semaphore, watch};
use verteilt_client::Client;

use crate::config::GatewayConfig;
use crate::problem::Problem;
use crate::{jobs, origin, queues, readiness, requests};

/// What every request is served with.
#[derive(Clone, Debug)]
pub(crate) struct Doors {
    pub(crate) client: Client,
    pub(crate) config: Arc<GatewayConfig>,
    /// Memory for bodies, in [`jobs::PERMIT_BYTES`].
    pub(crate) bodies: Arc<Semaphore>,
    connected: watch::Receiver<bool>,
}

#[derive(Serialize)]
struct Status {
    status: &'static str,
}

#[derive(Serialize)]
struct About {
    name: &'static str,
    version: &'static str,
    about: &'static str,
    endpoints: [&'static str; 7],
}

pub(crate) fn router(client: Client, config: Arc<GatewayConfig>) -> Router {
    let bodies = config.bodies_bytes_max.div_ceil(jobs::PERMIT_BYTES);
    let bodies = Arc::new(Semaphore::new(bodies.min(Semaphore::MAX_PERMITS)));
    let limit = DefaultBodyLimit::max(config.body_bytes_max);
    let connected = readiness::follow(&client);
    Router::new()
        .route("/", get(about))
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/v1/queues", get(queues::list))
        .route("/v1/queues/{queue}", get(queues::one))
        .route("/v1/queues/{queue}/jobs", post(jobs::push))
        .route("/v1/requests/{id}", get(requests::result))
        .fallback(unknown)
        .method_not_allowed_fallback(not_allowed)
        .layer(middleware::from_fn(origin::refuse_pages))
        .layer(limit)
        .with_state(Doors {
            client,
            config,
            bodies,
            connected,
        })
}

async fn about() -> Json<About> {
    Json(About {
        name: "verteilt-gateway",
        version: env!("CARGO_PKG_VERSION"),
        about: "HTTP gateway of the Verteilt message broker",
        endpoints: [
            "ANY /{service}/...",
            "POST /v1/queues/{queue}/jobs?priority=&delay_ms=&attempts=&durability=memory|disk",
            "GET /v1/queues",
            "GET /v1/queues/{queue}",
            "GET /v1/requests/{id}",
            "GET /health",
            "GET /ready",
        ],
    })
}

async fn health() -> Json<Status> {
    Json(Status { status: "ok" })
}

async fn ready(State(doors): State<Doors>) -> Result<Json<Status>, Problem> {
    if *doors.connected.borrow() {
        return Ok(Json(Status { status: "ready" }));
    }
    Err(Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "BROKER_UNREACHABLE",
        "the broker is not connected",
    )
    .retry_after(std::time::Duration::from_secs(1)))
}

async fn unknown(uri: Uri) -> Problem {
    let detail = format!("there is nothing at {}; GET / lists what is", uri.path());
    Problem::new(StatusCode::NOT_FOUND, "PATH_UNKNOWN", detail)
}

async fn not_allowed() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "METHOD_NOT_ALLOWED",
        "this path takes another method; GET / lists them",
    )
}
