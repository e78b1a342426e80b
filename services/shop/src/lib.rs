//! A small shop as two services that talk through the queue, and a page that shows it. `verteilt up`
//! starts it; it is also what to copy when you begin a service of your own.
//!
//! | file | service | what it does |
//! |---|---|---|
//! | `stock.rs` | `stock` | knows what is there, lends it out, streams every change |
//! | `cart.rs` | `cart` | keeps carts in memory; asks `stock` before it puts anything in |
//! | `page.rs` | `page` | the page, for the front of a gateway |
//!
//! Each is an ordinary axum router; [`verteilt_tower`] puts it on the queue.

mod cart;
mod page;
mod refusal;
mod stock;

use verteilt_client::{Client, ClientError, ServeOptions, Serving};

pub use cart::cart;
pub use page::page;
pub use stock::{Stock, stock};

/// Requests of each service at one time; event streams count, too.
const CONCURRENCY: u32 = 256;

/// The route that a gateway needs beside `/<service>/...`, to show the page at its front.
pub const ROUTES: &str = "default_routes = true\n\n\
    [[routes]]\npath = \"/\"\nmethods = [\"GET\"]\nservice = \"page\"\n";

/// Serves all of them; ends when the result is dropped.
///
/// # Errors
/// As [`verteilt_tower::serve`].
///
/// # Cancel safety
/// Dropped, nothing is served.
pub async fn open(client: &Client) -> Result<Vec<Serving>, ClientError> {
    let apps = [
        ("stock", stock(Stock::default())),
        ("cart", cart()),
        ("page", page()),
    ];
    let mut shop = Vec::with_capacity(apps.len());
    for (service, app) in apps {
        let options = ServeOptions::concurrency(CONCURRENCY);
        shop.push(verteilt_tower::serve(client, service, options, app).await?);
    }
    Ok(shop)
}
