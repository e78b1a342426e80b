//! The connection itself: handshake, heartbeats, violations of the protocol, closing.
#![allow(clippy::unwrap_used)]

mod peer;

use std::time::{Duration, Instant};

use peer::Peer;
use tokio::io::AsyncWriteExt;
use verteilt_client::{
    Client, ClientError, ConnectionEvent, Credit, JobState, PushOptions, Reconnect,
};
use verteilt_protocol::{ErrorCode, FrameType, wire};

#[tokio::test]
async fn nobody_there_is_an_error_at_once_or_after_a_wait() {
    let unused = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("verteilt://{}", unused.local_addr().unwrap());
    drop(unused);
    let error = Client::connect(&url).await.unwrap_err();
    assert!(
        matches!(error, ClientError::Connect { .. }) && error.is_retryable(),
        "{error}"
    );
    let wait = Duration::from_millis(200);
    let begun = Instant::now();
    let error = Client::builder()
        .url(&url)
        .connect_wait(wait)
        .connect()
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::Connect { .. }), "{error}");
    assert!(begun.elapsed() >= wait);
}

#[tokio::test]
async fn a_refused_handshake_is_its_error() {
    let peer = Peer::listen().await;
    let refuse = async {
        let (mut connection, hello) = peer.accept_hello().await;
        assert_eq!((hello.version_min, hello.version_max), (1, 1));
        connection
            .refuse(1, &ErrorCode::VersionUnsupported.error("too old"))
            .await;
    };
    let (client, ()) = tokio::join!(peer.builder().connect(), refuse);
    assert_eq!(
        client.unwrap_err().code(),
        Some(ErrorCode::VersionUnsupported)
    );
    // A peer that says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("verteilt://{}", silent.local_addr().unwrap());
    let timeout = Duration::from_millis(50);
    let client = Client::builder()
        .url(url)
        .connect_timeout(timeout)
        .connect()
        .await;
    assert!(matches!(client, Err(ClientError::Connect { .. })));
}

#[tokio::test]
async fn heartbeats_go_out_and_a_silent_peer_is_left() {
    let mut peer = Peer::listen().await;
    peer.welcome.heartbeat_ms = 100;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let mut events = client.events();
    let mut out = bytes::BytesMut::new();
    verteilt_protocol::encode_empty(&mut out, FrameType::Heartbeat, 0, 0);
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(80)).await;
        connection.stream.write_all(&out).await.unwrap();
    }
    assert!(events.try_recv().is_err());
    let mut came = bytes::BytesMut::new();
    tokio::io::AsyncReadExt::read_buf(&mut connection.stream, &mut came)
        .await
        .unwrap();
    assert!(
        came.len() >= 3 * out.len(),
        "{} bytes of heartbeats",
        came.len()
    );
    let begun = Instant::now();
    assert!(matches!(
        events.recv().await,
        Ok(ConnectionEvent::Disconnected { .. })
    ));
    assert!(
        (150..500).contains(&begun.elapsed().as_millis()),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn a_peer_that_breaks_the_protocol_is_left_and_tried_again() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let push = tokio::spawn(async move { client.push("q", "body").await });
    let broken_deliver = wire::Deliver {
        ids: vec![1, 2],
        ..Default::default()
    };
    for round in 0..5 {
        let frame = connection.expect(FrameType::Push).await;
        match round {
            // A length over the limit, a header that contradicts itself.
            0 => connection.stream.write_all(&[0xff; 64]).await.unwrap(),
            1 => connection
                .stream
                .write_all(&[1, 0, 0, 0, 5, 0, 0, 0])
                .await
                .unwrap(),
            // A message that is none.
            2 => {
                connection
                    .send(
                        FrameType::Pushed,
                        0,
                        &wire::Goodbye { reason: "x".into() },
                        b"",
                    )
                    .await
            }
            3 => {
                connection
                    .send(FrameType::Deliver, 0, &broken_deliver, b"")
                    .await
            }
            _ => {
                // Types of the future are no violation.
                connection
                    .stream
                    .write_all(&[16, 0, 0, 0, 0x77])
                    .await
                    .unwrap();
                connection.stream.write_all(&[0; 15]).await.unwrap();
                connection.pushed(&frame, 3, 0).await;
                break;
            }
        }
        assert!(connection.next().await.is_none(), "round {round}");
        connection = peer.accept().await;
    }
    assert_eq!(push.await.unwrap().unwrap().id, 3);
}

#[tokio::test]
async fn an_answer_for_another_number_of_jobs_fails_the_push() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let push = tokio::spawn(async move { client.push("q", "body").await });
    let frame = connection.expect(FrameType::Push).await;
    let correlation = frame.correlation;
    let results = vec![wire::PushResult {
        correlation,
        count: 9,
        ..Default::default()
    }];
    connection
        .send(
            FrameType::Pushed,
            0,
            &wire::Pushed { results, credit: 0 },
            b"",
        )
        .await;
    assert!(matches!(
        push.await.unwrap(),
        Err(ClientError::Protocol { .. })
    ));
}

#[tokio::test]
async fn close_waits_for_answers_and_says_goodbye() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let push = tokio::spawn({
        let client = client.clone();
        async move { client.push("q", "body").await }
    });
    let frame = connection.expect(FrameType::Push).await;
    let (mut jobs, _) = tokio::join!(
        client.subscribe("q", Credit::jobs(1)),
        connection.subscribed()
    );
    let closing = tokio::spawn({
        let client = client.clone();
        async move { client.close().await }
    });
    connection.expect_silence(Duration::from_millis(80)).await;
    assert!(!closing.is_finished());
    assert!(matches!(
        client.push("q", "late").await,
        Err(ClientError::Closed)
    ));
    connection.pushed(&frame, 1, 0).await;
    connection.expect_goodbye().await;
    assert!(push.await.unwrap().is_ok());
    closing.await.unwrap().unwrap();
    client.close().await.unwrap();
    assert!(jobs.as_mut().unwrap().next().await.is_none());
    assert!(matches!(
        client.queue_stats(None).await,
        Err(ClientError::Closed)
    ));
}

#[tokio::test]
async fn close_does_not_wait_for_ever() {
    let peer = Peer::listen().await;
    let builder = peer.builder().close_timeout(Duration::from_millis(100));
    let (client, mut connection) = peer.pair(builder).await;
    let push = tokio::spawn({
        let client = client.clone();
        async move { client.push("q", "body").await }
    });
    connection.expect(FrameType::Push).await;
    assert!(matches!(
        client.close().await,
        Err(ClientError::Deadline { .. })
    ));
    assert!(matches!(push.await.unwrap(), Err(ClientError::Closed)));
    connection.expect_goodbye().await;
}

#[tokio::test]
async fn the_last_handle_takes_the_connection_with_it() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let other = client.clone();
    drop(client);
    let (stats, ()) = tokio::join!(other.queue_stats(None), async {
        let frame = connection.expect(FrameType::QueueStats).await;
        let reply = wire::QueueStatsReply::default();
        connection
            .send(FrameType::QueueStatsReply, frame.correlation, &reply, b"")
            .await;
    });
    assert!(stats.unwrap().is_empty());
    drop(other);
    assert!(connection.next().await.is_none());
}

#[tokio::test]
async fn a_client_gives_up_after_its_deadline() {
    let peer = Peer::listen().await;
    let reconnect = Reconnect {
        delay_first: Duration::from_millis(10),
        delay_max: Duration::from_millis(20),
        deadline: Some(Duration::from_millis(150)),
    };
    let (client, connection) = peer.pair(peer.builder().reconnect(reconnect)).await;
    drop((connection, peer));
    let error = client.push("q", "body").await.unwrap_err();
    assert!(
        matches!(error, ClientError::ReconnectGaveUp { .. }),
        "{error}"
    );
    let error = client.push("q", "body").await.unwrap_err();
    assert!(
        matches!(error, ClientError::ReconnectGaveUp { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_session_that_is_taken_over_ends() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    connection
        .refuse(0, &ErrorCode::SessionReplaced.error("newer"))
        .await;
    let mut events = client.events();
    while events.recv().await != Ok(ConnectionEvent::Closed) {}
    let error = client.push("q", "body").await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::SessionReplaced));
}

#[tokio::test]
async fn a_broker_that_goes_down_gets_nothing_new() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let goodbye = wire::Goodbye {
        reason: "restart".into(),
    };
    connection.send(FrameType::Goodbye, 0, &goodbye, b"").await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    let push = tokio::spawn(async move { client.push("q", "body").await });
    connection.expect_silence(Duration::from_millis(80)).await;
    drop(connection);
    let mut connection = peer.accept().await;
    let frame = connection.expect(FrameType::Push).await;
    connection.pushed(&frame, 1, 0).await;
    assert!(push.await.unwrap().is_ok());
}

#[tokio::test]
async fn a_broker_whose_disk_failed_is_asked_again_after_its_restart() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let push = tokio::spawn(async move { client.push("q", "body").await });
    let frame = connection.expect(FrameType::Push).await;
    connection
        .refuse(frame.correlation, &ErrorCode::StoreFailed.error("disk"))
        .await;
    let mut connection = peer.accept().await;
    let again = connection.expect(FrameType::Push).await;
    assert_eq!(again.meta, frame.meta);
    connection.pushed(&again, 1, 0).await;
    assert!(push.await.unwrap().is_ok());
}

#[tokio::test]
async fn administration_is_asked_again_on_a_new_connection_and_bounded() {
    let peer = Peer::listen().await;
    let builder = peer.builder().request_timeout(Duration::from_millis(300));
    let (client, mut connection) = peer.pair(builder).await;
    let peek = tokio::spawn({
        let client = client.clone();
        async move { client.peek("q", JobState::Ready, 5).await }
    });
    connection.expect(FrameType::QueuePeek).await;
    drop(connection);
    let mut connection = peer.accept().await;
    let frame = connection.expect(FrameType::QueuePeek).await;
    let job = wire::PeekedJob {
        id: 4,
        state: 2,
        body_bytes: 9,
        body_length: 3,
        ..Default::default()
    };
    let peeked = wire::QueuePeeked { jobs: vec![job] };
    connection
        .send(FrameType::QueuePeeked, frame.correlation, &peeked, b"abc")
        .await;
    let peeked = peek.await.unwrap().unwrap();
    assert_eq!(
        (peeked[0].id, peeked[0].state, &peeked[0].body[..]),
        (4, JobState::Ready, &b"abc"[..])
    );
    assert!(matches!(
        client.pause("q").await,
        Err(ClientError::Deadline { .. })
    ));
    let (purged, ()) = tokio::join!(client.purge("other"), async {
        connection.expect(FrameType::QueuePause).await;
        for (jobs, more) in [(100, true), (7, false)] {
            let frame = connection.expect(FrameType::QueuePurge).await;
            let purged = wire::QueuePurged { jobs, more };
            connection
                .send(FrameType::QueuePurged, frame.correlation, &purged, b"")
                .await;
        }
    });
    assert_eq!(purged.unwrap(), 107);
    let (lsn, ()) = tokio::join!(client.checkpoint(), async {
        let frame = connection.expect(FrameType::Checkpoint).await;
        let done = wire::CheckpointDone { lsn: 12 };
        connection
            .send(FrameType::CheckpointDone, frame.correlation, &done, b"")
            .await;
    });
    assert_eq!(lsn.unwrap(), 12);
}

#[tokio::test]
async fn a_call_that_is_given_up_leaves_the_client_awake() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    for _ in 0..3 {
        let stats = client.queue_stats(None);
        assert!(
            tokio::time::timeout(Duration::from_millis(50), stats)
                .await
                .is_err()
        );
        connection.expect(FrameType::QueueStats).await;
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    let answer = async {
        let frame = connection.expect(FrameType::Push).await;
        connection.pushed(&frame, 1, 0).await;
    };
    let (pushed, ()) = tokio::join!(client.push("q", "body"), answer);
    assert_eq!(pushed.unwrap().id, 1);
}

#[tokio::test]
async fn smaller_limits_of_the_broker_are_kept() {
    let mut peer = Peer::listen().await;
    peer.welcome.limits = Some(wire::Limits {
        frame_bytes: 64 * 1024,
        batch_jobs: 10,
        ..Default::default()
    });
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let bodies = vec![bytes::Bytes::from_static(b"x"); 25];
    let answer = async {
        let mut taken = 0;
        while taken < 25 {
            let frame = connection.expect(FrameType::Push).await;
            let count = peer::bodies(&frame).len();
            assert!(count <= 10);
            connection.pushed(&frame, taken, 10).await;
            taken += count as u64;
        }
        connection.expect(FrameType::PushPart).await;
    };
    let options = PushOptions::default();
    let pushes = async {
        client.push_batch("q", bodies, &options).await.unwrap();
        let large = client.push("q", vec![0; 60_000]);
        tokio::time::timeout(Duration::from_millis(100), large).await
    };
    let (large, ()) = tokio::join!(pushes, answer);
    assert!(large.is_err());
}
