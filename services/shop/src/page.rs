//! `page`: the front of the shop, without anything from elsewhere.
//!
//! | request | answer |
//! |---|---|
//! | `GET /` | the page |
//! | `GET /shop.css`, `GET /shop.js` | what it is made of |

use axum::Router;
use axum::http::header;
use axum::response::{Html, IntoResponse};
use axum::routing::get;

/// Nothing but what the page itself brings, and requests to where it came from.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                      img-src data:; base-uri 'none'; form-action 'none'";

/// The files of the service.
pub(crate) fn page() -> Router {
    Router::new()
        .route("/", get(show))
        .route("/shop.css", get(style))
        .route("/shop.js", get(script))
}

async fn show() -> impl IntoResponse {
    let policy = (header::CONTENT_SECURITY_POLICY, POLICY);
    ([policy], Html(include_str!("page/index.html")))
}

async fn style() -> impl IntoResponse {
    let kind = (header::CONTENT_TYPE, "text/css; charset=utf-8");
    ([kind], include_str!("page/shop.css"))
}

async fn script() -> impl IntoResponse {
    let kind = (header::CONTENT_TYPE, "text/javascript; charset=utf-8");
    ([kind], include_str!("page/shop.js"))
}
