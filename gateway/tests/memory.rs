//! Bodies far larger than what may be in memory go through a gateway and a broker, both ways, in one
//! process with them. In a program of its own, because it looks at the memory of all of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use verteilt_broker::{Broker, BrokerConfig};
use verteilt_client::{Body, Client, ClientError, Request, Response, ServeOptions};
use verteilt_gateway::{Gateway, GatewayConfig};

const MIB: usize = 1024 * 1024;
const BODY_BYTES: usize = 256 * MIB;

/// A figure of /proc/self/status, in bytes.
fn status(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    let kib = line.split_whitespace().nth(1).unwrap();
    kib.parse::<usize>().unwrap() * 1024
}

async fn handle(mut request: Request) -> Result<Response, ClientError> {
    if request.endpoint() == "GET /down" {
        let pieces =
            futures_util::stream::repeat_with(|| Ok::<_, String>(Bytes::from(vec![9; 64 * 1024])));
        let body = Body::from_stream(pieces.take(BODY_BYTES / (64 * 1024)));
        return Ok(Response::new(body).header("content-length", BODY_BYTES.to_string()));
    }
    let mut bytes = 0;
    while let Some(chunk) = request.body().chunk().await {
        bytes += chunk?.len();
    }
    Ok(Response::new(bytes.to_string()))
}

#[tokio::test]
async fn large_bodies_take_little_memory() {
    let data = tempfile::tempdir().unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let mut config = BrokerConfig::new(data.path().join("data"), any);
    config.segment_bytes = 4 * 1024 * 1024;
    let broker = tokio::task::spawn_blocking(|| Broker::start(config)).await;
    let broker = broker.unwrap().unwrap();
    let url = format!("verteilt://{}", broker.local_addr());
    let (worker, client) = (
        Client::connect(&url).await.unwrap(),
        Client::connect(&url).await.unwrap(),
    );
    let _serving = worker
        .serve("big", ServeOptions::default(), handle)
        .await
        .unwrap();
    let gateway = Gateway::bind(GatewayConfig::new(any), client)
        .await
        .unwrap();
    let address = gateway.local_addr();
    tokio::spawn(gateway.run(CancellationToken::new()));
    let before = status("VmRSS");

    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"GET /big/down HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut buffer = vec![0; 64 * 1024];
    let mut bytes = 0;
    loop {
        match stream.read(&mut buffer).await.unwrap() {
            0 => break,
            read => bytes += read,
        }
    }
    assert!((BODY_BYTES..BODY_BYTES + 1024).contains(&bytes), "{bytes}");

    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /big/up HTTP/1.1\r\nHost: g\r\nConnection: close\r\nContent-Length: {BODY_BYTES}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..BODY_BYTES / buffer.len() {
        stream.write_all(&buffer).await.unwrap();
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.ends_with(&format!("\r\n\r\n{BODY_BYTES}")),
        "{answer}"
    );
    let grown = status("VmHWM").saturating_sub(before);
    assert!(grown < 32 * MIB, "{} MiB more at the highest", grown / MIB);
}
