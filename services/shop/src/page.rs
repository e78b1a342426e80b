//! `page`: the front of the shop, without anything from elsewhere. `GET /` is the page, and `GET /NAME`
//! each file that it is made of.

use axum::Router;
use axum::http::header;
use axum::response::{Html, IntoResponse};
use axum::routing::get;

/// Nothing but what the page itself brings, and requests to where it came from.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                      img-src data:; base-uri 'none'; form-action 'none'";

/// A path, and what is there.
macro_rules! files {
    ($($name:literal),*) => { [$((concat!("/", $name), include_str!(concat!("page/", $name)))),*] };
}

const FILES: [(&str, &str); 8] = files![
    "shop.css",
    "main.js",
    "dom.js",
    "catalogue.js",
    "cart.js",
    "receipt.js",
    "live.js",
    "services.js"
];

/// The files of the service.
pub(crate) fn page() -> Router {
    let page = Router::new().route("/", get(show));
    FILES.into_iter().fold(page, |page, (path, content)| {
        let kind = if path.ends_with(".css") {
            "text/css; charset=utf-8"
        } else {
            "text/javascript; charset=utf-8"
        };
        let file = move || async move { ([(header::CONTENT_TYPE, kind)], content) };
        page.route(path, get(file))
    })
}

async fn show() -> impl IntoResponse {
    let policy = (header::CONTENT_SECURITY_POLICY, POLICY);
    ([policy], Html(include_str!("page/index.html")))
}
