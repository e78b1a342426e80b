//! Pushes: shared frames, credit, refusals, reconnects, large bodies, deadlines.
#![allow(clippy::unwrap_used)]

mod peer;

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use peer::{Peer, bodies};
use verteilt_client::{ClientError, ConnectionEvent, Durability, Header, PushOptions};
use verteilt_protocol::{ErrorCode, FrameType, wire};

#[tokio::test]
async fn pushes_at_one_time_share_a_frame() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let names: Vec<String> = (0..100).map(|number| format!("body {number}")).collect();
    let pushes = join_all(names.iter().map(|body| client.push("mail", body.clone())));
    let answer = async {
        let frame = connection.expect(FrameType::Push).await;
        let push: wire::Push = frame.message().unwrap();
        assert_eq!(
            (push.queue.as_str(), push.sequence, push.options.as_ref()),
            ("mail", 1, None)
        );
        assert_eq!(push.producer.len(), 16);
        assert_eq!(bodies(&frame), names);
        connection.pushed(&frame, 500, 0).await;
    };
    let (pushed, ()) = tokio::join!(pushes, answer);
    for (number, pushed) in pushed.into_iter().enumerate() {
        let pushed = pushed.unwrap();
        assert_eq!(
            (pushed.id, pushed.durability),
            (500 + number as u64, Durability::Disk)
        );
    }
}

#[tokio::test]
async fn options_and_headers_travel() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let options = PushOptions {
        priority: -4,
        delay: Duration::from_secs(2),
        attempts: Some(3),
        lease: Some(Duration::from_secs(60)),
        durability: Durability::Memory,
        headers: vec![Header::new("trace", "abc")],
        deadline: None,
    };
    let other = PushOptions {
        headers: vec![],
        ..options.clone()
    };
    let pushes = join_all([
        client.push_with("q", "one", &other),
        client.push_with("q", "two", &options),
        client.push("q", "three"),
    ]);
    let answer = async {
        let frame = connection.expect(FrameType::Push).await;
        let push: wire::Push = frame.message().unwrap();
        let sent = push.options.unwrap();
        assert_eq!(
            (sent.priority, sent.delay_ms, sent.attempts),
            (-4, 2_000, 3)
        );
        assert_eq!(
            (sent.lease_ms, sent.durability),
            (60_000, wire::Durability::Memory as i32)
        );
        assert_eq!(push.header_lengths[0], 0);
        assert!(push.header_lengths[1] > 0);
        assert_eq!(bodies(&frame), ["one", "two"]);
        connection.pushed(&frame, 1, 0).await;
        let frame = connection.expect(FrameType::Push).await;
        assert_eq!(bodies(&frame), ["three"]);
        connection.pushed(&frame, 3, 0).await;
    };
    let (pushed, ()) = tokio::join!(pushes, answer);
    assert!(pushed.into_iter().all(|pushed| pushed.is_ok()));
}

#[tokio::test]
async fn nothing_is_sent_without_credit() {
    let mut peer = Peer::listen().await;
    peer.welcome.push_credit = 1;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let first = tokio::spawn({
        let client = client.clone();
        async move { client.push("q", "first").await }
    });
    let frame = connection.expect(FrameType::Push).await;
    let more = tokio::spawn({
        let client = client.clone();
        async move { tokio::join!(client.push("q", "second"), client.push("q", "third")) }
    });
    connection.expect_silence(Duration::from_millis(100)).await;
    connection.pushed(&frame, 1, 0).await;
    assert_eq!(first.await.unwrap().unwrap().id, 1);
    connection.expect_silence(Duration::from_millis(100)).await;
    // The first frame took the credit to 1 - 5 = -4: this makes it 0, which is none.
    let grant = wire::PushCredit { bytes: 4 };
    connection.send(FrameType::PushCredit, 0, &grant, b"").await;
    connection.expect_silence(Duration::from_millis(100)).await;
    // One frame may take it below zero again.
    let grant = wire::PushCredit { bytes: 1 };
    connection.send(FrameType::PushCredit, 0, &grant, b"").await;
    let frame = connection.expect(FrameType::Push).await;
    assert_eq!(bodies(&frame), ["second", "third"]);
    connection.pushed(&frame, 2, 0).await;
    let (second, third) = more.await.unwrap();
    assert_eq!((second.unwrap().id, third.unwrap().id), (2, 3));
}

#[tokio::test]
async fn unanswered_pushes_are_repeated_after_a_lost_connection() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let mut events = client.events();
    let push = |body: &'static str| {
        let client = client.clone();
        tokio::spawn(async move { client.push("q", body).await })
    };
    let one = push("one");
    let first = connection.expect(FrameType::Push).await;
    let two = push("two");
    let second = connection.expect(FrameType::Push).await;
    drop(connection);
    let mut connection = peer.accept().await;
    for known in [&first, &second] {
        let again = connection.expect(FrameType::Push).await;
        assert_eq!((&again.meta, &again.payload), (&known.meta, &known.payload));
    }
    let result = |correlation, first_id, duplicate| wire::PushResult {
        correlation,
        first_id,
        count: 1,
        durability: 2,
        duplicate,
    };
    let results = vec![result(3, 11, false), result(2, 10, true)];
    let pushed = wire::Pushed { results, credit: 6 };
    connection.send(FrameType::Pushed, 0, &pushed, b"").await;
    let one = one.await.unwrap().unwrap();
    assert_eq!((one.id, one.duplicate), (10, true));
    assert_eq!(two.await.unwrap().unwrap().id, 11);
    assert!(matches!(
        events.recv().await,
        Ok(ConnectionEvent::Disconnected { .. })
    ));
    assert!(matches!(
        events.recv().await,
        Ok(ConnectionEvent::Reconnecting { attempt: 1, .. })
    ));
    let connected = ConnectionEvent::Connected {
        epoch: 7,
        resumed: true,
    };
    assert_eq!(events.recv().await, Ok(connected));
}

#[tokio::test]
async fn the_old_order_is_kept_over_refusals_and_lost_connections() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let push = |body: &'static str| {
        let client = client.clone();
        tokio::spawn(async move { client.push("q", body).await })
    };
    let one = push("one");
    let first = connection.expect(FrameType::Push).await;
    let two = push("two");
    let second = connection.expect(FrameType::Push).await;
    connection
        .refuse(first.correlation, &ErrorCode::Busy.error("later"))
        .await;
    // Sent last now, and still the older one.
    assert_eq!(connection.expect(FrameType::Push).await.meta, first.meta);
    drop(connection);
    let mut connection = peer.accept().await;
    for (known, id) in [(&first, 1), (&second, 2)] {
        let frame = connection.expect(FrameType::Push).await;
        assert_eq!(frame.meta, known.meta);
        connection.pushed(&frame, id, 0).await;
    }
    assert_eq!(one.await.unwrap().unwrap().id, 1);
    assert_eq!(two.await.unwrap().unwrap().id, 2);
}

#[tokio::test]
async fn the_session_stays_the_same() {
    let peer = Peer::listen().await;
    let connect = tokio::spawn(peer.builder().name("billing").namespace("eu").connect());
    let (mut connection, hello) = peer.accept_hello().await;
    assert_eq!(
        (hello.client_name.as_str(), hello.namespace.as_str()),
        ("billing", "eu")
    );
    connection
        .send(FrameType::Welcome, 1, &peer.welcome, b"")
        .await;
    let _client = connect.await.unwrap().unwrap();
    drop(connection);
    let (_, again) = peer.accept_hello().await;
    assert_eq!(hello.session.len(), 16);
    assert_eq!(hello.session, again.session);
}

#[tokio::test]
async fn a_full_broker_is_asked_again_and_a_refusal_for_good_is_not() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let answer = async {
        let first = connection.expect(FrameType::Push).await;
        connection
            .refuse(first.correlation, &ErrorCode::DiskFull.error("no room"))
            .await;
        let again = connection.expect(FrameType::Push).await;
        assert!(again.correlation > first.correlation);
        assert_eq!(again.meta, first.meta);
        connection
            .refuse(again.correlation, &ErrorCode::QueueLimit.error("too many"))
            .await;
    };
    let (pushed, ()) = tokio::join!(client.push("q", "body"), answer);
    let error = pushed.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::QueueLimit));
    assert!(!error.is_retryable());
    assert!(error.to_string().contains("QUEUE_LIMIT"), "{error}");
}

#[tokio::test]
async fn a_push_that_finds_no_room_until_its_deadline_says_so() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let options = PushOptions {
        deadline: Some(Duration::from_millis(100)),
        ..PushOptions::default()
    };
    let answer = async {
        let first = connection.expect(FrameType::Push).await;
        let refusal = wire::Error {
            retry_after_ms: 60_000,
            ..ErrorCode::DiskFull.error("no room")
        };
        connection.refuse(first.correlation, &refusal).await;
    };
    let (pushed, ()) = tokio::join!(client.push_with("q", "body", &options), answer);
    let error = pushed.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::DiskFull));
    assert!(
        error.is_retryable() && error.to_string().contains("no room"),
        "{error}"
    );
}

#[tokio::test]
async fn a_deadline_ends_the_wait() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let options = PushOptions {
        deadline: Some(Duration::from_millis(60)),
        ..PushOptions::default()
    };
    let error = client.push_with("q", "sent", &options).await.unwrap_err();
    assert!(matches!(error, ClientError::Deadline { .. }) && error.is_retryable());
    connection.expect(FrameType::Push).await;
    // Also while there is no broker, and then it is not sent any more.
    drop(connection);
    let mut events = client.events();
    while !matches!(
        events.recv().await.unwrap(),
        ConnectionEvent::Disconnected { .. }
    ) {}
    assert!(client.push_with("q", "not sent", &options).await.is_err());
    let mut connection = peer.accept().await;
    connection.expect_silence(Duration::from_millis(100)).await;
}

#[tokio::test]
async fn a_large_body_goes_in_parts_and_anew_after_a_lost_connection() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let body = Bytes::from((0..2_500_000_u32).map(|n| n as u8).collect::<Vec<_>>());
    let options = PushOptions {
        headers: vec![Header::new("a", "b")],
        ..PushOptions::default()
    };
    let push = tokio::spawn({
        let (client, body) = (client.clone(), body.clone());
        async move { client.push_with("q", body, &options).await }
    });
    let (_, first): (_, wire::PushPart) = connection.expect_message(FrameType::PushPart).await;
    drop(connection);
    let mut connection = peer.accept().await;
    let (mut received, mut indexes) = (Vec::new(), Vec::new());
    let push_frame = loop {
        let frame = connection.next().await.unwrap();
        let credit = wire::PushCredit {
            bytes: frame.payload.len() as u64,
        };
        connection
            .send(FrameType::PushCredit, 0, &credit, b"")
            .await;
        if frame.kind() == Some(FrameType::Push) {
            break frame;
        }
        let part: wire::PushPart = frame.message().unwrap();
        assert!(part.upload > first.upload);
        indexes.push(part.index);
        received.extend_from_slice(&frame.payload);
        connection.ok(frame.correlation).await;
    };
    let message: wire::Push = push_frame.message().unwrap();
    assert_eq!(
        (indexes, message.upload_parts, message.sequence),
        (vec![0, 1], 2, 1)
    );
    received.extend_from_slice(&bodies(&push_frame)[0]);
    assert!(received == body);
    connection.pushed(&push_frame, 77, 0).await;
    assert_eq!(push.await.unwrap().unwrap().id, 77);
}

#[tokio::test]
async fn an_upload_without_room_begins_again() {
    let mut peer = Peer::listen().await;
    peer.welcome.push_credit = 1 << 30;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let push = tokio::spawn(async move { client.push("q", vec![1; 1_500_000]).await });
    let part = connection.expect(FrameType::PushPart).await;
    let refused = connection.expect(FrameType::Push).await;
    connection
        .refuse(part.correlation, &ErrorCode::UploadLimit.error("later"))
        .await;
    connection
        .refuse(
            refused.correlation,
            &ErrorCode::UploadUnknown.error("no parts"),
        )
        .await;
    let again = connection.expect(FrameType::PushPart).await;
    connection.ok(again.correlation).await;
    assert_ne!(
        again.message::<wire::PushPart>().unwrap(),
        part.message().unwrap()
    );
    let frame = connection.expect(FrameType::Push).await;
    connection.pushed(&frame, 5, 0).await;
    assert_eq!(push.await.unwrap().unwrap().id, 5);
}

#[tokio::test]
async fn what_is_wrong_is_refused_here() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let large = Bytes::from(vec![0; 64 * 1024 * 1024 + 1]);
    let error = client.push("q", large).await.unwrap_err();
    assert!(matches!(error, ClientError::BodyTooLarge { .. }), "{error}");
    let error = client.push("Not A Name", "x").await.unwrap_err();
    assert!(matches!(error, ClientError::BadName { .. }), "{error}");
    let headers = vec![Header::new("h", vec![0; 70_000])];
    let options = PushOptions {
        headers,
        ..PushOptions::default()
    };
    let error = client.push_with("q", "x", &options).await.unwrap_err();
    assert!(
        matches!(error, ClientError::HeadersTooLarge { .. }),
        "{error}"
    );
    connection.expect_silence(Duration::from_millis(50)).await;
}

#[tokio::test]
async fn a_batch_is_one_frame_and_its_ids_come_in_order() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let small: Vec<Bytes> = (0..50).map(|n| Bytes::from(format!("{n}"))).collect();
    let options = PushOptions::default();
    let answer = async {
        let frame = connection.expect(FrameType::Push).await;
        assert_eq!(bodies(&frame).len(), 50);
        connection.pushed(&frame, 1_000, 100).await;
    };
    let (ids, ()) = tokio::join!(client.push_batch("q", small, &options), answer);
    assert_eq!(ids.unwrap(), (1_000..1_050).collect::<Vec<_>>());
    // Over the limit of a frame: split.
    let large = vec![Bytes::from(vec![1; 100_000]); 5];
    let answer = async {
        let mut next = 2_000;
        while next < 2_005 {
            let frame = connection.expect(FrameType::Push).await;
            connection
                .pushed(&frame, next, frame.payload.len() as u64)
                .await;
            next += bodies(&frame).len() as u64;
        }
    };
    let (ids, ()) = tokio::join!(client.push_batch("q", large, &options), answer);
    assert_eq!(ids.unwrap(), (2_000..2_005).collect::<Vec<_>>());
}

#[tokio::test]
async fn unanswered_bytes_are_bounded() {
    let mut peer = Peer::listen().await;
    peer.welcome.push_credit = 1 << 40;
    let builder = peer.builder().push_bytes_max(2 * 1024 * 1024);
    let (client, mut connection) = peer.pair(builder).await;
    let pushes = tokio::spawn(async move {
        let body = Bytes::from(vec![7; 100_000]);
        join_all((0..60).map(|_| client.push("q", body.clone()))).await
    });
    let (mut unanswered, mut frames, mut jobs) = (0, std::collections::VecDeque::new(), 0);
    while jobs < 60 {
        let frame = connection.expect(FrameType::Push).await;
        unanswered += frame.payload.len();
        assert!(unanswered <= 2 * 1024 * 1024);
        jobs += bodies(&frame).len();
        frames.push_back(frame);
        while unanswered > 1_500_000 {
            let frame = frames.pop_front().unwrap();
            unanswered -= frame.payload.len();
            connection.pushed(&frame, 1, 0).await;
        }
    }
    for frame in frames {
        connection.pushed(&frame, 1, 0).await;
    }
    assert!(
        pushes
            .await
            .unwrap()
            .into_iter()
            .all(|pushed| pushed.is_ok())
    );
}

#[tokio::test]
async fn at_most_a_window_of_frames_is_unanswered() {
    let mut peer = Peer::listen().await;
    peer.welcome.push_credit = 1 << 40;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    // Each queue has a frame of its own.
    let names: Vec<String> = (0..1_200).map(|n| format!("q{n}")).collect();
    let pushes =
        tokio::spawn(
            async move { join_all(names.iter().map(|name| client.push(name, "x"))).await },
        );
    let mut frames = Vec::new();
    for _ in 0..1_000 {
        frames.push(connection.expect(FrameType::Push).await);
    }
    connection.expect_silence(Duration::from_millis(100)).await;
    connection.pushed(&frames[0], 1, 0).await;
    frames.push(connection.expect(FrameType::Push).await);
    for frame in &frames[1..] {
        connection.pushed(frame, 1, 0).await;
    }
    for _ in 1_001..1_200 {
        let frame = connection.expect(FrameType::Push).await;
        connection.pushed(&frame, 1, 0).await;
    }
    assert!(
        pushes
            .await
            .unwrap()
            .into_iter()
            .all(|pushed| pushed.is_ok())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_at_one_time() {
    let mut peer = Peer::listen().await;
    peer.welcome.push_credit = 1 << 20;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let broker = tokio::spawn(async move {
        let (mut next, mut frames) = (1, 0);
        while let Some(frame) = connection.next().await {
            if frame.kind() == Some(FrameType::Goodbye) {
                break;
            }
            connection
                .pushed(&frame, next, frame.payload.len() as u64)
                .await;
            next += bodies(&frame).len() as u64;
            frames += 1;
        }
        (next - 1, frames)
    });
    let tasks: Vec<_> = (0..64)
        .map(|task| {
            let client = client.clone();
            tokio::spawn(async move {
                let queue = format!("q{}", task % 3);
                for _ in 0..200 {
                    client.push(&queue, vec![1; 256]).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    client.close().await.unwrap();
    let (jobs, frames) = broker.await.unwrap();
    assert_eq!(jobs, 64 * 200);
    assert!(frames < jobs / 2, "{frames} frames");
}
