//! Takes jobs a handful at a time, and settles them by hand.
//!
//! `cargo run --example reserve -- verteilt://127.0.0.1:7450`

use std::time::Duration;

use verteilt_client::{Client, ClientError};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "verteilt://127.0.0.1:7450".to_owned());
    let client = Client::connect(&url).await?;

    loop {
        let jobs = client
            .reserve("example", 10, Duration::from_secs(2))
            .await?;
        if jobs.is_empty() {
            break;
        }
        for job in jobs {
            // Touches the job until the end of this turn.
            let _kept = job.keep_alive();
            let id = job.id();
            let settled = if job.body().starts_with(b"bad") {
                job.nack(Some(Duration::from_secs(60))).await
            } else {
                job.ack().await
            };
            match settled {
                Ok(()) => println!("job {id} is settled"),
                Err(ClientError::LeaseLost { .. }) => println!("job {id} took too long"),
                Err(error) => return Err(error.into()),
            }
        }
    }
    println!("nothing left");
    client.close().await?;
    Ok(())
}
