//! Sending a request to its service, once more where that is safe.

use std::time::Instant;

use axum::http::Method;
use axum::http::request::Parts;
use verteilt_client::{ClientError, ErrorCode, Response, Sending};

use super::fields::{self, Pseudo};
use super::journey::Journey;
use super::upload::Upload;
use super::{Passage, Proxy, admit};
use crate::problem::Problem;

/// As long as an endpoint is at most.
const ENDPOINT_BYTES_MAX: usize = 200;

/// Comes with the head of the reply.
pub(super) async fn ask(
    proxy: &Proxy,
    passage: &Passage,
    parts: &Parts,
    upload: &mut Upload,
    journey: &mut Journey,
) -> Result<Response, Problem> {
    let route = &passage.route;
    let may_repeat = parts.method.is_idempotent() && upload.is_whole();
    let end = Instant::now() + route.deadline;
    let mut id = passage.identity.number;
    let mut left = if may_repeat { route.retries } else { 0 };
    loop {
        let sent = sending(proxy, passage, parts)?
            .id(id)
            .deadline(end.saturating_duration_since(Instant::now()))
            .body(upload.body())
            .send()
            .await;
        match sent {
            Ok(response) => {
                if let Some(meters) = passage.table.remember(route) {
                    journey.count_as(meters);
                }
                return Ok(response);
            }
            Err(error) if left > 0 && was_lost(&error) && Instant::now() < end => {
                left -= 1;
                journey.meters().again();
                id = proxy.numbers.next();
            }
            Err(error) => {
                if error.code() == Some(ErrorCode::DeadlineExceeded) {
                    journey.meters().timed_out(holder(&error.to_string()));
                }
                return Err(error.into());
            }
        }
    }
}

/// A request for the service, without its id, its deadline and its body.
pub(super) fn sending(proxy: &Proxy, passage: &Passage, parts: &Parts) -> Result<Sending, Problem> {
    let route = &passage.route;
    let path = seen(parts.uri.path(), &route.strip_prefix);
    let pseudo = Pseudo {
        host: admit::head(parts)?.host,
        path,
        prefix: &route.strip_prefix,
        parameters: &passage.parameters,
        remote: passage.remote,
    };
    let endpoint = endpoint(&parts.method, route.endpoint.as_deref().unwrap_or(path));
    let sending = proxy.client.request(&*route.service);
    Ok(sending
        .version(route.version(passage.identity.hash))
        .endpoint(endpoint)
        .headers(fields::of_request(parts, pseudo, &passage.identity)))
}

/// The path without what the service does not see.
fn seen<'a>(path: &'a str, strip_prefix: &str) -> &'a str {
    match path.strip_prefix(strip_prefix) {
        Some("") => "/",
        Some(rest) => rest,
        None => path,
    }
}

fn endpoint(method: &Method, path: &str) -> String {
    let mut endpoint = format!("{method} {path}");
    if endpoint.len() > ENDPOINT_BYTES_MAX {
        let most = (0..=ENDPOINT_BYTES_MAX).rev();
        let cut = most.into_iter().find(|at| endpoint.is_char_boundary(*at));
        endpoint.truncate(cut.unwrap_or(0));
    }
    endpoint
}

/// Whoever had it is gone; another may do it.
fn was_lost(error: &ClientError) -> bool {
    matches!(
        error.code(),
        Some(ErrorCode::WorkerLost | ErrorCode::RequestLost)
    )
}

/// The service that had a request when its deadline fell, as the broker's text says.
fn holder(text: &str) -> &str {
    let behind = text.split_once("held by ").map(|(_, behind)| behind);
    let name = behind.and_then(|behind| behind.split([',', ' ', '.']).next());
    name.unwrap_or("queue")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_sees_the_path_behind_its_name() {
        assert_eq!(seen("/cart/items", "/cart"), "/items");
        assert_eq!(seen("/cart", "/cart"), "/");
        assert_eq!(seen("/cart/", "/cart"), "/");
        assert_eq!(seen("/items", ""), "/items");
    }

    #[test]
    fn an_endpoint_is_cut_between_characters() {
        let long = format!("/{}", "ä".repeat(200));
        let cut = endpoint(&Method::GET, &long);
        assert!(cut.len() <= ENDPOINT_BYTES_MAX && cut.starts_with("GET /ä"));
    }

    #[test]
    fn the_holder_stands_in_the_text() {
        assert_eq!(holder("x; held by stock, instance 7"), "stock");
        assert_eq!(holder("x; it waited for a worker"), "queue");
    }
}
