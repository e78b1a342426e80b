//! `cart`: what somebody wants to buy.
//!
//! | request | answer |
//! |---|---|
//! | `GET /carts/{cart}` | what is in it |
//! | `PUT /carts/{cart}/{item}` | puts one in, if `stock` has one; 409 if it has none |
//! | `DELETE /carts/{cart}/{item}` | puts one back |

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, put};
use axum::{Extension, Json, Router};
use parking_lot::Mutex;
use verteilt_client::RequestContext;

use crate::refusal::{Reason, Refusal};

/// Carts that are kept.
const CARTS_MAX: usize = 1_000;

/// How many of each item.
type Cart = BTreeMap<String, u32>;

#[derive(Clone, Default)]
struct Carts(Arc<Mutex<BTreeMap<String, Cart>>>);

/// The service, with no carts yet.
pub fn cart() -> Router {
    Router::new()
        .route("/carts/{cart}", get(show))
        .route("/carts/{cart}/{item}", put(put_in).delete(put_back))
        .with_state(Carts::default())
}

async fn show(State(carts): State<Carts>, Path(cart): Path<String>) -> Json<Cart> {
    Json(carts.0.lock().get(&cart).cloned().unwrap_or_default())
}

async fn put_in(
    State(carts): State<Carts>,
    Path((cart, item)): Path<(String, String)>,
    Extension(context): Extension<RequestContext>,
) -> Result<Json<Cart>, Refusal> {
    {
        let carts = carts.0.lock();
        if carts.len() >= CARTS_MAX && !carts.contains_key(&cart) {
            let reason = "all carts are taken; come back later";
            return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, reason));
        }
    }
    ask_stock(&context, &item, "take").await?;
    let mut carts = carts.0.lock();
    let content = carts.entry(cart).or_default();
    *content.entry(item).or_default() += 1;
    Ok(Json(content.clone()))
}

async fn put_back(
    State(carts): State<Carts>,
    Path((cart, item)): Path<(String, String)>,
    Extension(context): Extension<RequestContext>,
) -> Result<Json<Cart>, Refusal> {
    let content = {
        let mut carts = carts.0.lock();
        let content = carts.entry(cart.clone()).or_default();
        let Some(count) = content.get_mut(&item) else {
            let reason = format!("there is no {item} in this cart");
            return Err(Refusal::new(StatusCode::NOT_FOUND, reason));
        };
        *count -= 1;
        content.retain(|_, count| *count > 0);
        let content = content.clone();
        if content.is_empty() {
            carts.remove(&cart);
        }
        content
    };
    ask_stock(&context, &item, "give").await?;
    Ok(Json(content))
}

/// A request to the other service, on behalf of the one that is being served: it has the same deadline
/// and ends with it.
async fn ask_stock(context: &RequestContext, item: &str, what: &str) -> Result<(), Refusal> {
    // Names with anything else are none of stock's.
    if !item.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        let reason = format!("there is no {item} here");
        return Err(Refusal::new(StatusCode::NOT_FOUND, reason));
    }
    let call = context
        .call("stock")
        .endpoint(format!("POST /items/{item}/{what}"));
    let away = |error: verteilt_client::ClientError| {
        Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("stock does not answer: {error}"),
        )
    };
    let answer = call.send().await.map_err(away)?;
    if answer.status == 200 {
        return Ok(());
    }
    let status = u16::try_from(answer.status).ok();
    let status = status.and_then(|status| StatusCode::from_u16(status).ok());
    let body = answer.body.bytes().await.map_err(away)?;
    let reason = serde_json::from_slice(&body).map(|Reason { reason }| reason);
    Err(Refusal::new(
        status.unwrap_or(StatusCode::BAD_GATEWAY),
        reason.unwrap_or_default(),
    ))
}
