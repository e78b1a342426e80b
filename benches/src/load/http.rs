//! HTTP requests to a gateway, passed on to a service and answered with the body that they came with.
//! Each connection is kept alive and has one request under way.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use verteilt_client::{Request, Response, ServeOptions, Serving};

use super::Tasks;
use super::pace::Pace;
use super::running::Running;
use super::timer::Timer;

/// Room for the head of an answer; more is no answer of ours.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Begins to serve, then to ask. The services end with the load.
pub(super) async fn start(running: &Arc<Running>) -> Result<(Instant, Tasks, Vec<Serving>)> {
    let plan = &running.plan;
    let gateway = plan.gateway.as_deref().context("no gateway is named")?;
    let mut services = Vec::with_capacity(running.clients.len());
    for client in &running.clients {
        let options = ServeOptions::concurrency(plan.connections as u32);
        services.push(client.serve(&plan.queue, options, answer).await?);
    }
    let mut connections = Vec::with_capacity(plan.connections);
    for _ in 0..plan.connections {
        let stream = TcpStream::connect(gateway)
            .await
            .context("connecting to the gateway")?;
        stream.set_nodelay(true)?;
        connections.push(stream);
    }
    let timer = running.timer("response");
    let pace = running.pace()?;
    let mut tasks = Tasks::new();
    for stream in connections {
        tasks.spawn(ask_in_turn(
            Arc::clone(running),
            stream,
            Arc::clone(&pace),
            Arc::clone(&timer),
        ));
    }
    Ok((pace.begun(), tasks, services))
}

async fn answer(mut request: Request) -> Result<Response, std::convert::Infallible> {
    Ok(Response::new(request.take_body()))
}

async fn ask_in_turn(
    running: Arc<Running>,
    mut stream: TcpStream,
    pace: Arc<Pace>,
    timer: Arc<Timer>,
) -> Result<()> {
    let (service, body) = (&running.plan.queue, &running.body);
    let length = body.len();
    let head =
        format!("POST /{service}/ HTTP/1.1\r\nHost: bench\r\nContent-Length: {length}\r\n\r\n");
    let request = [head.as_bytes(), body].concat();
    let mut buffer = Vec::with_capacity(HEAD_BYTES_MAX + length);
    while let Some(turn) = pace.next().await {
        stream.write_all(&request).await?;
        buffer.clear();
        let end = loop {
            let read = stream.read_buf(&mut buffer).await?;
            ensure!(read > 0, "the gateway closed a connection");
            if let Some(end) = end_of_answer(&buffer, length) {
                break end;
            }
        };
        ensure!(
            end == buffer.len(),
            "another answer came than was asked for"
        );
        running.answered(&timer, &turn);
    }
    Ok(())
}

/// Where an answer of status 200 with a body of this length ends, once all of it is there.
fn end_of_answer(bytes: &[u8], body: usize) -> Option<usize> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    assert!(
        bytes.starts_with(b"HTTP/1.1 200 "),
        "the gateway answered {}",
        String::from_utf8_lossy(&bytes[..head])
    );
    let end = head + 4 + body;
    (bytes.len() >= end).then_some(end)
}
