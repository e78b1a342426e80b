//! Pushes a thousand jobs from many tasks at one time.
//!
//! `cargo run --example push -- verteilt://127.0.0.1:7450`

use std::time::Duration;

use futures_util::future::try_join_all;
use verteilt_client::{Client, Header, PushOptions};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "verteilt://127.0.0.1:7450".to_owned());
    let client = Client::builder()
        .url(url)
        .name("example-push")
        .connect()
        .await?;

    // At one time, so that they share frames.
    let bodies = (0..1_000).map(|number| format!("job {number}"));
    let pushed = try_join_all(bodies.map(|body| client.push("example", body))).await?;
    println!("{} jobs are on the broker's disk", pushed.len());

    let options = PushOptions {
        priority: 10,
        delay: Duration::from_secs(5),
        headers: vec![Header::new("content-type", "text/plain")],
        deadline: Some(Duration::from_secs(30)),
        ..PushOptions::default()
    };
    let pushed = client
        .push_with("example", "later, but first then", &options)
        .await?;
    println!("job {} runs in five seconds", pushed.id);

    client.close().await?;
    Ok(())
}
