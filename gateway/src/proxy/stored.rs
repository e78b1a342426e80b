//! Requests of rows of durability `disk`: accepted for good before anything else, then waited for, or
//! asked for later at any gateway.

use std::time::{Duration, Instant};

use axum::Json;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse as _;
use hyper::body::Incoming;
use serde::Serialize;
use verteilt_client::{
    ClientError, Durability, ErrorCode, RequestId, RequestResult, Response as Reply,
};

use super::journey::Journey;
use super::prefer::{self, Prefer};
use super::upload::{Upload, UploadLimits};
use super::{Passage, Proxy, ask, reply};
use crate::answer::Answer;
use crate::problem::Problem;

/// Says that an answer was made for an earlier request of the same key.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const APPLIED: HeaderName = HeaderName::from_static("preference-applied");
/// What a client is told to wait before it asks for the result again.
const PAUSE_S: u64 = 1;

/// The answer to a request whose result is not there.
#[derive(Serialize)]
struct Pending {
    status: &'static str,
    request_id: String,
    location: String,
}

/// Where the result of a request is.
fn location(request: RequestId) -> String {
    format!("/v1/requests/{request}")
}

/// 202: the result will be there.
pub(crate) fn pending(request: RequestId) -> axum::response::Response {
    let location = location(request);
    let fields = [
        (header::LOCATION, location.clone()),
        (header::RETRY_AFTER, PAUSE_S.to_string()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    let body = Json(Pending {
        status: "pending",
        request_id: request.to_string(),
        location,
    });
    (StatusCode::ACCEPTED, fields, body).into_response()
}

/// Why there is no answer. That it would be too large is not the client's fault.
pub(crate) fn failed(error: ClientError) -> Problem {
    if error.code() == Some(ErrorCode::BodyTooLarge) {
        let detail = "the service answered more than is kept of an answer";
        return Problem::new(StatusCode::BAD_GATEWAY, "BAD_REPLY", detail);
    }
    error.into()
}

/// What came of it.
enum Came {
    Reply(Reply),
    Pending(RequestId),
}

pub(super) async fn answer(
    proxy: &Proxy,
    passage: &mut Passage,
    parts: Parts,
    incoming: Incoming,
    mut journey: Box<Journey>,
) -> Response<Answer> {
    let prefer = Prefer::of(&parts.headers);
    let mut known = false;
    let asked = ask_for_good(proxy, passage, &parts, incoming, &mut journey);
    let came = match asked.await {
        Ok(accepted) => {
            known = accepted.known;
            let wait = patience(prefer, passage.route.deadline);
            await_reply(proxy, accepted.request, wait, &journey).await
        }
        Err(problem) => Err(problem),
    };
    let mut response = match came {
        Ok(Came::Pending(request)) => {
            journey.answer(StatusCode::ACCEPTED, None);
            pending(request).map(|body| Answer::refusal(body, journey))
        }
        Ok(Came::Reply(response)) => reply::pass_on(response, &parts.method, journey),
        Err(problem) => reply::refuse(problem, journey),
    };
    say(response.headers_mut(), known, prefer);
    response
}

/// How long the answer is awaited.
fn patience(prefer: Prefer, deadline: Duration) -> Duration {
    match prefer.wait {
        Some(wait) => wait.min(deadline),
        None if prefer.respond_async => Duration::ZERO,
        // The broker ends it at its deadline, and says who held it.
        None => deadline + Duration::from_secs(2),
    }
}

fn say(fields: &mut HeaderMap, known: bool, prefer: Prefer) {
    if known {
        fields.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    let applied = prefer.applied();
    if let Some(applied) = applied.and_then(|text| HeaderValue::from_str(&text).ok()) {
        fields.insert(APPLIED, applied);
    }
}

/// Comes once the request is on the disk.
async fn ask_for_good(
    proxy: &Proxy,
    passage: &mut Passage,
    parts: &Parts,
    incoming: Incoming,
    journey: &mut Journey,
) -> Result<verteilt_client::Accepted, Problem> {
    let limits = UploadLimits {
        bytes_max: passage.route.body_bytes_max,
        whole_bytes_max: usize::try_from(passage.route.body_bytes_max).unwrap_or(usize::MAX),
        deadline: proxy.config.body_deadline,
    };
    let key = prefer::key(&parts.headers)?;
    let upload = Upload::begin(&parts.headers, incoming, limits, &journey.progress).await?;
    let body = upload.into_whole(limits).await?;
    let request = match key {
        Some(key) => prefer::id_of(key, &passage.route.name, &parts.headers),
        // Whoever knows it may ask for the result, so nobody must guess it.
        None => random_id()?,
    };
    passage.identity.rename(request);
    let fingerprint = prefer::fingerprint(parts, &body);
    let sending = ask::sending(proxy, passage, parts)?
        .id(request)
        .deadline(passage.route.deadline)
        .durability(Durability::Disk)
        .fingerprint(fingerprint.to_vec())
        .body(body);
    let accepted = sending.detach().await?;
    if let Some(meters) = passage.table.remember(&passage.route) {
        journey.count_as(meters);
    }
    Ok(accepted)
}

fn random_id() -> Result<RequestId, Problem> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Problem::new(
            status,
            "NO_RANDOMNESS",
            format!("no random numbers: {error}"),
        )
    })?;
    Ok(RequestId(u128::from_be_bytes(id)))
}

async fn await_reply(
    proxy: &Proxy,
    request: RequestId,
    wait: Duration,
    journey: &Journey,
) -> Result<Came, Problem> {
    let end = Instant::now() + wait;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        match proxy.client.result(request, left).await? {
            RequestResult::Replied { response, .. } => return Ok(Came::Reply(response)),
            RequestResult::Failed { error, service, .. } => {
                let holder = if service.is_empty() {
                    "queue"
                } else {
                    &service
                };
                if error.code() == Some(ErrorCode::DeadlineExceeded) {
                    journey.meters().timed_out(holder);
                }
                return Err(failed(error));
            }
            _ if Instant::now() >= end => return Ok(Came::Pending(request)),
            _ => {}
        }
    }
}
