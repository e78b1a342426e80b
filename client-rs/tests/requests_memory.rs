//! Bodies far larger than what may be in memory go through a broker, both ways, in one process with
//! it. In a program of its own, because it looks at the memory of all of it.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;

use futures_util::StreamExt;
use verteilt_broker::{Broker, BrokerConfig};
use verteilt_client::{Body, Client, Request, Response, ServeOptions};

const MIB: usize = 1024 * 1024;
const BODY_BYTES: usize = 1024 * MIB;

/// A figure of /proc/self/status, in bytes.
fn status(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    let kib = line.split_whitespace().nth(1).unwrap();
    kib.parse::<usize>().unwrap() * 1024
}

#[tokio::test]
async fn large_bodies_take_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut config = BrokerConfig::new(folder.path().join("data"), any);
    config.segment_bytes = 4 * 1024 * 1024;
    let broker = tokio::task::spawn_blocking(|| Broker::start(config)).await;
    let broker = broker.unwrap().unwrap();
    let url = format!("verteilt://{}", broker.local_addr());
    let worker = Client::connect(&url).await.unwrap();
    let caller = Client::connect(&url).await.unwrap();
    let handler =
        |mut request: Request| async move { Ok::<_, String>(Response::new(request.take_body())) };
    let options = ServeOptions::default();
    let _serving = worker.serve("echo", options, handler).await.unwrap();
    let before = status("VmRSS");
    let chunks = futures_util::stream::repeat_with(|| Ok::<_, String>(vec![9; 64 * 1024]));
    let body = Body::from_stream(chunks.take(BODY_BYTES / (64 * 1024)));
    let mut answer = caller.request("echo").body(body).send().await.unwrap().body;
    let mut bytes = 0;
    while let Some(chunk) = answer.chunk().await {
        bytes += chunk.unwrap().len();
    }
    assert_eq!(bytes, BODY_BYTES);
    let grown = status("VmHWM").saturating_sub(before);
    assert!(grown < 32 * MIB, "{} MiB more at the highest", grown / MIB);
}
