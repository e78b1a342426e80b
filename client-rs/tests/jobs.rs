//! Subscriptions, reserves, settlings and leases.
#![allow(clippy::unwrap_used)]

mod peer;

use std::time::Duration;

use bytes::BytesMut;
use futures_util::future::join_all;
use peer::{Connection, Peer};
use verteilt_client::{Client, ClientError, Credit, Job, Subscription};
use verteilt_protocol::{ErrorCode, FrameType, encode_headers, wire};

const SHORT: Duration = Duration::from_millis(80);

/// A subscription to `q` and its number.
async fn subscribe(
    client: &Client,
    connection: &mut Connection,
    credit: Credit,
) -> (Subscription, u64) {
    let (subscription, number) =
        tokio::join!(client.subscribe("q", credit), connection.subscribed());
    (subscription.unwrap(), number)
}

/// Jobs 1, 2 ... delivered under token 9.
async fn take(
    client: &Client,
    connection: &mut Connection,
    count: u64,
) -> (Subscription, Vec<Job>) {
    let (mut subscription, number) = subscribe(client, connection, Credit::jobs(100)).await;
    let bodies: Vec<String> = (1..=count).map(|id| format!("body {id}")).collect();
    let jobs: Vec<_> = (1..=count).zip(bodies.iter().map(String::as_str)).collect();
    connection.deliver(0, number, 9, &jobs).await;
    let jobs = subscription.next_batch(100).await;
    assert_eq!(jobs.len() as u64, count);
    (subscription, jobs)
}

#[tokio::test]
async fn deliveries_come_with_everything() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let (mut jobs, number) = subscribe(&client, &mut connection, Credit::jobs(3)).await;
    let entries = vec![wire::Header {
        name: "trace".into(),
        value: "abc".into(),
    }];
    let mut payload = BytesMut::from("one");
    let header = encode_headers(&mut payload, &wire::Headers { entries }).unwrap();
    payload.extend_from_slice(b"two");
    let message = wire::Deliver {
        subscription: number,
        token: 44,
        ids: vec![7, 8],
        attempts: vec![1, 3],
        lease_ms: vec![1_000, 2_000],
        body_lengths: vec![3, 3],
        header_lengths: vec![0, header],
        lengths_to_come: vec![],
    };
    connection
        .send(FrameType::Deliver, 0, &message, &payload)
        .await;
    let one = jobs.next().await.unwrap();
    assert_eq!(
        (one.id(), one.attempt(), one.token(), one.queue()),
        (7, 1, 44, "q")
    );
    assert_eq!((&one.body()[..], one.headers().len()), (&b"one"[..], 0));
    let two = jobs.next().await.unwrap();
    assert_eq!((two.id(), two.attempt()), (8, 3));
    assert_eq!(two.lease_time(), Duration::from_secs(2));
    assert_eq!(
        (&two.body()[..], &two.header("trace").unwrap()[..]),
        (&b"two"[..], &b"abc"[..])
    );
    assert!(tokio::time::timeout(SHORT, jobs.next()).await.is_err());
}

#[tokio::test]
async fn acks_share_a_frame_and_a_cumulative_answer() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let (_subscription, jobs) = take(&client, &mut connection, 50).await;
    let answer = async {
        let (_, acked): (_, wire::Settle) = connection.expect_message(FrameType::Ack).await;
        assert_eq!((acked.ids, acked.tokens), ((1..=48).collect(), vec![9]));
        let (_, nacked): (_, wire::Nack) = connection.expect_message(FrameType::Nack).await;
        assert_eq!((nacked.ids, nacked.delay_ms), (vec![49], Some(1_500)));
        let frame = connection.expect(FrameType::Release).await;
        connection.ok_up_to(frame.correlation).await;
    };
    let mut jobs = jobs.into_iter();
    let acks = join_all(jobs.by_ref().take(48).map(Job::ack));
    let nack = jobs
        .next()
        .unwrap()
        .nack(Some(Duration::from_millis(1_500)));
    let release = jobs.next().unwrap().release();
    let (acks, nack, release, ()) = tokio::join!(acks, nack, release, answer);
    assert!(acks.into_iter().all(|ack| ack.is_ok()) && nack.is_ok() && release.is_ok());
}

/// A worker that outstays its lease may get the same job again, and settle both at once.
#[tokio::test]
async fn a_refused_settling_under_an_old_token_says_nothing_of_the_new_one() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let (mut subscription, number) = subscribe(&client, &mut connection, Credit::jobs(2)).await;
    connection.deliver(0, number, 4, &[(7, "seven")]).await;
    connection.deliver(0, number, 5, &[(7, "seven")]).await;
    let old = subscription.next().await.unwrap();
    let new = subscription.next().await.unwrap();
    let answer = async {
        let frame = connection.expect(FrameType::Ack).await;
        let settled = wire::Settled {
            refused_ids: vec![7],
            refused_codes: vec![ErrorCode::LeaseLost.number()],
            refused_tokens: vec![4],
        };
        connection
            .send(FrameType::Settled, frame.correlation, &settled, b"")
            .await;
    };
    let (acks, ()) = tokio::join!(client.ack_all(vec![old, new]), answer);
    assert!(matches!(acks[0], Err(ClientError::LeaseLost { id: 7 })));
    assert!(acks[1].is_ok());
}

#[tokio::test]
async fn a_refused_settling_is_a_lost_lease_of_that_job_only() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let (_subscription, jobs) = take(&client, &mut connection, 3).await;
    let lost: Vec<_> = jobs.iter().map(Job::lost).collect();
    let answer = async {
        let frame = connection.expect(FrameType::Ack).await;
        let refused_codes = vec![ErrorCode::LeaseLost.number()];
        let settled = wire::Settled {
            refused_ids: vec![2],
            refused_codes,
            refused_tokens: vec![9],
        };
        connection
            .send(FrameType::Settled, frame.correlation, &settled, b"")
            .await;
    };
    let (acks, ()) = tokio::join!(client.ack_all(jobs), answer);
    assert!(acks[0].is_ok() && acks[2].is_ok());
    let error = acks[1].as_ref().unwrap_err();
    assert!(matches!(error, ClientError::LeaseLost { id: 2 }));
    assert_eq!(error.code(), Some(ErrorCode::LeaseLost));
    let cancelled: Vec<_> = lost.iter().map(|token| token.is_cancelled()).collect();
    assert_eq!(cancelled, [false, true, false]);
}

#[tokio::test]
async fn a_lost_lease_is_heard_of() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let (_subscription, jobs) = take(&client, &mut connection, 2).await;
    let lost = wire::LeaseLost {
        ids: vec![2],
        tokens: vec![9],
    };
    connection.send(FrameType::LeaseLost, 0, &lost, b"").await;
    jobs[1].lost().cancelled().await;
    assert!(!jobs[0].lost().is_cancelled());
    let [first, second] = <[Job; 2]>::try_from(jobs).unwrap();
    // Known here already: nothing is sent.
    assert!(matches!(
        second.ack().await,
        Err(ClientError::LeaseLost { id: 2 })
    ));
    let (acked, ()) = tokio::join!(first.ack(), async {
        let frame = connection.expect(FrameType::Ack).await;
        assert_eq!(frame.message::<wire::Settle>().unwrap().ids, [1]);
        connection.ok(frame.correlation).await;
    });
    acked.unwrap();
}

#[tokio::test]
async fn kept_leases_are_touched_in_one_frame() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let (mut subscription, number) = subscribe(&client, &mut connection, Credit::jobs(9)).await;
    for token in [5, 6] {
        let message = wire::Deliver {
            subscription: number,
            token,
            ids: vec![token * 10],
            attempts: vec![1],
            lease_ms: vec![600],
            body_lengths: vec![0],
            ..wire::Deliver::default()
        };
        connection.send(FrameType::Deliver, 0, &message, b"").await;
    }
    let jobs = [
        subscription.next().await.unwrap(),
        subscription.next().await.unwrap(),
    ];
    let kept: Vec<_> = jobs.iter().map(Job::keep_alive).collect();
    let frame = connection.expect(FrameType::Touch).await;
    let touch: wire::Touch = frame.message().unwrap();
    let mut leases: Vec<_> = touch.ids.into_iter().zip(touch.tokens).collect();
    leases.sort_unstable();
    assert_eq!((leases, touch.lease_ms), (vec![(50, 5), (60, 6)], 0));
    let refused_codes = vec![ErrorCode::LeaseLost.number()];
    let settled = wire::Settled {
        refused_ids: vec![50],
        refused_codes,
        refused_tokens: vec![5],
    };
    connection
        .send(FrameType::Settled, frame.correlation, &settled, b"")
        .await;
    jobs[0].lost().cancelled().await;
    let frame = connection.expect(FrameType::Touch).await;
    assert_eq!(frame.message::<wire::Touch>().unwrap().ids, [60]);
    connection.ok(frame.correlation).await;
    drop(kept);
    connection.expect_silence(Duration::from_millis(400)).await;
}

/// Or the broker would give them to others while they are being worked on.
#[tokio::test]
async fn who_comes_back_names_the_leases_it_holds_and_those_it_settles() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let (_subscription, mut jobs) = take(&client, &mut connection, 2).await;
    let settling = tokio::spawn(jobs.remove(0).ack());
    connection.expect(FrameType::Ack).await;
    drop(connection);
    let (_connection, hello) = peer.accept_hello().await;
    assert!(hello.names_leases);
    let leases = hello.held_ids.into_iter().zip(hello.held_tokens);
    let mut leases: Vec<_> = leases.collect();
    leases.sort_unstable();
    assert_eq!(leases, [(1, 9), (2, 9)]);
    settling.abort();
}

#[tokio::test]
async fn a_lost_connection_is_mended_for_subscriptions_and_settlings() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let (mut subscription, number) = subscribe(&client, &mut connection, Credit::jobs(4)).await;
    connection
        .deliver(0, number, 9, &[(1, "a"), (2, "b"), (3, "c")])
        .await;
    let job = subscription.next().await.unwrap();
    let kept = job.keep_alive();
    let ack = tokio::spawn(job.ack());
    connection.expect(FrameType::Ack).await;
    drop(connection);
    let mut connection = peer.accept().await;
    let (_, again): (_, wire::Subscribe) = connection.expect_message(FrameType::Subscribe).await;
    assert_eq!(
        (again.subscription, again.credit_jobs, again.queue.as_str()),
        (number, 4, "q")
    );
    let (mut acked, mut touched) = (false, false);
    while !(acked && touched) {
        let frame = connection.next().await.unwrap();
        match frame.kind() {
            Some(FrameType::Ack) => acked = true,
            Some(FrameType::Touch) => touched = true,
            other => panic!("{other:?}"),
        }
        connection.ok(frame.correlation).await;
    }
    ack.await.unwrap().unwrap();
    drop(kept);
    // What came on the lost connection and was not handed out goes back.
    connection.deliver(0, number, 12, &[(4, "d")]).await;
    assert_eq!(subscription.next().await.unwrap().id(), 4);
    let (_, released): (_, wire::Settle) = connection.expect_message(FrameType::Release).await;
    assert_eq!((released.ids, released.tokens), (vec![2, 3], vec![9]));
}

#[tokio::test]
async fn a_subscription_that_ends_gives_back_what_has_not_started() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let (mut subscription, number) = subscribe(&client, &mut connection, Credit::jobs(9)).await;
    connection
        .deliver(0, number, 9, &[(1, "a"), (2, "b")])
        .await;
    let job = subscription.next().await.unwrap();
    let answer = async {
        let (unsubscribe, _): (_, wire::Unsubscribe) =
            connection.expect_message(FrameType::Unsubscribe).await;
        let (_, released): (_, wire::Settle) = connection.expect_message(FrameType::Release).await;
        assert_eq!(released.ids, [2]);
        // On its way already: goes back too.
        connection.deliver(0, number, 10, &[(3, "c")]).await;
        let (_, released): (_, wire::Settle) = connection.expect_message(FrameType::Release).await;
        assert_eq!((released.ids, released.tokens), (vec![3], vec![10]));
        connection.ok(unsubscribe).await;
    };
    let (closed, ()) = tokio::join!(subscription.close(), answer);
    closed.unwrap();
    let _ack = tokio::spawn(job.ack());
    connection.expect(FrameType::Ack).await;
}

#[tokio::test]
async fn credit_can_be_changed_and_a_refused_subscription_says_why() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let (subscription, number) = subscribe(&client, &mut connection, Credit::jobs(1)).await;
    let credit = Credit { jobs: 0, bytes: 77 };
    let (changed, ()) = tokio::join!(subscription.set_credit(credit), async {
        let (correlation, message): (_, wire::Subscribe) =
            connection.expect_message(FrameType::Subscribe).await;
        assert_eq!(
            (
                message.subscription,
                message.credit_jobs,
                message.credit_bytes
            ),
            (number, 0, 77)
        );
        connection.ok(correlation).await;
    });
    changed.unwrap();
    let (refused, ()) = tokio::join!(client.subscribe("other", credit), async {
        let frame = connection.expect(FrameType::Subscribe).await;
        connection
            .refuse(frame.correlation, &ErrorCode::QueueLimit.error("no"))
            .await;
        connection.expect(FrameType::Unsubscribe).await;
    });
    assert_eq!(refused.unwrap_err().code(), Some(ErrorCode::QueueLimit));
}

#[tokio::test]
async fn a_reserve_takes_jobs_or_none() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let wait = Duration::from_millis(700);
    let (jobs, ()) = tokio::join!(client.reserve("q", 10, wait), async {
        let (correlation, reserve): (_, wire::Reserve) =
            connection.expect_message(FrameType::Reserve).await;
        assert_eq!((reserve.jobs_max, reserve.queue.as_str()), (10, "q"));
        assert!(
            (600..=700).contains(&reserve.wait_ms),
            "{}",
            reserve.wait_ms
        );
        connection
            .deliver(correlation, 0, 3, &[(1, "a"), (2, "b")])
            .await;
    });
    let jobs = jobs.unwrap();
    assert_eq!((jobs[0].id(), jobs[1].id(), jobs[1].queue()), (1, 2, "q"));
    assert_eq!(&jobs[1].body()[..], b"b");
    let (none, ()) = tokio::join!(client.reserve("q", 1, Duration::ZERO), async {
        let frame = connection.expect(FrameType::Reserve).await;
        connection.deliver(frame.correlation, 0, 0, &[]).await;
    });
    assert!(none.unwrap().is_empty());
    let error = client.reserve("q", 0, wait).await.unwrap_err();
    assert!(matches!(error, ClientError::BadArgument { .. }));
}

#[tokio::test]
async fn a_reserve_that_is_given_up_gives_its_jobs_back() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let reserve = client.reserve("q", 10, Duration::from_secs(60));
    assert!(tokio::time::timeout(SHORT, reserve).await.is_err());
    let frame = connection.expect(FrameType::Reserve).await;
    let cancel = connection.expect(FrameType::Cancel).await;
    assert_eq!(cancel.correlation, frame.correlation);
    connection
        .deliver(frame.correlation, 0, 3, &[(1, "a")])
        .await;
    let (_, released): (_, wire::Settle) = connection.expect_message(FrameType::Release).await;
    assert_eq!((released.ids, released.tokens), (vec![1], vec![3]));
}

#[tokio::test]
async fn a_large_body_is_put_together() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let (mut jobs, number) = subscribe(&client, &mut connection, Credit::jobs(9)).await;
    let body: Vec<u8> = (0..2_000_000_u32).map(|n| (n / 7) as u8).collect();
    let message = wire::Deliver {
        subscription: number,
        token: 4,
        ids: vec![1, 2],
        attempts: vec![1, 1],
        lease_ms: vec![30_000],
        body_lengths: vec![5, 1_000],
        lengths_to_come: vec![0, 1_999_000],
        ..wire::Deliver::default()
    };
    let payload = [b"small", &body[..1_000]].concat();
    connection
        .send(FrameType::Deliver, 0, &message, &payload)
        .await;
    let mut sent = 1_000;
    for chunk in body[1_000..].chunks(900_000) {
        sent += chunk.len();
        let to_come = (body.len() - sent) as u64;
        let part = wire::DeliverPart {
            id: 2,
            token: 4,
            to_come,
        };
        connection
            .send(FrameType::DeliverPart, 0, &part, chunk)
            .await;
    }
    assert_eq!(&jobs.next().await.unwrap().body()[..], b"small");
    assert!(jobs.next().await.unwrap().body() == &body);
}

#[tokio::test]
async fn a_job_is_settled_once() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let (_subscription, mut jobs) = take(&client, &mut connection, 1).await;
    let job = jobs.remove(0);
    let touch = job.touch(Some(Duration::from_secs(5)));
    let answer = async {
        let frame = connection.expect(FrameType::Touch).await;
        assert_eq!(frame.message::<wire::Touch>().unwrap().lease_ms, 5_000);
        connection.ok(frame.correlation).await;
        let frame = connection.expect(FrameType::Ack).await;
        // Asked to come again: it does by itself.
        connection
            .refuse(frame.correlation, &ErrorCode::Busy.error("later"))
            .await;
        let frame = connection.expect(FrameType::Ack).await;
        connection.ok(frame.correlation).await;
    };
    let late = job.touch(None);
    let (settled, ()) = tokio::join!(async { touch.await.and(job.ack().await) }, answer);
    settled.unwrap();
    assert!(matches!(
        late.await,
        Err(ClientError::AlreadySettled { id: 1 })
    ));
}
