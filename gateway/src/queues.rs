//! `GET /v1/queues` and `GET /v1/queues/{queue}`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use verteilt_client::ClientError;

use crate::api::Doors;
use crate::counts::QueueCounts;
use crate::problem::Problem;

#[derive(Serialize)]
pub(crate) struct Queues {
    queues: Vec<QueueCounts>,
}

pub(crate) async fn list(State(doors): State<Doors>) -> Result<Json<Queues>, Problem> {
    Ok(Json(Queues {
        queues: look(&doors, None).await?,
    }))
}

pub(crate) async fn one(
    State(doors): State<Doors>,
    Path(queue): Path<String>,
) -> Result<Json<QueueCounts>, Problem> {
    let found = look(&doors, Some(&queue)).await?.into_iter().next();
    found.map(Json).ok_or_else(|| {
        Problem::new(
            StatusCode::NOT_FOUND,
            "QUEUE_UNKNOWN",
            "there is no such queue; it comes into being at its first push",
        )
    })
}

async fn look(doors: &Doors, queue: Option<&str>) -> Result<Vec<QueueCounts>, Problem> {
    let limit = doors.config.broker_deadline;
    let answer = tokio::time::timeout(limit, doors.client.queue_stats(queue)).await;
    let stats = answer.unwrap_or(Err(ClientError::Deadline {
        what: "the queues",
        limit,
    }))?;
    Ok(stats.into_iter().map(QueueCounts::from).collect())
}
