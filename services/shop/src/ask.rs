//! How a service of the shop asks another one.

use axum::body::Bytes;
use axum::http::StatusCode;
use serde::Serialize;
use serde::de::DeserializeOwned;
use verteilt_client::{Body, ClientError, RequestContext};

use crate::refusal::{Reason, Refusal};

/// An answer of another service, on behalf of the request that is being served: it has the same
/// deadline and ends with it. The endpoint says method and path: `GET /items/fox`.
///
/// What the other one refuses is refused in the same words; 503 if it does not answer.
pub(crate) async fn ask<T: DeserializeOwned>(
    context: &RequestContext,
    service: &str,
    endpoint: &str,
) -> Result<T, Refusal> {
    read(
        service,
        &send(context, service, endpoint, Bytes::new()).await?,
    )
}

/// The same with a body, for an answer that says no more than that it was done.
pub(crate) async fn tell(
    context: &RequestContext,
    service: &str,
    endpoint: &str,
    body: &impl Serialize,
) -> Result<(), Refusal> {
    let body = serde_json::to_vec(body).map_err(|error| broken(service, &error))?;
    send(context, service, endpoint, body.into()).await?;
    Ok(())
}

async fn send(
    context: &RequestContext,
    service: &str,
    endpoint: &str,
    body: Bytes,
) -> Result<Bytes, Refusal> {
    let away = |error: ClientError| {
        Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{service} does not answer: {error}"),
        )
    };
    let call = context.call(service).endpoint(endpoint);
    let call = call.header("content-type", "application/json");
    let answer = call.body(Body::from(body)).send().await.map_err(away)?;
    let status = u16::try_from(answer.status).ok();
    let status = status.and_then(|status| StatusCode::from_u16(status).ok());
    let body = answer.body.bytes().await.map_err(away)?;
    match status {
        Some(status) if status.is_success() => Ok(body),
        status => {
            let reason = serde_json::from_slice(&body).map(|Reason { reason }| reason);
            let reason = reason.unwrap_or_else(|_| format!("{service} failed"));
            Err(Refusal::new(
                status.unwrap_or(StatusCode::BAD_GATEWAY),
                reason,
            ))
        }
    }
}

fn read<T: DeserializeOwned>(service: &str, body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| broken(service, &error))
}

fn broken(service: &str, error: &serde_json::Error) -> Refusal {
    let reason = format!("{service} and this service do not speak alike: {error}");
    Refusal::new(StatusCode::BAD_GATEWAY, reason)
}
