//! `GET /v1/requests/{id}`: what came of a request of durability `disk`, whichever gateway it came in by.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use verteilt_client::{ClientError, ErrorCode, RequestId, RequestResult};

use crate::api::Doors;
use crate::problem::Problem;
use crate::proxy::{Prefer, failed, pending, read};

/// Longest that somebody may wait here.
const WAIT_MAX: Duration = Duration::from_secs(60);

pub(crate) async fn result(
    State(doors): State<Doors>,
    Path(id): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let request: RequestId = id.parse().map_err(|_| unknown())?;
    let wait = Prefer::of(&headers).wait.unwrap_or_default().min(WAIT_MAX);
    let limit = wait + doors.config.broker_deadline;
    let asked = tokio::time::timeout(limit, doors.client.result(request, wait)).await;
    let what = "the result";
    let result = match asked.unwrap_or(Err(ClientError::Deadline { what, limit })) {
        Err(error) if error.code() == Some(ErrorCode::RequestUnknown) => return Err(unknown()),
        other => other?,
    };
    match result {
        RequestResult::Replied { response, .. } => {
            let read = read(response, &method)?;
            let body = match read.body {
                Some(body) => body.bytes().await?,
                None => bytes::Bytes::new(),
            };
            let mut response = Response::new(Body::from(body));
            *response.status_mut() = read.status;
            *response.headers_mut() = read.fields;
            Ok(response)
        }
        RequestResult::Failed { error, .. } => Err(failed(error)),
        _ => Ok(pending(request)),
    }
}

fn unknown() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "REQUEST_UNKNOWN",
        "no such request was accepted, or its result is no longer kept",
    )
}
