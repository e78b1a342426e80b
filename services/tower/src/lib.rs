//! A web application over the queue: any `tower::Service` of HTTP requests, such as an axum router,
//! serves what gateways and other services send, unchanged.
//!
//! ```no_run
//! use verteilt_client::{Client, ServeOptions};
//!
//! # async fn example() -> Result<(), verteilt_client::ClientError> {
//! let client = Client::connect("verteilt://127.0.0.1:7450").await?;
//! let app = axum::Router::new().route("/items", axum::routing::get(|| async { "none" }));
//! let serving = verteilt_tower::serve(&client, "shop", ServeOptions::concurrency(64), app).await?;
//! // A gateway now answers GET /shop/items; dropped, it ends.
//! # drop(serving);
//! # Ok(())
//! # }
//! ```
//!
//! Bodies stream both ways, no faster than they are read. When nobody waits for the answer any more, the
//! application's future is dropped. docs/http.md tells how a request is written as headers.
//!
//! In the extensions of each request stand [`Origin`] and [`verteilt_client::RequestContext`], with which
//! it can ask other services on behalf of this request.

mod body;
mod request;
mod response;

use std::fmt::Display;
use std::future::poll_fn;

use bytes::Buf;
use tower_service::Service;
use verteilt_client::{Client, ClientError, Request, Response, ServeOptions, Serving};

pub use body::RequestBody;
pub use request::Origin;

/// Serves an application under a name, as [`Client::serve`] serves a handler. An error of the
/// application becomes a response of status 500; a request that is no HTTP one of status 400.
///
/// # Errors
/// As [`Client::serve`].
///
/// # Cancel safety
/// Dropped, nothing is served.
pub async fn serve<S, B>(
    client: &Client,
    service: &str,
    options: ServeOptions,
    app: S,
) -> Result<Serving, ClientError>
where
    S: Service<http::Request<RequestBody>, Response = http::Response<B>>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Display,
    B: http_body::Body + Send + 'static,
    B::Data: Buf + Send,
    B::Error: Display,
{
    let handle = move |request| answer(app.clone(), request);
    client.serve(service, options, handle).await
}

async fn answer<S, B>(mut app: S, request: Request) -> Result<Response, String>
where
    S: Service<http::Request<RequestBody>, Response = http::Response<B>> + Send,
    S::Future: Send,
    S::Error: Display,
    B: http_body::Body + Send + 'static,
    B::Data: Buf + Send,
    B::Error: Display,
{
    let request = match request::to_http(request) {
        Ok(request) => request,
        Err(reason) => return Ok(Response::with_status(400, reason.to_owned())),
    };
    let failed = |error: S::Error| error.to_string();
    poll_fn(|context| app.poll_ready(context))
        .await
        .map_err(failed)?;
    let response = app.call(request).await.map_err(failed)?;
    Ok(response::from_http(response).await)
}
