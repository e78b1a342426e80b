//! `POST /v1/queues/{queue}/jobs`: the request body, byte for byte, is the job.

use std::str::FromStr;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{FromRequest as _, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;
use verteilt_client::{Durability, PushOptions};

use crate::api::Doors;
use crate::problem::Problem;

/// In front of an option that comes as a header: `Verteilt-Delay-Ms: 1500`.
const HEADER_PREFIX: &str = "verteilt-";

/// Bytes that one permit of the budget for bodies stands for.
pub(crate) const PERMIT_BYTES: usize = 1024;

/// The options of a push, in the query or, where that is silent, in headers.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Options {
    priority: Option<i32>,
    delay_ms: Option<u64>,
    attempts: Option<u32>,
    durability: Option<Level>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Memory,
    Disk,
}

/// The job is as safe as `durability` says.
#[derive(Debug, Serialize)]
pub(crate) struct Accepted {
    id: u64,
    durability: &'static str,
}

pub(crate) async fn push(
    State(doors): State<Doors>,
    Path(queue): Path<String>,
    query: Result<Query<Options>, QueryRejection>,
    request: Request,
) -> Result<(StatusCode, Json<Accepted>), Problem> {
    let Query(query) = query.map_err(|refused| bad_argument(refused.body_text()))?;
    let mut options = query.over(&request)?;
    options.deadline = Some(doors.config.broker_deadline);
    // Held until the answer: the body is in memory for as long.
    let _room = room(&doors, request.headers())?;
    let body = read(&doors, request).await?;
    let pushed = doors.client.push_with(&queue, body, &options).await?;
    let durability = match pushed.durability {
        Durability::Memory => "memory",
        Durability::Replicated => "replicated",
        Durability::Disk | Durability::Default => "disk",
    };
    Ok((
        StatusCode::ACCEPTED,
        Json(Accepted {
            id: pushed.id,
            durability,
        }),
    ))
}

impl Options {
    fn over(self, request: &Request) -> Result<PushOptions, Problem> {
        let headers = request.headers();
        let delay_ms = self
            .delay_ms
            .or(from_header(headers, "delay-ms")?)
            .unwrap_or(0);
        let durability = match self.durability.or(from_header(headers, "durability")?) {
            None => Durability::Default,
            Some(Level::Memory) => Durability::Memory,
            Some(Level::Disk) => Durability::Disk,
        };
        Ok(PushOptions {
            priority: self
                .priority
                .or(from_header(headers, "priority")?)
                .unwrap_or(0),
            delay: Duration::from_millis(delay_ms),
            attempts: self.attempts.or(from_header(headers, "attempts")?),
            durability,
            ..PushOptions::default()
        })
    }
}

impl FromStr for Level {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "memory" => Ok(Self::Memory),
            "disk" => Ok(Self::Disk),
            _ => Err(()),
        }
    }
}

fn from_header<T: FromStr>(headers: &HeaderMap, name: &str) -> Result<Option<T>, Problem> {
    let name = format!("{HEADER_PREFIX}{name}");
    let Some(value) = headers.get(&name) else {
        return Ok(None);
    };
    let read = value
        .to_str()
        .ok()
        .and_then(|text| text.trim().parse().ok());
    read.map(Some)
        .ok_or_else(|| bad_argument(format!("the header {name} cannot be read")))
}

fn bad_argument(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "BAD_ARGUMENT", detail)
}

fn too_large(doors: &Doors) -> Problem {
    let limit = doors.config.body_bytes_max;
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "BODY_TOO_LARGE",
        format!("a body has at most {limit} bytes; keep it elsewhere and push a reference"),
    )
}

/// Takes the body's share of the memory for bodies: what it says it has, or the most it may have.
fn room(doors: &Doors, headers: &HeaderMap) -> Result<OwnedSemaphorePermit, Problem> {
    let said = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok());
    let length = said.and_then(|length| length.parse::<u64>().ok());
    let limit = doors.config.body_bytes_max;
    if length.is_some_and(|length| length > limit as u64) {
        return Err(too_large(doors));
    }
    let bytes = length
        .and_then(|length| usize::try_from(length).ok())
        .unwrap_or(limit);
    let permits = u32::try_from(bytes.div_ceil(PERMIT_BYTES)).unwrap_or(u32::MAX);
    doors
        .bodies
        .clone()
        .try_acquire_many_owned(permits)
        .map_err(|_| {
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "MEMORY_FULL",
                "the gateway holds as many bodies as it may",
            )
            .retry_after(Duration::from_secs(1))
        })
}

async fn read(doors: &Doors, request: Request) -> Result<Bytes, Problem> {
    let body = Bytes::from_request(request, &());
    match tokio::time::timeout(doors.config.body_deadline, body).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(BytesRejection::FailedToBufferBody(refused)))
            if refused.status() == StatusCode::PAYLOAD_TOO_LARGE =>
        {
            Err(too_large(doors))
        }
        Ok(Err(refused)) => Err(bad_argument(refused.body_text())),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "BODY_TIMEOUT",
            "the body did not arrive in time",
        )),
    }
}
