//! Callers: every request of the plan at its time, and what became of it.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use tokio::task::JoinSet;
use verteilt_client::{Body, Client, ClientError, ErrorCode, RequestId, Sending};
use verteilt_history::{Body as Print, RequestRecord};

use crate::body;
use crate::request_book::{Waiting, service_name};
use crate::request_plan::RequestPlan;
use crate::world::World;

/// Sends the requests of one caller; ends when nobody waits any more.
pub(crate) async fn run(world: World, client: Client, requests: Vec<RequestPlan>) {
    let mut under_way = JoinSet::new();
    for plan in requests {
        tokio::time::sleep_until(world.at(plan.at_ms)).await;
        let (world, client) = (world.clone(), client.clone());
        under_way.spawn(async move {
            let sending = client.request(service_name(plan.service));
            match plan.gives_up_ms {
                None => drop(ask(&world, sending, plan).await),
                Some(ms) => {
                    let asking = ask(&world, sending, plan);
                    let _ = tokio::time::timeout(Duration::from_millis(ms), asking).await;
                }
            }
        });
    }
    while under_way.join_next().await.is_some() {}
}

/// A body in so many pieces, or as a whole.
pub(crate) fn in_pieces(bytes: &Bytes, pieces: u32) -> Body {
    if pieces == 0 {
        return Body::from(bytes.clone());
    }
    let chunk = bytes.len().div_ceil(pieces as usize).max(1);
    let pieces: Vec<Bytes> = bytes.chunks(chunk).map(Bytes::copy_from_slice).collect();
    let pieces = pieces.into_iter().map(Ok::<Bytes, ClientError>);
    Body::from_stream(stream::iter(pieces))
}

/// Sends a request, and tells the history what comes of it. The answer, if there is one.
pub(crate) async fn ask(world: &World, sending: Sending, plan: RequestPlan) -> Option<Bytes> {
    let request = plan.number;
    let bytes = body::of(request, plan.size);
    world.tell_request(RequestRecord::Sent {
        request,
        service: service_name(plan.service).to_owned(),
        deadline_ms: plan.deadline_ms,
        body: Print::of(&bytes),
    });
    let waiting = Waiting::new(world, RequestRecord::GivenUp { request });
    let sending = sending
        .id(RequestId(request.into()))
        .deadline(Duration::from_millis(plan.deadline_ms))
        .body(in_pieces(&bytes, plan.pieces));
    let response = match sending.send().await {
        Ok(response) => response,
        Err(error) => {
            let late = error.code() == Some(ErrorCode::DeadlineExceeded);
            waiting.over(RequestRecord::Ended { request, late });
            return None;
        }
    };
    let status = response.status;
    world.tell_request(RequestRecord::Began { request, status });
    match response.body.bytes().await {
        Ok(bytes) => {
            let body = Print::of(&bytes);
            waiting.over(RequestRecord::Answered { request, body });
            Some(bytes)
        }
        Err(_) => {
            waiting.over(RequestRecord::BrokenOff { request });
            None
        }
    }
}
