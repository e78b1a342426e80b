//! A request on its way to a service and its answer on the way back.
//!
//! | file | what it knows |
//! |---|---|
//! | `mod.rs` | [`pass`]: the way as a whole |
//! | `admit.rs` | what is refused before any service hears of it |
//! | `ask.rs` | sending it, once more where that is safe |
//! | `stored.rs` | the other way: rows of durability `disk` |
//! | `prefer.rs` | `Prefer` and `Idempotency-Key` |
//! | `reply.rs` | the service's reply as HTTP |
//! | `fields.rs` | header fields both ways |
//! | `identity.rs` | request id and trace |
//! | `upload.rs` | the request's body |
//! | `journey.rs` | what is counted and logged when it is over |

mod admit;
mod ask;
mod fields;
mod identity;
mod journey;
mod prefer;
mod reply;
mod stored;
mod upload;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::http::request::Parts;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use verteilt_client::Client;

use crate::access::AccessLog;
use crate::answer::Answer;
use crate::config::GatewayConfig;
use crate::meters::Meters;
use crate::problem::Problem;
use crate::routes::{Found, Route, Routes, Table};

use admit::Head;
use fields::Remote;
use identity::{Identity, REQUEST_ID};
use upload::{Upload, UploadLimits};

pub(crate) use identity::Numbers;
pub(crate) use journey::Journey;
use journey::LoggedHead;
pub(crate) use prefer::Prefer;
pub(crate) use reply::read;
pub(crate) use stored::{failed, pending};

/// What every request is passed on with.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) client: Client,
    pub(crate) config: Arc<GatewayConfig>,
    pub(crate) routes: Routes,
    pub(crate) log: AccessLog,
    pub(crate) numbers: Numbers,
    /// Of requests that have no route.
    pub(crate) strays: Arc<Meters>,
}

/// A request that has its route.
struct Passage {
    table: Arc<Table>,
    route: Arc<Route>,
    parameters: Vec<(String, String)>,
    identity: Identity,
    remote: Remote,
}

/// From a request to its answer. Dropped, the request is cancelled and its worker told.
pub(crate) async fn pass(
    proxy: &Proxy,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Response<Answer> {
    let begun = Instant::now();
    let (parts, incoming) = request.into_parts();
    let identity = Identity::of(&parts.headers, &proxy.numbers);
    let remote = Remote::of(&parts.headers, peer, &proxy.config.trusted_proxies);
    let mut id = identity.id.clone();
    let head = admit::head(&parts);
    let host = head.as_ref().map_or("", |head| head.host);
    let logged = || LoggedHead::of(&proxy.log, &parts, host, remote, &identity);
    let table = proxy.routes.current();
    let found = head.and_then(|head| find(&table, &parts, &head));
    let mut response = match found {
        Err(problem) => {
            let strays = Arc::clone(&proxy.strays);
            let journey = Journey::begin(begun, None, None, strays, logged);
            reply::refuse(problem, journey)
        }
        Ok((route, parameters)) => {
            let turn = admit::turn(&route, &parts);
            let (turn, refused) = match turn {
                Ok(turn) => (Some(turn), None),
                Err(problem) => (None, Some(problem)),
            };
            let journey = Journey::begin(begun, Some(&route), turn, route.meters(), logged);
            if let Some(problem) = refused {
                reply::refuse(problem, journey)
            } else {
                let mut passage = Passage {
                    table,
                    route,
                    parameters,
                    identity,
                    remote,
                };
                let response = if passage.route.on_disk {
                    stored::answer(proxy, &mut passage, parts, incoming, journey).await
                } else {
                    answer(proxy, &passage, parts, incoming, journey).await
                };
                id = passage.identity.id;
                response
            }
        }
    };
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

type Match = (Arc<Route>, Vec<(String, String)>);

fn find(table: &Table, parts: &Parts, head: &Head<'_>) -> Result<Match, Problem> {
    match table.find(&parts.method, head.host, head.path) {
        Found::Route { route, parameters } => Ok((route, parameters)),
        Found::OtherMethods(methods) => Err(admit::other_methods(&methods)),
        Found::Nothing => Err(admit::no_route(head.path)),
    }
}

async fn answer(
    proxy: &Proxy,
    passage: &Passage,
    parts: Parts,
    incoming: Incoming,
    mut journey: Box<Journey>,
) -> Response<Answer> {
    let limits = UploadLimits {
        bytes_max: passage.route.body_bytes_max,
        whole_bytes_max: proxy.config.whole_bytes_max,
        deadline: proxy.config.body_deadline,
    };
    let upload = Upload::begin(&parts.headers, incoming, limits, &journey.progress).await;
    let asked = match upload {
        Ok(mut upload) => {
            let asked = ask::ask(proxy, passage, &parts, &mut upload, &mut journey).await;
            // What is wrong with the body explains whatever came of it.
            match journey.progress.problem(limits) {
                Some(problem) => Err(problem),
                None => asked,
            }
        }
        Err(problem) => Err(problem),
    };
    match asked {
        Ok(response) => reply::pass_on(response, &parts.method, journey),
        Err(problem) => reply::refuse(problem, journey),
    }
}
