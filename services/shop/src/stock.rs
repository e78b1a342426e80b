//! `stock`: what is there.
//!
//! | request | answer |
//! |---|---|
//! | `GET /items` | all items, with how many are left |
//! | `POST /items/{item}/take` | takes one; 409 if none is left |
//! | `POST /items/{item}/give` | gives one back |
//! | `GET /events` | server-sent events: all items now, and again with every change |

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::{Stream, stream};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::refusal::Refusal;

/// One row of the shelf.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Item {
    id: String,
    name: String,
    cents: u32,
    left: u32,
    /// Most that can be there.
    room: u32,
}

/// The shelf; clones are one and the same.
#[derive(Clone, Debug)]
pub struct Stock(Arc<watch::Sender<Vec<Item>>>);

impl Default for Stock {
    fn default() -> Self {
        let rows = [
            ("lantern", "Storm lantern", 3_900, 12),
            ("compass", "Brass compass", 5_400, 5),
            ("rope", "Hemp rope, 20 m", 2_200, 20),
            ("tea", "Smoked tea", 1_150, 8),
        ];
        let items = rows.map(|(id, name, cents, left)| Item {
            id: id.to_owned(),
            name: name.to_owned(),
            cents,
            left,
            room: left,
        });
        Self(Arc::new(watch::Sender::new(items.to_vec())))
    }
}

/// The service over a shelf.
pub fn stock(stock: Stock) -> Router {
    Router::new()
        .route("/items", get(items))
        .route("/items/{item}/take", post(take))
        .route("/items/{item}/give", post(give))
        .route("/events", get(events))
        .with_state(stock)
}

async fn items(State(stock): State<Stock>) -> Json<Vec<Item>> {
    Json(stock.0.borrow().clone())
}

async fn take(State(stock): State<Stock>, Path(id): Path<String>) -> Result<Json<Item>, Refusal> {
    stock.change(&id, |item| {
        item.left = item.left.checked_sub(1).ok_or("sold out")?;
        Ok(())
    })
}

async fn give(State(stock): State<Stock>, Path(id): Path<String>) -> Result<Json<Item>, Refusal> {
    stock.change(&id, |item| {
        if item.left == item.room {
            return Err("all of it is here already");
        }
        item.left += 1;
        Ok(())
    })
}

impl Stock {
    fn change(
        &self,
        id: &str,
        change: impl FnOnce(&mut Item) -> Result<(), &'static str>,
    ) -> Result<Json<Item>, Refusal> {
        let unknown = Refusal::new(StatusCode::NOT_FOUND, format!("there is no {id} here"));
        let mut outcome = Err(unknown);
        self.0.send_if_modified(|items| {
            let Some(item) = items.iter_mut().find(|item| item.id == id) else {
                return false;
            };
            outcome = change(item)
                .map(|()| Json(item.clone()))
                .map_err(|reason| Refusal::new(StatusCode::CONFLICT, reason));
            outcome.is_ok()
        });
        outcome
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

/// One event a change, as long as somebody listens.
fn told(changes: watch::Receiver<Vec<Item>>) -> impl Stream<Item = Result<String, Infallible>> {
    stream::unfold(changes, |mut changes| async move {
        changes.changed().await.ok()?;
        let items = serde_json::json!(*changes.borrow_and_update());
        Some((Ok(format!("data: {items}\n\n")), changes))
    })
}
