//! Topics: publishes, consumers, groups, lost connections.
#![allow(clippy::unwrap_used)]

mod peer;

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join_all, try_join_all};
use peer::{Connection, Peer};
use verteilt_client::{
    Client, ClientError, Consumer, ConsumerOptions, Header, PublishOptions, Published, StartAt,
    TopicOptions,
};
use verteilt_protocol::{
    ErrorCode, Frame, FrameType, RecordLists, partition_of, split_records, wire,
};

const SHORT: Duration = Duration::from_millis(80);

/// Answers a PUBLISH and gives what it said.
async fn publish(
    connection: &mut Connection,
    partition: u32,
    first_offset: u64,
) -> (wire::Publish, Frame) {
    let frame = connection.expect(FrameType::Publish).await;
    let message: wire::Publish = frame.message().unwrap();
    let result = wire::PublishResult {
        correlation: frame.correlation,
        partition,
        first_offset,
        count: message.value_lengths.len() as u32,
        durability: wire::Durability::Disk as i32,
        duplicate: false,
    };
    let published = wire::Published {
        results: vec![result],
        credit: 0,
    };
    connection
        .send(FrameType::Published, 0, &published, b"")
        .await;
    (message, frame)
}

/// A consumer of `log` that was given these partitions from these offsets, and its number.
async fn consume(
    client: &Client,
    connection: &mut Connection,
    options: ConsumerOptions,
    given: &[(u32, u64)],
) -> (Consumer, u64) {
    let topics = client.topics();
    let answer = async {
        let (number, message): (_, wire::TopicSubscribe) =
            connection.expect_message(FrameType::TopicSubscribe).await;
        connection.ok(number).await;
        assign(connection, message.subscription, given).await;
        message.subscription
    };
    let (consumer, number) = tokio::join!(topics.consume("log", options), answer);
    (consumer.unwrap(), number)
}

async fn assign(connection: &mut Connection, subscription: u64, given: &[(u32, u64)]) {
    let assigned = wire::TopicAssigned {
        subscription,
        generation: 1,
        partitions: given.iter().map(|at| at.0).collect(),
        offsets: given.iter().map(|at| at.1).collect(),
        ended: false,
    };
    connection
        .send(FrameType::TopicAssigned, 0, &assigned, b"")
        .await;
}

async fn records(
    connection: &mut Connection,
    subscription: u64,
    (partition, first_offset): (u32, u64),
    values: &[&str],
) {
    let message = wire::Records {
        subscription,
        partition,
        first_offset,
        times_ms: vec![77],
        value_lengths: values.iter().map(|value| value.len() as u32).collect(),
        ..wire::Records::default()
    };
    let payload = values.concat();
    connection
        .send(FrameType::Records, 0, &message, payload.as_bytes())
        .await;
}

async fn offsets(consumer: &mut Consumer, count: usize) -> Vec<(u32, u64)> {
    let mut all = Vec::new();
    while all.len() < count {
        let batch = consumer.next_batch(count - all.len()).await;
        assert!(!batch.is_empty(), "{:?}", consumer.error());
        all.extend(batch.iter().map(|record| (record.partition, record.offset)));
    }
    all
}

#[tokio::test]
async fn publishes_at_one_time_share_a_frame_and_know_their_offsets() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let topics = client.topics();
    let values: Vec<String> = (0..100).map(|at| format!("value {at}")).collect();
    let all = join_all(
        values
            .iter()
            .map(|value| topics.publish("log", value.clone())),
    );
    let (published, (message, frame)) = tokio::join!(all, publish(&mut connection, 3, 500));
    for (at, published) in published.into_iter().enumerate() {
        let expected = Published {
            partition: 3,
            offset: 500 + at as u64,
            duplicate: false,
        };
        assert_eq!(published.unwrap(), expected);
    }
    assert_eq!((message.topic.as_str(), message.partition), ("log", None));
    assert_eq!((message.sequence, message.producer.len()), (1, 16));
    assert!(message.key_lengths.is_empty() && message.header_lengths.is_empty());
    assert_eq!(&frame.payload[..], values.concat().as_bytes());
}

#[tokio::test]
async fn keyed_publishes_share_a_frame_with_those_of_their_partition() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let topics = client.topics();
    let keys = ["a", "b", "c", "d", "a", "b"];
    let all = try_join_all(keys.map(|key| {
        let options = PublishOptions {
            key: Some(Bytes::from(key)),
            headers: vec![Header::new("n", key)],
            ..PublishOptions::default()
        };
        topics.publish_with("log", format!("of {key}"), options)
    }));
    let answers = async {
        // Each asked for the partitions before the first answer had come.
        for _ in keys {
            let (number, ask): (_, wire::TopicStatsRequest) =
                connection.expect_message(FrameType::TopicStats).await;
            assert_eq!(ask.topic, "log");
            let stats = wire::TopicStats {
                topic: "log".to_owned(),
                partitions: 2,
                ..wire::TopicStats::default()
            };
            let reply = wire::TopicStatsReply {
                topics: vec![stats],
                more: false,
            };
            connection
                .send(FrameType::TopicStatsReply, number, &reply, b"")
                .await;
        }
        let mut seen = 0;
        while seen < keys.len() {
            let (message, frame) = publish(&mut connection, 0, 0).await;
            let lists = RecordLists {
                keys: &message.key_lengths,
                headers: &message.header_lengths,
                values: &message.value_lengths,
            };
            let records: Vec<_> = split_records(&frame.payload, lists).unwrap().collect();
            assert_eq!(message.partition, None, "the broker looks at the keys, too");
            for record in &records {
                assert_eq!(
                    partition_of(&record.key, 2),
                    partition_of(&records[0].key, 2)
                );
                assert_eq!(record.value, [b"of ", &record.key[..]].concat());
                assert!(!record.headers.is_empty());
            }
            seen += records.len();
        }
    };
    let (published, ()) = tokio::join!(all, answers);
    assert_eq!(published.unwrap().len(), keys.len());
}

#[tokio::test]
async fn an_unanswered_publish_comes_again_as_the_same_frame() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let topics = client.topics();
    let script = async {
        let first = connection.expect(FrameType::Publish).await;
        drop(connection);
        let mut connection = peer.accept().await;
        let (message, second) = publish(&mut connection, 1, 9).await;
        assert_eq!((first.meta, first.payload), (second.meta, second.payload));
        assert_eq!(message.sequence, 1);
    };
    let (published, ()) = tokio::join!(topics.publish("log", "x"), script);
    assert_eq!(published.unwrap().offset, 9);
}

#[tokio::test]
async fn what_is_refused_is_told() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let topics = client.topics();
    let refusal = async {
        let frame = connection.expect(FrameType::Publish).await;
        let error = ErrorCode::TopicUnknown.error("no such topic");
        connection.refuse(frame.correlation, &error).await;
    };
    let (refused, ()) = tokio::join!(topics.publish("log", "x"), refusal);
    assert_eq!(refused.unwrap_err().code(), Some(ErrorCode::TopicUnknown));
    let long = vec![0; 983_041];
    assert!(matches!(
        topics.publish("log", long).await,
        Err(ClientError::BodyTooLarge { limit: 983_040, .. })
    ));
    assert!(matches!(
        topics.publish("Bad", "x").await,
        Err(ClientError::BadName { .. })
    ));
    let create = async {
        let (number, message): (_, wire::TopicCreate) =
            connection.expect_message(FrameType::TopicCreate).await;
        assert_eq!((message.partitions, message.retention_ms), (4, 0));
        connection.ok(number).await;
    };
    let (created, ()) = tokio::join!(topics.create("log", TopicOptions::partitions(4)), create);
    created.unwrap();
}

#[tokio::test]
async fn records_come_in_order_and_what_was_handed_out_is_told() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let options = ConsumerOptions {
        credit_records: 8,
        ..ConsumerOptions::from(StartAt::Offset(5))
    };
    let given = [(0, 5), (1, 0)];
    let (mut consumer, number) = consume(&client, &mut connection, options, &given).await;
    records(&mut connection, number, (0, 5), &["a", "b", "c"]).await;
    let first = consumer.next().await.unwrap();
    assert_eq!((first.partition, first.offset, first.time_ms), (0, 5, 77));
    assert_eq!(&first.value[..], b"a");
    assert_eq!(consumer.partitions(), [0, 1]);
    // A quarter of the credit is told at once, what is left when it waits.
    consumer.next().await.unwrap();
    let (_, told): (_, wire::Consumed) = connection.expect_message(FrameType::Consumed).await;
    assert_eq!((told.subscription, told.partition), (number, 0));
    assert_eq!((told.offset, told.commit), (6, false));
    consumer.next().await.unwrap();
    assert!(tokio::time::timeout(SHORT, consumer.next()).await.is_err());
    let (_, told): (_, wire::Consumed) = connection.expect_message(FrameType::Consumed).await;
    assert_eq!(told.offset, 7);
    drop(consumer);
    let (_, ended): (_, wire::Unsubscribe) =
        connection.expect_message(FrameType::Unsubscribe).await;
    assert_eq!(ended.subscription, number);
}

#[tokio::test]
async fn after_a_lost_connection_it_goes_on_behind_the_last_record_handed_out() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let options = ConsumerOptions::from(StartAt::Earliest);
    let given = [(0, 0), (1, 0)];
    let (mut consumer, number) = consume(&client, &mut connection, options, &given).await;
    records(&mut connection, number, (0, 0), &["a", "b", "c"]).await;
    records(&mut connection, number, (1, 0), &["d"]).await;
    assert_eq!(offsets(&mut consumer, 2).await, [(0, 0), (0, 1)]);
    drop(connection);
    let mut connection = peer.accept().await;
    let (correlation, again): (_, wire::TopicSubscribe) =
        connection.expect_message(FrameType::TopicSubscribe).await;
    assert_eq!((again.partitions, again.offsets), (vec![0, 1], vec![2, 0]));
    connection.ok(correlation).await;
    assign(&mut connection, number, &[(0, 2), (1, 0)]).await;
    records(&mut connection, number, (0, 2), &["c"]).await;
    records(&mut connection, number, (1, 0), &["d"]).await;
    assert_eq!(offsets(&mut consumer, 2).await, [(0, 2), (1, 0)]);
}

#[tokio::test]
async fn a_member_drops_what_it_lost_and_does_not_hand_out_twice() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let options = ConsumerOptions::group("g");
    let given = [(0, 10), (1, 0)];
    let (mut consumer, number) = consume(&client, &mut connection, options, &given).await;
    records(&mut connection, number, (0, 10), &["a", "b"]).await;
    records(&mut connection, number, (1, 0), &["c", "d"]).await;
    assert_eq!(offsets(&mut consumer, 3).await, [(0, 10), (0, 11), (1, 0)]);
    // Record 1 of partition 1 was not handed out when the partition went.
    assign(&mut connection, number, &[(0, 10)]).await;
    // It comes back where the group has committed: before what was handed out.
    assign(&mut connection, number, &[(0, 10), (1, 0)]).await;
    records(&mut connection, number, (1, 0), &["c", "d"]).await;
    assert_eq!(offsets(&mut consumer, 1).await, [(1, 1)]);
    // After a lost connection all of it comes again; what was handed out is passed over and its
    // credit given back.
    drop(connection);
    let mut connection = peer.accept().await;
    let (correlation, again): (_, wire::TopicSubscribe) =
        connection.expect_message(FrameType::TopicSubscribe).await;
    assert!(again.partitions.is_empty() && again.group == "g");
    connection.ok(correlation).await;
    assign(&mut connection, number, &[(0, 10), (1, 0)]).await;
    records(&mut connection, number, (0, 10), &["a", "b"]).await;
    records(&mut connection, number, (0, 12), &["e"]).await;
    assert_eq!(offsets(&mut consumer, 1).await, [(0, 12)]);
    loop {
        let (_, told): (_, wire::Consumed) = connection.expect_message(FrameType::Consumed).await;
        if (told.partition, told.offset) == (0, 11) {
            break;
        }
    }
}

#[tokio::test]
async fn a_commit_waits_for_its_answer() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let options = ConsumerOptions::group("g");
    let (mut consumer, number) = consume(&client, &mut connection, options, &[(0, 0)]).await;
    records(&mut connection, number, (0, 0), &["a", "b"]).await;
    let batch = consumer.next_batch(2).await;
    let answer = async {
        let (correlation, told): (_, wire::Consumed) =
            connection.expect_message(FrameType::Consumed).await;
        assert_eq!((told.offset, told.commit), (1, true));
        connection.ok(correlation).await;
    };
    let (committed, ()) = tokio::join!(consumer.commit(&batch[1]), answer);
    committed.unwrap();
    let refusal = async {
        let frame = connection.expect(FrameType::Consumed).await;
        let error = ErrorCode::PartitionLost.error("another member has it");
        connection.refuse(frame.correlation, &error).await;
    };
    let (refused, ()) = tokio::join!(consumer.commit(&batch[1]), refusal);
    assert_eq!(refused.unwrap_err().code(), Some(ErrorCode::PartitionLost));
}

#[tokio::test]
async fn a_topic_that_is_deleted_ends_its_consumers() {
    let peer = Peer::listen().await;
    let (client, mut connection) = peer.pair(peer.builder()).await;
    let options = ConsumerOptions::default();
    let (mut consumer, subscription) = consume(&client, &mut connection, options, &[(0, 0)]).await;
    let ended = wire::TopicAssigned {
        subscription,
        ended: true,
        ..wire::TopicAssigned::default()
    };
    connection
        .send(FrameType::TopicAssigned, 0, &ended, b"")
        .await;
    assert!(consumer.next().await.is_none());
    let error = consumer.error().unwrap();
    assert_eq!(error.code(), Some(ErrorCode::TopicUnknown));
}

/// Against a real broker that is dropped and started again while records flow.
#[expect(clippy::too_many_lines, reason = "one story")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_over_restarts() {
    const RECORDS: usize = 3_000;
    let folder = tempfile::tempdir().unwrap();
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let mut config = verteilt_broker::BrokerConfig::new(folder.path().join("data"), any);
    config.segment_bytes = 4 * 1024 * 1024;
    let start = |config: verteilt_broker::BrokerConfig| async {
        let begun = tokio::task::spawn_blocking(|| verteilt_broker::Broker::start(config)).await;
        begun.unwrap().unwrap()
    };
    let mut broker = start(config.clone()).await;
    config.listen = broker.local_addr();
    let url = format!("verteilt://{}", config.listen);
    let client = Client::connect(&url).await.unwrap();
    let topics = client.topics();
    topics
        .create("log", TopicOptions::partitions(3))
        .await
        .unwrap();
    let mut alone = topics
        .consume("log", ConsumerOptions::from(StartAt::Earliest))
        .await
        .unwrap();
    let mut member = topics
        .consume("log", ConsumerOptions::group("g"))
        .await
        .unwrap();
    let publish = async {
        let mut places = Vec::new();
        for round in 0..RECORDS / 100 {
            let all = (0..100).map(|at| {
                let number = round * 100 + at;
                let options = PublishOptions {
                    key: Some(Bytes::from(format!("{}", number % 17))),
                    ..PublishOptions::default()
                };
                topics.publish_with("log", format!("{number}"), options)
            });
            places.extend(try_join_all(all).await.unwrap());
        }
        places
    };
    let restart = async {
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(150)).await;
            let old = broker;
            tokio::task::spawn_blocking(move || drop(old))
                .await
                .unwrap();
            broker = start(config.clone()).await;
        }
        broker
    };
    let read = async {
        let mut next = std::collections::BTreeMap::<u32, u64>::new();
        let mut values = Vec::new();
        while values.len() < RECORDS {
            for record in alone.next_batch(500).await {
                let expected = next.entry(record.partition).or_default();
                assert_eq!(record.offset, *expected, "no gap and no double");
                *expected += 1;
                values.push(String::from_utf8(record.value.to_vec()).unwrap());
            }
        }
        values
    };
    let commit = async {
        let mut seen = std::collections::BTreeSet::new();
        while seen.len() < RECORDS {
            let batch = member.next_batch(100).await;
            for record in &batch {
                assert!(
                    seen.insert((record.partition, record.offset)),
                    "handed out twice"
                );
            }
            if let Some(last) = batch.last() {
                // Refused right after a restart; then it comes again, and is passed over.
                let _ = member.commit(last).await;
            }
        }
    };
    let all = async { tokio::join!(publish, restart, read, commit) };
    let (places, broker, mut values, ()) = tokio::time::timeout(Duration::from_secs(60), all)
        .await
        .expect("it comes to an end");
    let distinct: std::collections::BTreeSet<_> = places
        .iter()
        .map(|place| (place.partition, place.offset))
        .collect();
    assert_eq!(distinct.len(), RECORDS);
    values.sort_by_key(|value| value.parse::<usize>().unwrap());
    let expected: Vec<String> = (0..RECORDS).map(|number| number.to_string()).collect();
    assert_eq!(values, expected);
    tokio::task::spawn_blocking(move || drop(broker))
        .await
        .unwrap();
}
