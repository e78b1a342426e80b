//! `verteilt-shop stock cart`: services of the shop in a process of their own, on any machine that
//! reaches the broker.

use std::error::Error;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use verteilt_client::Client;

/// How long requests that run may go on at the end.
const GRACE: Duration = Duration::from_secs(5);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let named: Vec<String> = std::env::args().skip(1).collect();
    let named: Vec<&str> = named.iter().map(String::as_str).collect();
    let known = |service: &&str| verteilt_shop::SERVICES.contains(service);
    if named.is_empty() || !named.iter().all(known) {
        let all = verteilt_shop::SERVICES.join(" ");
        return Err(format!("which services? Say some of: {all}").into());
    }
    let url = std::env::var("VERTEILT_URL");
    let url = url.unwrap_or_else(|_| "verteilt://127.0.0.1:7450".to_owned());
    let mut stop = signal(SignalKind::terminate())?;

    let client = Client::connect(&url).await?;
    let serving = verteilt_shop::open(&client, &named).await?;
    println!("serving {}", named.join(", "));
    tokio::select! {
        _ = stop.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    for service in serving {
        service.drain(GRACE).await;
    }
    client.close().await?;
    Ok(())
}
