//! Every refusal as `application/problem+json` (RFC 9457), and the status that a client's error
//! becomes.
//!
//! ```json
//! {"type": "about:blank", "title": "Not Found", "status": 404,
//!  "code": "QUEUE_UNKNOWN", "detail": "there is no such queue", "retryable": false}
//! ```

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use verteilt_client::ClientError;

/// Seconds after which to come again where the broker gave no advice.
const RETRY_AFTER_S: u64 = 1;

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    retry_after_s: Option<u64>,
    /// Methods that the path takes.
    allow: Option<String>,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    code: &'a str,
    detail: &'a str,
    retryable: bool,
}

impl Problem {
    /// A refusal that the same request meets again. `code` is for programs, `detail` for people.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            retry_after_s: None,
            allow: None,
        }
    }

    /// The same request may succeed after this time, rounded up to whole seconds.
    #[must_use]
    pub fn retry_after(mut self, pause: Duration) -> Self {
        let whole = pause.as_secs() + u64::from(pause.subsec_nanos() > 0);
        self.retry_after_s = Some(whole.max(RETRY_AFTER_S));
        self
    }

    /// The path takes these methods, as `Allow` lists them.
    #[must_use]
    pub fn allow(mut self, methods: impl Into<String>) -> Self {
        self.allow = Some(methods.into());
        self
    }

    /// For programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

impl From<ClientError> for Problem {
    fn from(error: ClientError) -> Self {
        let code = match (&error, error.code()) {
            (_, Some(code)) => code.name(),
            (ClientError::Deadline { .. }, None) => "BROKER_TIMEOUT",
            (_, None) => "BROKER_UNREACHABLE",
        };
        let status = status_of(&error, code);
        // The broker's own words where it spoke; the client's add what a program should do.
        let detail = match &error {
            ClientError::Refused { message, .. } if !message.is_empty() => message.clone(),
            _ => error.to_string(),
        };
        let advice = match &error {
            ClientError::Refused { retry_after, .. } => *retry_after,
            _ => Duration::ZERO,
        };
        let problem = Self::new(status, code, detail);
        // A gateway timeout leaves open whether the job was taken: whether to come again is the
        // caller's to decide.
        if status == StatusCode::SERVICE_UNAVAILABLE {
            problem.retry_after(advice)
        } else {
            problem
        }
    }
}

fn status_of(error: &ClientError, code: &str) -> StatusCode {
    match code {
        "QUEUE_UNKNOWN" => StatusCode::NOT_FOUND,
        "BAD_NAME" | "BAD_ARGUMENT" => StatusCode::BAD_REQUEST,
        "BODY_TOO_LARGE" => StatusCode::PAYLOAD_TOO_LARGE,
        "HEADERS_TOO_LARGE" => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        "REQUEST_MISMATCH" => StatusCode::UNPROCESSABLE_ENTITY,
        "UNSUPPORTED" => StatusCode::NOT_IMPLEMENTED,
        // Whether it ran is unknown: whether to send it again is the caller's to decide.
        "WORKER_LOST" | "REQUEST_LOST" | "BODY_BROKEN" => StatusCode::BAD_GATEWAY,
        "DEADLINE_EXCEEDED" => StatusCode::GATEWAY_TIMEOUT,
        _ => match error {
            ClientError::Deadline { .. } => StatusCode::GATEWAY_TIMEOUT,
            ClientError::Protocol { .. } => StatusCode::BAD_GATEWAY,
            ClientError::Refused {
                retryable: false, ..
            } => StatusCode::BAD_GATEWAY,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        },
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Body {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Refused"),
            status: self.status.as_u16(),
            code: self.code,
            detail: &self.detail,
            retryable: self.retry_after_s.is_some(),
        };
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        let allow = self
            .allow
            .and_then(|allow| HeaderValue::from_str(&allow).ok());
        if let Some(allow) = allow {
            headers.insert(header::ALLOW, allow);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_become_statuses() {
        let too_large = ClientError::BodyTooLarge { bytes: 2, limit: 1 };
        assert_eq!(
            Problem::from(too_large).status(),
            StatusCode::PAYLOAD_TOO_LARGE
        );
        let deadline = ClientError::Deadline {
            what: "push",
            limit: Duration::from_secs(1),
        };
        assert_eq!(
            Problem::from(deadline).status(),
            StatusCode::GATEWAY_TIMEOUT
        );
        let closed = Problem::from(ClientError::Closed);
        assert_eq!(closed.status(), StatusCode::SERVICE_UNAVAILABLE);
        let response = closed.into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "application/problem+json"
        );
    }

    #[test]
    fn a_pause_is_rounded_up() {
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "BUSY", "later");
        let response = problem
            .retry_after(Duration::from_millis(1_001))
            .into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
    }
}
