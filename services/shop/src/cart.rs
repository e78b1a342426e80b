//! `cart`: what somebody wants to buy.
//!
//! | request | answer |
//! |---|---|
//! | `GET /carts/{cart}` | what is in it |
//! | `PUT /carts/{cart}/{item}/{count}` | so many of it, if `stock` has them; 409 if it has not |
//! | `DELETE /carts/{cart}` | forgets it: what was in it is sold |

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, put};
use axum::{Extension, Json, Router};
use parking_lot::Mutex;
use serde::de::IgnoredAny;
use verteilt_client::RequestContext;

use crate::ask::ask;
use crate::refusal::Refusal;

/// Carts that are kept.
const CARTS_MAX: usize = 1_000;

/// How many of each item.
type Cart = BTreeMap<String, u32>;

#[derive(Clone, Default)]
struct Carts(Arc<Mutex<BTreeMap<String, Cart>>>);

/// The service, with no carts yet.
pub(crate) fn cart() -> Router {
    Router::new()
        .route("/carts/{cart}", get(show).delete(forget))
        .route("/carts/{cart}/{item}/{count}", put(set))
        .with_state(Carts::default())
}

async fn show(State(carts): State<Carts>, Path(cart): Path<String>) -> Json<Cart> {
    Json(carts.0.lock().get(&cart).cloned().unwrap_or_default())
}

async fn forget(State(carts): State<Carts>, Path(cart): Path<String>) -> StatusCode {
    carts.0.lock().remove(&cart);
    StatusCode::NO_CONTENT
}

/// Says how many there shall be, not how many more: a PUT may be sent twice.
async fn set(
    State(carts): State<Carts>,
    Path((cart, item, count)): Path<(String, String, u32)>,
    Extension(context): Extension<RequestContext>,
) -> Result<Json<Cart>, Refusal> {
    let held = carts.held(&cart, &item)?;
    if count > held {
        change_stock(&context, &item, "take", count - held).await?;
    }
    let content = carts.set(&cart, item.clone(), count);
    if count < held {
        change_stock(&context, &item, "give", held - count).await?;
    }
    Ok(Json(content))
}

impl Carts {
    fn held(&self, cart: &str, item: &str) -> Result<u32, Refusal> {
        let carts = self.0.lock();
        let found = carts.get(cart);
        if found.is_none() && carts.len() >= CARTS_MAX {
            let reason = "all carts are taken; come back later";
            return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, reason));
        }
        let count = found.and_then(|content| content.get(item));
        Ok(count.copied().unwrap_or_default())
    }

    fn set(&self, cart: &str, item: String, count: u32) -> Cart {
        let mut carts = self.0.lock();
        let content = carts.entry(cart.to_owned()).or_default();
        content.insert(item, count);
        content.retain(|_, count| *count > 0);
        let content = content.clone();
        if content.is_empty() {
            carts.remove(cart);
        }
        content
    }
}

async fn change_stock(
    context: &RequestContext,
    item: &str,
    what: &str,
    count: u32,
) -> Result<(), Refusal> {
    let endpoint = format!("POST /items/{item}/{what}/{count}");
    ask::<IgnoredAny>(context, "stock", &endpoint).await?;
    Ok(())
}
