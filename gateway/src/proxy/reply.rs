//! The service's reply as HTTP, and refusals.

use axum::http::{HeaderMap, Method, Response, StatusCode, header};
use axum::response::IntoResponse as _;
use verteilt_client::{Body, Response as Reply};

use super::fields;
use super::journey::Journey;
use super::upload::length_of;
use crate::answer::Answer;
use crate::problem::Problem;

/// Set by the worker's client where the handler made no answer.
const ERROR: &str = "verteilt-error";

/// A reply that can be passed on.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) status: StatusCode,
    pub(crate) fields: HeaderMap,
    /// As the service said, of a stream.
    pub(super) length: Option<u64>,
    /// None: this answer has no body.
    pub(crate) body: Option<Body>,
}

pub(crate) fn read(reply: Reply, method: &Method) -> Result<Read, Problem> {
    let status = u16::try_from(reply.status).ok();
    let status = status.and_then(|status| StatusCode::from_u16(status).ok());
    let Some(status) = status.filter(|status| !status.is_informational()) else {
        return Err(bad(&format!("status {}", reply.status)));
    };
    if let Some(error) = reply.header_value(ERROR)
        && reply.body.is_empty()
    {
        return Err(not_handled(status, &String::from_utf8_lossy(error)));
    }
    let Some(mut fields) = fields::of_response(reply.headers) else {
        return Err(bad("a header that cannot stand in HTTP"));
    };
    let no_body = *method == Method::HEAD
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED;
    let lengths = fields.get_all(header::CONTENT_LENGTH).iter().count();
    let said = length_of(&fields).filter(|_| lengths == 1);
    let keeps_length = match reply.body.len() {
        _ if no_body => status != StatusCode::NO_CONTENT && said.is_some(),
        Some(length) => said == Some(length),
        None => said.is_some(),
    };
    if !keeps_length {
        fields.remove(header::CONTENT_LENGTH);
    }
    Ok(Read {
        status,
        fields,
        length: said,
        body: (!no_body).then_some(reply.body),
    })
}

fn bad(what: &str) -> Problem {
    Problem::new(
        StatusCode::BAD_GATEWAY,
        "BAD_REPLY",
        format!("the service answered {what}"),
    )
}

fn not_handled(status: StatusCode, error: &str) -> Problem {
    if status == StatusCode::SERVICE_UNAVAILABLE {
        return Problem::new(
            status,
            "WORKER_STOPPING",
            "the worker is stopping; come again",
        )
        .retry_after(std::time::Duration::ZERO);
    }
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "SERVICE_FAILED",
        format!("the service could not answer ({error}); its log says why"),
    )
}

/// A reply as the answer, or what is wrong with it.
pub(super) fn pass_on(
    reply: Reply,
    method: &Method,
    mut journey: Box<Journey>,
) -> Response<Answer> {
    let read = match read(reply, method) {
        Ok(read) => read,
        Err(problem) => return refuse(problem, journey),
    };
    journey.answer(read.status, None);
    let body = match read.body {
        Some(body) => Answer::of_service(body, read.length, journey),
        None => Answer::none(journey),
    };
    let mut response = Response::new(body);
    *response.status_mut() = read.status;
    *response.headers_mut() = read.fields;
    response
}

/// A problem as the answer.
pub(super) fn refuse(problem: Problem, mut journey: Box<Journey>) -> Response<Answer> {
    journey.answer(problem.status(), Some(problem.code()));
    problem
        .into_response()
        .map(|body| Answer::refusal(body, journey))
}
