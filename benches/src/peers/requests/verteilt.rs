//! Ourselves: every request one call of the client, answered by a handler of the client.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bytes::Bytes;
use tokio::task::JoinSet;
use verteilt_client::{Client, Request, Response, ServeOptions, Serving};

use super::super::server::printed;
use super::{Home, Replies};
use crate::QUEUE;
use crate::process::{Broker, Launch};

/// Our broker, a caller and a service.
#[derive(Debug)]
pub struct OurRequests {
    broker: Broker,
    caller: Client,
    _serving: Serving,
}

async fn answer(mut request: Request) -> Result<Response, Infallible> {
    Ok(Response::new(request.take_body()))
}

async fn ask(caller: &Client, body: &Bytes) -> Result<()> {
    let response = caller.request(QUEUE).body(body.clone()).send().await?;
    let reply = response.body.bytes().await?;
    ensure!(reply == body, "another reply came than was made");
    Ok(())
}

impl Replies for OurRequests {
    const NAME: &'static str = "Verteilt";

    async fn about(program: &Path) -> Result<String> {
        let version = printed(program, &["--version"]).await?;
        Ok(format!(
            "{version}, requests of durability memory, through the Rust client"
        ))
    }

    async fn start(home: Home) -> Result<Self> {
        let broker = Broker::start(Launch {
            binary: home.program,
            data: home.data,
            config: None,
            trace: home.trace,
        })
        .await?;
        let service = broker.client().await?;
        let options = ServeOptions::concurrency(1_024);
        let serving = service.serve(QUEUE, options, answer).await?;
        Ok(Self {
            caller: broker.client().await?,
            broker,
            _serving: serving,
        })
    }

    fn id(&self) -> Result<u32> {
        self.broker.id()
    }

    async fn once(&mut self, body: &Bytes) -> Result<Duration> {
        let begun = Instant::now();
        ask(&self.caller, body).await?;
        Ok(begun.elapsed())
    }

    async fn many(&mut self, requests: u64, window: usize, body: &Bytes) -> Result<Duration> {
        let left = Arc::new(AtomicU64::new(requests));
        let (mut tasks, begun) = (JoinSet::new(), Instant::now());
        for _ in 0..window {
            let (caller, body, left) = (self.caller.clone(), body.clone(), Arc::clone(&left));
            tasks.spawn(async move {
                let one_less = |left: u64| left.checked_sub(1);
                let order = Ordering::Relaxed;
                while left.fetch_update(order, order, one_less).is_ok() {
                    ask(&caller, &body).await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        Ok(begun.elapsed())
    }
}
