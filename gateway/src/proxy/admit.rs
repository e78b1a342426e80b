//! What is refused before any service hears of it.

use axum::http::request::Parts;
use axum::http::{Method, StatusCode, Version, header};
use std::time::Duration;

use super::upload::length_of;
use crate::problem::Problem;
use crate::routes::{Route, Turn};

/// What a request without a place is told to wait.
const PAUSE: Duration = Duration::from_secs(1);

/// Where a request wants to go.
#[derive(Debug)]
pub(super) struct Head<'a> {
    pub(super) host: &'a str,
    pub(super) path: &'a str,
}

/// Reads what HTTP itself asks for, and refuses what two programs could understand in two ways.
pub(super) fn head(parts: &Parts) -> Result<Head<'_>, Problem> {
    if matches!(parts.method, Method::CONNECT | Method::TRACE) {
        let detail = "this gateway opens no tunnels and traces nothing";
        let refused = Problem::new(StatusCode::NOT_IMPLEMENTED, "METHOD_UNSUPPORTED", detail);
        return Err(refused);
    }
    let path = parts.uri.path();
    if !path.starts_with('/') {
        return Err(malformed("the target of the request is no path"));
    }
    if let Some(reason) = wrong_path(path) {
        return Err(malformed(reason));
    }
    Ok(Head {
        host: host(parts)?,
        path,
    })
}

fn host(parts: &Parts) -> Result<&str, Problem> {
    let mut given = parts.headers.get_all(header::HOST).iter();
    let first = given.next();
    if given.next().is_some() {
        return Err(malformed("there is more than one Host"));
    }
    let field = first.map(|host| host.to_str().map_err(|_| malformed("the Host is no text")));
    let field = field.transpose()?;
    if field.is_none() && parts.version >= Version::HTTP_11 {
        return Err(malformed("there is no Host"));
    }
    // A target with a host counts before the header field (RFC 9112, 3.2.2).
    let host = match parts.uri.authority() {
        Some(authority) => authority.as_str(),
        None => field.unwrap_or_default(),
    };
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~[]:%!$&'()*+,;=".contains(&byte);
    if !host.bytes().all(is_host) {
        return Err(malformed("the Host is no host"));
    }
    Ok(host)
}

/// Dot segments and NUL, in every way of writing them: a service might understand another path than the
/// routes did.
fn wrong_path(path: &str) -> Option<&'static str> {
    if !path.contains(['.', '%', '\\']) {
        return None;
    }
    let plain = path.to_ascii_lowercase().replace("%2e", ".");
    let splits = |at: char| at == '/' || at == '\\';
    if plain
        .replace("%2f", "/")
        .replace("%5c", "\\")
        .split(splits)
        .any(|part| matches!(part, "." | ".."))
    {
        return Some("the path has dot segments; write it without them");
    }
    if plain.contains("%00") {
        return Some("the path has a NUL");
    }
    let mut escapes = plain.split('%').skip(1);
    let is_escape = |text: &str| {
        let digits = text.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    (!escapes.all(is_escape)).then_some("the path has a % without two hexadecimal digits")
}

fn malformed(reason: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "BAD_REQUEST", reason)
}

pub(super) fn no_route(path: &str) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "ROUTE_UNKNOWN",
        format!("there is no route for {path}"),
    )
}

pub(super) fn other_methods(methods: &str) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "METHOD_NOT_ALLOWED",
        format!("this path takes {methods}"),
    )
    .allow(methods)
}

/// A place among the requests of a route, if the request fits its route otherwise.
pub(super) fn turn(route: &Route, parts: &Parts) -> Result<Turn, Problem> {
    let headers = &parts.headers;
    let has_body = length_of(headers).is_some_and(|length| length > 0)
        || headers.contains_key(header::TRANSFER_ENCODING);
    let kind = headers.get(header::CONTENT_TYPE);
    if has_body && !route.takes_type(kind.and_then(|kind| kind.to_str().ok())) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "CONTENT_TYPE_REFUSED",
            format!("this path takes bodies of {}", route.content_types()),
        ));
    }
    route.turn().ok_or_else(|| {
        Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "CONCURRENCY_LIMIT",
            "this route has as many requests in flight as it may; come again",
        )
        .retry_after(PAUSE)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_could_mean_two_things() {
        for path in [
            "/a/../b",
            "/..",
            "/a/%2e%2E/b",
            "/a/.%2e",
            "/a/.",
            "/a%2f..%2fb",
            "/a\\..\\b",
            "/a%5c..",
            "/a%00b",
            "/a%zz",
            "/a%4",
        ] {
            assert!(wrong_path(path).is_some(), "{path}");
        }
        for path in ["/", "/a.b/c..d/...", "/a%20b", "/a%2Fb", "/.well-known/x"] {
            assert!(wrong_path(path).is_none(), "{path}");
        }
    }
}
