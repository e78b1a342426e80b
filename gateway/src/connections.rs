//! One HTTP connection, from the accepted socket to its end.

use std::net::SocketAddr;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::config::GatewayConfig;
use crate::entrance::{Entrance, enter};
use crate::patience::Patience;

/// hyper's own, which costs no memory of its own.
const HEADERS_MAX_DEFAULT: usize = 100;

/// Least bytes that hyper reads into.
const READ_BYTES_MIN: usize = 8 * 1024;

/// Serves requests until the other side leaves, is too slow, or `shutdown` lets the request in
/// flight be the last.
pub(crate) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    entrance: Arc<Entrance>,
    config: &GatewayConfig,
    shutdown: &CancellationToken,
) {
    let stream = Patience::new(stream, config.write_deadline);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(config.headers_deadline)
        .max_buf_size(config.headers_bytes_max.max(READ_BYTES_MIN) * 2)
        .max_header_size(config.headers_bytes_max);
    if config.headers_max != HEADERS_MAX_DEFAULT {
        http.max_headers(config.headers_max);
    }
    let service = service_fn(move |request| enter(Arc::clone(&entrance), peer, request));
    let connection = http.serve_connection(TokioIo::new(stream), service);
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
