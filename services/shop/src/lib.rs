//! The part of a small shop that is written in Rust: services that talk through the queue, and a page
//! that shows it. `verteilt up` starts it; it is also what to copy when you begin a service of your own.
//! What the other half does, in Node, stands in services/README.md.
//!
//! | file | service | what it does |
//! |---|---|---|
//! | `stock.rs`, over the rows of `shelf.rs` | `stock` | knows what is there, lends it out, sells it, streams every change |
//! | `cart.rs` | `cart` | keeps carts in memory; asks `stock` before it puts anything in |
//! | `page.rs`, `insight.rs` | `page` | the page for the front of a gateway; who serves, and the way of a request |
//!
//! Each is an ordinary axum router; [`verteilt_tower`] puts it on the queue. `ask.rs` is how one asks
//! another.

mod ask;
mod cart;
mod insight;
mod page;
mod refusal;
mod shelf;
mod stock;

use axum::Router;
use verteilt_client::{Client, ClientError, ServeOptions, Serving};

/// The services of this crate.
pub const SERVICES: [&str; 3] = ["stock", "cart", "page"];

/// Requests of each service at one time; event streams count, too.
const CONCURRENCY: u32 = 256;

/// The routes that a gateway needs beside `/<service>/...`: the page at its front, and the checkout,
/// which is answered by another service than the one that it goes to.
pub const ROUTES: &str = include_str!("routes.toml");

/// Serves those of [`SERVICES`] that are named; each ends when its part of the result is dropped.
///
/// # Errors
/// As [`verteilt_tower::serve`].
///
/// # Cancel safety
/// Dropped, nothing is served.
pub async fn open(client: &Client, services: &[&str]) -> Result<Vec<Serving>, ClientError> {
    let mut shop = Vec::with_capacity(services.len());
    for &service in services {
        let options = ServeOptions::concurrency(CONCURRENCY);
        let app = app(service, client);
        shop.push(verteilt_tower::serve(client, service, options, app).await?);
    }
    Ok(shop)
}

fn app(service: &str, client: &Client) -> Router {
    match service {
        "stock" => stock::stock(),
        "cart" => cart::cart(),
        "page" => page::page().merge(insight::insight(client.clone())),
        // A service without routes: every request is answered with 404.
        _ => Router::new(),
    }
}
