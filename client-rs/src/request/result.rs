//! Requests of durability `disk`: accepted for good, with a result that is kept.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use verteilt_protocol::{ErrorCode, limits, wire};

use super::body::Body;
use super::id::RequestId;
use super::response::Response;
use super::sending::{DEADLINE_SLACK, Outgoing};
use crate::call::{Answer, Request as Call};
use crate::client::Client;
use crate::error::ClientError;
use crate::job::decode_headers;
use crate::options::{Durability, milliseconds};
use crate::shared::Shared;

/// What is asked of one RESULT at a time.
const WAIT_MAX: Duration = Duration::from_millis(limits::RESULT_WAIT_MS_MAX);

/// A request that is on the disk of the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Accepted {
    /// Its id, by which [`Client::result`] asks for what came of it.
    pub request: RequestId,
    /// It had been accepted before: nothing was begun anew.
    pub known: bool,
}

/// What came of a request of durability `disk`.
#[derive(Debug)]
#[non_exhaustive]
pub enum RequestResult {
    /// It waits for a worker, or one has it.
    Pending {
        /// What is left of its deadline.
        left: Duration,
    },
    /// It was answered.
    Replied {
        /// With this.
        response: Response,
        /// How long the broker keeps it from now.
        kept: Duration,
    },
    /// It ended without an answer.
    Failed {
        /// Why, as [`super::Sending::send`] would say.
        error: ClientError,
        /// Who held it; empty: it waited for a worker.
        service: String,
        /// How long the broker keeps this from now.
        kept: Duration,
    },
}

impl Client {
    /// What came of a request of durability `disk`, whoever sent it and from wherever; waits for it
    /// for a while, at most five minutes.
    ///
    /// # Errors
    /// [`ErrorCode::RequestUnknown`]: it was never accepted, or its result is no longer kept.
    /// [`ClientError::Deadline`] when the broker did not answer, [`ClientError::Closed`].
    ///
    /// # Cancel safety
    /// Safe: the request does not know who waits for it.
    pub async fn result(
        &self,
        request: RequestId,
        wait: Duration,
    ) -> Result<RequestResult, ClientError> {
        let wait = wait.min(WAIT_MAX);
        let message = wire::ResultRequest {
            request_id: request.to_wire(),
            wait_ms: milliseconds(wait),
        };
        let shared = self.shared();
        let limit = wait + shared.config.request_timeout;
        let call = shared.call("the result", Call::Result(message), limit);
        let Answer::Frame(frame) = call.await? else {
            return Err(ClientError::protocol(
                "jobs came where a result was asked for",
            ));
        };
        let reply: wire::ResultReply = frame.message()?;
        read(reply, frame.payload)
    }
}

fn read(reply: wire::ResultReply, mut payload: Bytes) -> Result<RequestResult, ClientError> {
    let left = Duration::from_millis(reply.left_ms);
    match reply.state() {
        wire::ResultState::Pending => Ok(RequestResult::Pending { left }),
        wire::ResultState::Replied => {
            let length = reply.header_length as usize;
            if length > payload.len() {
                let what = "a RESULT_REPLY is shorter than its headers";
                return Err(ClientError::protocol(what));
            }
            let headers = payload.split_to(length);
            let mut response = Response::with_status(reply.status, Body::from(payload));
            response.headers = decode_headers(&headers);
            Ok(RequestResult::Replied {
                response,
                kept: left,
            })
        }
        wire::ResultState::Failed => {
            let code = ErrorCode::from_number(reply.code);
            let error = ClientError::refused(wire::Error {
                code: reply.code,
                message: reply.message,
                retryable: code.is_some_and(ErrorCode::is_retryable),
                retry_after_ms: 0,
            });
            Ok(RequestResult::Failed {
                error,
                service: reply.service,
                kept: left,
            })
        }
        wire::ResultState::Unspecified => Err(ClientError::protocol("a RESULT_REPLY has no state")),
    }
}

/// Has a request accepted. Sent again on the next connection, for the broker takes it once.
pub(super) async fn accept(
    shared: &Shared,
    mut outgoing: Outgoing,
    fingerprint: Bytes,
) -> Result<Accepted, ClientError> {
    if outgoing.outlet.is_some() {
        return Err(ClientError::BodyTooLarge {
            bytes: limits::STORED_BYTES_MAX as u64 + 1,
            limit: limits::STORED_BYTES_MAX as u64,
        });
    }
    let now = Instant::now();
    let left = outgoing.deadline.saturating_duration_since(now);
    let message = wire::Request {
        durability: Durability::Disk.to_wire(),
        detach: true,
        fingerprint,
        ..outgoing.message(now)
    };
    let call = Call::Accept(Box::new(message), outgoing.payload);
    let Answer::Frame(frame) = shared
        .call("the acceptance of the request", call, left)
        .await?
    else {
        return Err(ClientError::protocol(
            "jobs came where a request was accepted",
        ));
    };
    let accepted: wire::RequestAccepted = frame.message()?;
    Ok(Accepted {
        request: outgoing.id,
        known: accepted.known,
    })
}

/// Waits for the reply of a request that was accepted.
pub(super) async fn reply_of(
    client: &Client,
    request: RequestId,
    deadline: Instant,
) -> Result<Response, ClientError> {
    let begun = Instant::now();
    loop {
        let left = (deadline + DEADLINE_SLACK).saturating_duration_since(Instant::now());
        match client.result(request, left).await? {
            RequestResult::Replied { response, .. } => return Ok(response),
            RequestResult::Failed { error, .. } => return Err(error),
            // One that was accepted before may have a later deadline of its own.
            RequestResult::Pending { .. } if left.is_zero() => {
                return Err(ClientError::Deadline {
                    what: "the request",
                    limit: begun.elapsed(),
                });
            }
            RequestResult::Pending { .. } => {}
        }
    }
}
