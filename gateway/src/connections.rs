//! One HTTP connection, from the accepted socket to its end.

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::config::GatewayConfig;

/// Serves requests until the other side leaves, is too slow, or `shutdown` lets the request in
/// flight be the last.
pub(crate) async fn serve(
    stream: TcpStream,
    router: Router,
    config: &GatewayConfig,
    shutdown: &CancellationToken,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(config.headers_deadline)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // The other side's doing: it left in the middle, or spoke no HTTP.
        tracing::debug!(%error, "an HTTP connection has ended early");
    }
}
