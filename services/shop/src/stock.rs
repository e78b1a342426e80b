//! `stock`: what is there.
//!
//! | request | answer |
//! |---|---|
//! | `GET /items` | all items that it knows, with how many are left |
//! | `POST /items/{item}/take/{count}` | takes so many; 409 if there are less |
//! | `POST /items/{item}/give/{count}` | gives so many back |
//! | `POST /sales` | sells a priced order, has `orders` note it, and answers with the receipt |
//! | `GET /sales/{order}` | the receipt of an order that was sold |
//! | `GET /events` | server-sent events: all items now, and each again with every change |

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use futures_util::{Stream, stream};
use tokio::sync::watch;
use verteilt_client::RequestContext;

use crate::ask::{ask, tell};
use crate::refusal::Refusal;
use crate::shelf::{Item, Order, Shelf};

/// The shelf; clones are one and the same.
#[derive(Clone)]
struct Stock(Arc<watch::Sender<Shelf>>);

/// The service over a full shelf.
pub(crate) fn stock() -> Router {
    let stock = Stock(Arc::new(watch::Sender::new(Shelf::default())));
    Router::new()
        .route("/items", get(items))
        .route("/items/{item}/take/{count}", post(take))
        .route("/items/{item}/give/{count}", post(give))
        .route("/sales", post(sell))
        .route("/sales/{order}", get(receipt))
        .route("/events", get(events))
        .with_state(stock)
}

async fn items(State(stock): State<Stock>) -> impl IntoResponse {
    Json(serde_json::json!(stock.0.borrow().items()))
}

async fn take(
    State(stock): State<Stock>,
    Path((id, count)): Path<(String, u32)>,
    Extension(context): Extension<RequestContext>,
) -> Result<Json<Item>, Refusal> {
    stock.learn(&context, &id).await?;
    stock.change(|shelf| shelf.take(&id, count)).map(Json)
}

async fn give(
    State(stock): State<Stock>,
    Path((id, count)): Path<(String, u32)>,
) -> Result<Json<Item>, Refusal> {
    stock.change(|shelf| shelf.give(&id, count)).map(Json)
}

/// The end of a checkout's way: what is answered here goes straight to who sent it. `orders` is asked,
/// not forwarded to: without its word that the order is on the disk there is no receipt.
async fn sell(
    State(stock): State<Stock>,
    Extension(context): Extension<RequestContext>,
    Json(order): Json<Order>,
) -> Result<impl IntoResponse, Refusal> {
    for line in &order.lines {
        stock.learn(&context, &line.id).await?;
    }
    let receipt = stock.change(|shelf| Ok(shelf.sell(order)))?;
    tell(&context, "orders", "POST /placed", &receipt).await?;
    Ok((StatusCode::CREATED, Json(receipt)))
}

async fn receipt(
    State(stock): State<Stock>,
    Path(order): Path<String>,
) -> Result<Json<Order>, Refusal> {
    let receipt = stock.0.borrow().receipt(&order).cloned();
    let nothing = || Refusal::new(StatusCode::NOT_FOUND, "this cart is empty");
    receipt.map(Json).ok_or_else(nothing)
}

impl Stock {
    /// An item that is asked for the first time comes from the catalogue.
    async fn learn(&self, context: &RequestContext, id: &str) -> Result<(), Refusal> {
        if self.0.borrow().has(id) {
            return Ok(());
        }
        let item = ask(context, "catalog", &format!("GET /items/{id}")).await?;
        self.change(|shelf| {
            shelf.add(item);
            Ok(())
        })
    }

    fn change<T>(
        &self,
        change: impl FnOnce(&mut Shelf) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let mut outcome = None;
        self.0.send_if_modified(|shelf| {
            let result = change(shelf);
            let is_done = result.is_ok();
            outcome = Some(result);
            is_done
        });
        outcome.unwrap_or_else(|| Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "")))
    }
}

async fn events(State(stock): State<Stock>) -> impl IntoResponse {
    let mut changes = stock.0.subscribe();
    changes.mark_changed();
    let kind = (header::CONTENT_TYPE, "text/event-stream");
    (
        [kind, (header::CACHE_CONTROL, "no-store")],
        Body::from_stream(told(changes)),
    )
}

/// The items that have changed, as long as somebody listens.
fn told(changes: watch::Receiver<Shelf>) -> impl Stream<Item = Result<String, Infallible>> {
    stream::unfold((changes, 0), |(mut changes, seen)| async move {
        changes.changed().await.ok()?;
        let (event, seen) = {
            let shelf = changes.borrow_and_update();
            let (items, seen) = shelf.since(seen);
            (format!("data: {}\n\n", serde_json::json!(items)), seen)
        };
        Some((Ok(event), (changes, seen)))
    })
}
