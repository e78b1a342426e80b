//! The worker loop.
#![allow(clippy::unwrap_used)]

mod peer;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use peer::{Connection, Peer};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use verteilt_client::{Client, ClientError, Job, WorkerSummary};
use verteilt_protocol::{FrameType, wire};

type Running = JoinHandle<Result<WorkerSummary, ClientError>>;

/// What a handler does is the body of its job.
async fn handle(job: Job) -> Result<(), String> {
    match &job.body()[..] {
        b"ok" => Ok(()),
        b"fail" => Err("as asked".to_owned()),
        b"panic" => panic!("as asked"),
        b"self" => job.ack().await.map_err(|error| error.to_string()),
        _ => std::future::pending().await,
    }
}

async fn run(
    client: &Client,
    connection: &mut Connection,
    concurrency: u32,
) -> (Running, CancellationToken, u64) {
    let shutdown = CancellationToken::new();
    let worker = client
        .worker("q")
        .concurrency(concurrency)
        .grace(Duration::from_millis(100));
    let running = tokio::spawn(worker.run(handle, shutdown.clone()));
    let (correlation, message): (_, wire::Subscribe) =
        connection.expect_message(FrameType::Subscribe).await;
    assert_eq!(message.credit_jobs, concurrency);
    connection.ok(correlation).await;
    (running, shutdown, message.subscription)
}

#[tokio::test]
async fn results_settle_jobs_and_shutdown_gives_the_rest_back() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let (running, shutdown, subscription) = run(&client, &mut connection, 5).await;
    let jobs = [
        (1, "ok"),
        (2, "fail"),
        (3, "panic"),
        (4, "self"),
        (5, "hang"),
        (6, "hang"),
    ];
    connection.deliver(0, subscription, 9, &jobs).await;
    let (mut acked, mut nacked) = (Vec::new(), Vec::new());
    while acked.len() + nacked.len() < 4 {
        let frame = connection.next().await.unwrap();
        match frame.kind() {
            Some(FrameType::Ack) => acked.extend(frame.message::<wire::Settle>().unwrap().ids),
            Some(FrameType::Nack) => nacked.extend(frame.message::<wire::Nack>().unwrap().ids),
            other => panic!("{other:?}"),
        }
        connection.ok_up_to(frame.correlation).await;
    }
    acked.sort_unstable();
    nacked.sort_unstable();
    assert_eq!((acked, nacked), (vec![1, 4], vec![2, 3]));
    // More than fit at one time: the seventh is not begun.
    connection
        .deliver(
            0,
            subscription,
            10,
            &[(7, "hang"), (8, "hang"), (9, "hang"), (10, "ok")],
        )
        .await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    shutdown.cancel();
    let mut released = Vec::new();
    while released.len() < 6 {
        let frame = connection.next().await.unwrap();
        if frame.kind() == Some(FrameType::Release) {
            released.extend(frame.message::<wire::Settle>().unwrap().ids);
        }
        connection.ok(frame.correlation).await;
    }
    assert_eq!(released[0], 10);
    let summary = running.await.unwrap().unwrap();
    assert_eq!(
        (summary.done, summary.failed, summary.settled_by_handler),
        (1, 2, 1)
    );
    assert_eq!(summary.released, 6);
}

#[tokio::test]
async fn a_handler_is_dropped_when_its_lease_is_lost() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let dropped = Arc::new(AtomicUsize::new(0));
    let shutdown = CancellationToken::new();
    struct CountDrop(Arc<AtomicUsize>);
    impl Drop for CountDrop {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let running = tokio::spawn({
        let (dropped, shutdown) = (Arc::clone(&dropped), shutdown.clone());
        let handler = move |_job: Job| {
            let guard = CountDrop(Arc::clone(&dropped));
            async move {
                let _guard = guard;
                std::future::pending::<Result<(), String>>().await
            }
        };
        client.worker("q").run(handler, shutdown)
    });
    let subscription = connection.subscribed().await;
    connection.deliver(0, subscription, 9, &[(1, "x")]).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let lost = wire::LeaseLost {
        ids: vec![1],
        tokens: vec![9],
    };
    connection.send(FrameType::LeaseLost, 0, &lost, b"").await;
    while dropped.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    shutdown.cancel();
    let frame = connection.expect(FrameType::Unsubscribe).await;
    connection.ok(frame.correlation).await;
    assert_eq!(running.await.unwrap().unwrap().lost, 1);
}

#[tokio::test]
async fn a_worker_goes_on_after_a_lost_connection_and_ends_with_its_client() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let (running, _shutdown, subscription) = run(&client, &mut connection, 2).await;
    drop(connection);
    let mut connection = peer.accept().await;
    assert_eq!(connection.subscribed().await, subscription);
    connection.deliver(0, subscription, 9, &[(1, "ok")]).await;
    let frame = connection.expect(FrameType::Ack).await;
    connection.ok(frame.correlation).await;
    client.close().await.unwrap();
    assert!(matches!(running.await.unwrap(), Err(ClientError::Closed)));
}
