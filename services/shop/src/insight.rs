//! `page`: what the broker knows of the services and their requests, as JSON for the page.
//!
//! | request | answer |
//! |---|---|
//! | `GET /services` | who serves what, and how many requests each has answered or passed on |
//! | `GET /trace/{request}` | the way of a request and of those that were made for it |

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use verteilt_client::{Client, ClientError, InstanceStats, RequestId, TraceKind, TracedRequest};

use crate::refusal::Refusal;

pub(crate) fn insight(client: Client) -> Router {
    Router::new()
        .route("/services", get(services))
        .route("/trace/{request}", get(trace))
        .with_state(client)
}

async fn services(State(client): State<Client>) -> Result<Json<Vec<Value>>, Refusal> {
    let services = client.services().await.map_err(|error| away(&error))?;
    let services = services.iter().map(|service| {
        let instances: Vec<_> = service.instances.iter().map(instance).collect();
        json!({ "service": service.service, "instances": instances })
    });
    Ok(Json(services.collect()))
}

fn instance(stats: &InstanceStats) -> Value {
    json!({
        "instance": stats.instance,
        "process": stats.process,
        "in_flight": stats.in_flight,
        "done": stats.replies.iter().sum::<u64>() + stats.forwarded,
    })
}

async fn trace(
    State(client): State<Client>,
    Path(request): Path<String>,
) -> Result<Json<Vec<Value>>, Refusal> {
    let unknown = || Refusal::new(StatusCode::NOT_FOUND, "no request is known by this name");
    let request: RequestId = request.parse().map_err(|_| unknown())?;
    match client.trace(request).await {
        Ok(requests) if requests.is_empty() => Err(unknown()),
        Ok(requests) => {
            let first_us = requests.first().map_or(0, |first| first.time_us);
            let traced = |request| traced(request, first_us);
            Ok(Json(requests.iter().map(traced).collect()))
        }
        Err(error) => Err(away(&error)),
    }
}

/// Times are microseconds since the first request was accepted.
fn traced(request: &TracedRequest, first_us: u64) -> Value {
    let begun_us = request.time_us.saturating_sub(first_us);
    let steps = request.steps.iter().map(|step| {
        let (kind, status) = match step.kind {
            TraceKind::Started => ("started", None),
            TraceKind::Forwarded => ("forwarded", None),
            TraceKind::Replied(status) => ("replied", Some(status)),
            TraceKind::Ended(_) => ("ended", None),
            _ => ("accepted", None),
        };
        json!({
            "kind": kind,
            "at_us": begun_us + step.at.as_micros() as u64,
            "service": step.service,
            "instance": step.instance,
            "endpoint": step.endpoint,
            "status": status,
        })
    });
    json!({
        "request": request.request.to_string(),
        "parent": request.parent.map(|parent| parent.to_string()),
        "steps": steps.collect::<Vec<_>>(),
    })
}

fn away(error: &ClientError) -> Refusal {
    let reason = format!("the broker does not answer: {error}");
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, reason)
}
