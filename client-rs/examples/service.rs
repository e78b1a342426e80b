//! Answers requests to the service `things` until Ctrl-C; `curl 127.0.0.1:8080/things/4` asks it through
//! the gateway.
//!
//! `cargo run --release --example service -- verteilt://127.0.0.1:7450`

use std::time::Duration;

use verteilt_client::{Client, Request, Response, ServeOptions};

/// The last segment of the path names the thing.
async fn answer(request: Request) -> Result<Response, std::convert::Infallible> {
    let id = request.endpoint().rsplit('/').next().unwrap_or_default();
    let body = format!("{{\"id\":{id:?},\"name\":\"a thing\",\"price\":250}}");
    Ok(Response::new(body).header("content-type", "application/json"))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "verteilt://127.0.0.1:7450".to_owned());
    let client = Client::builder()
        .url(url)
        .name("example-service")
        .connect()
        .await?;

    let options = ServeOptions::concurrency(64);
    let serving = client.serve("things", options, answer).await?;
    println!("serving");
    tokio::signal::ctrl_c().await?;
    serving.drain(Duration::from_secs(10)).await;
    client.close().await?;
    Ok(())
}
