//! The first look at a request: is it for the gateway itself, or for a service?

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;

use crate::answer::Answer;
use crate::proxy::{self, Proxy};

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Entrance {
    pub(crate) proxy: Proxy,
    pub(crate) own: Router,
}

/// Answers one request.
pub(crate) async fn enter(
    entrance: Arc<Entrance>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    if !is_own(&entrance, request.uri()) {
        return Ok(proxy::pass(&entrance.proxy, peer, request).await);
    }
    // Seldom asked for, and large: not part of what every request carries.
    let own = TowerToHyperService::new(entrance.own.clone());
    let response = Box::pin(own.call(request)).await?;
    Ok(response.map(Answer::own))
}

fn is_own(entrance: &Entrance, uri: &Uri) -> bool {
    match uri.path() {
        "/health" | "/ready" => true,
        "/" => !entrance.proxy.routes.current().has_front(),
        path => path == "/v1" || path.starts_with("/v1/"),
    }
}
