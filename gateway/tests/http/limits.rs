//! Every limit: sizes, memory, time, and the graceful stop.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

use crate::site::{Site, answer};

const KIB: usize = 1024;

#[tokio::test]
async fn a_body_over_the_limit_is_refused_however_it_comes() {
    let site = Site::open_with(|config| config.body_bytes_max = 8 * KIB).await;
    let path = "/v1/queues/q/jobs";
    assert_eq!(site.door.post(path, "", &[b'x'; 8 * KIB]).await.status, 202);
    site.door
        .post(path, "", &[b'x'; 8 * KIB + 1])
        .await
        .is_problem(413, "BODY_TOO_LARGE");

    let head = format!("POST {path} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n");
    assert_eq!(
        site.door.send(&head, b"3\r\nabc\r\n0\r\n\r\n").await.status,
        202
    );
    let mut chunks = format!("{:x}\r\n", 9 * KIB).into_bytes();
    chunks.extend(vec![b'x'; 9 * KIB]);
    chunks.extend(b"\r\n0\r\n\r\n");
    site.door
        .send(&head, &chunks)
        .await
        .is_problem(413, "BODY_TOO_LARGE");
}

#[tokio::test]
async fn bodies_share_a_bounded_memory() {
    let site = Site::open_with(|config| {
        config.body_bytes_max = 8 * KIB;
        config.bodies_bytes_max = 8 * KIB;
    })
    .await;
    // One that takes its share and does not come.
    let mut slow = site.door.connect().await;
    let head = "POST /v1/queues/q/jobs HTTP/1.1\r\nHost: g\r\nContent-Length: 8192\r\n\r\n";
    slow.write_all(head.as_bytes()).await.unwrap();
    let refused = loop {
        let answer = site.door.post("/v1/queues/q/jobs", "", b"x").await;
        if answer.status != 202 {
            break answer;
        }
    };
    refused.is_problem(503, "MEMORY_FULL");
    assert!(refused.head.contains("retry-after: 1"), "{refused:?}");
    drop(slow);
    while site.door.post("/v1/queues/q/jobs", "", b"x").await.status != 202 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let site = Site::open_with(|config| config.body_deadline = Duration::from_millis(100)).await;
    let head = "POST /v1/queues/q/jobs HTTP/1.1\r\nContent-Length: 5\r\n";
    site.door
        .send(head, b"abc")
        .await
        .is_problem(408, "BODY_TIMEOUT");
}

#[tokio::test]
async fn headers_that_do_not_come_end_the_connection() {
    let site = Site::open_with(|config| config.headers_deadline = Duration::from_millis(100)).await;
    let mut slow = site.door.connect().await;
    slow.write_all(b"GET /health HTTP/1.1\r\nHos")
        .await
        .unwrap();
    assert_ne!(answer(&mut slow).await.status, 200);
}

#[tokio::test]
async fn a_request_in_flight_ends_before_the_gateway_does() {
    let site = Site::open().await;
    let mut slow = site.door.connect().await;
    let head = "POST /v1/queues/q/jobs HTTP/1.1\r\nHost: g\r\nContent-Length: 4\r\n\r\n";
    slow.write_all(head.as_bytes()).await.unwrap();
    slow.write_all(b"ab").await.unwrap();
    // The connection has to be accepted before the listener goes.
    assert_eq!(site.door.get("/health").await.status, 200);
    site.shutdown.cancel();
    while !site.door.is_closed().await {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    slow.write_all(b"cd").await.unwrap();
    assert_eq!(answer(&mut slow).await.status, 202);
    site.gateway.await.unwrap();
}
