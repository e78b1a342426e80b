//! Keeps web pages out while there is no authentication: a page that a person of this machine
//! looks at could otherwise push jobs through the browser.

use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::problem::Problem;

/// Browsers put `Origin` on whatever a page sends that changes something; programs do not.
pub(crate) async fn refuse_pages(request: Request, next: Next) -> Response {
    if request.headers().contains_key(header::ORIGIN) {
        return Problem::new(
            StatusCode::FORBIDDEN,
            "PAGE_REFUSED",
            "requests of web pages are refused while no authentication is configured; \
             call the gateway from a server",
        )
        .into_response();
    }
    next.run(request).await
}
