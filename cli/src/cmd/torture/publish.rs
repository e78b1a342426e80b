//! Publishers: batches by key, to a partition or to any, one after the other.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use verteilt_client::{Client, ClientError, PublishOptions};
use verteilt_history::{Body, TopicPublish, TopicRecord};

use super::random::Random;
use super::topics::Log;

/// Records of a batch, at most.
const BATCH_MAX: u64 = 24;
/// Between two batches: jobs are what torture is about.
const PAUSE: Duration = Duration::from_millis(4);
/// Partitions that every topic has.
const PARTITIONS: u64 = 2;

pub(super) async fn run(
    log: Arc<Log>,
    client: Client,
    number: u32,
    topics: [String; 2],
    mut random: Random,
) {
    while !log.is_calm() {
        let topic = &topics[random.below(2) as usize];
        batch(&log, &client, number, topic, &mut random).await;
        tokio::time::sleep(PAUSE).await;
    }
}

async fn batch(log: &Log, client: &Client, publisher: u32, topic: &str, random: &mut Random) {
    let topics = client.topics();
    let way = random.below(3);
    let to = (way == 2).then(|| random.below(PARTITIONS) as u32);
    let publishing = (0..=random.below(BATCH_MAX)).map(|_| {
        let operation = log.number();
        let key = (way == 1).then(|| format!("key-{}", random.below(9)));
        let value = value(operation, random);
        log.record(TopicRecord::Publish(TopicPublish {
            operation,
            topic: topic.to_owned(),
            producer: None,
            // The keys of a batch wait for the number of partitions one by one.
            client: (way != 1).then_some(publisher),
            key: key.clone(),
            to,
            values: vec![Body::of(&value)],
        }));
        let options = PublishOptions {
            key: key.map(Bytes::from),
            partition: to,
            ..PublishOptions::default()
        };
        let answer = topics.publish_with(topic, value, options);
        async move {
            match answer.await {
                Ok(published) => log.record(TopicRecord::Published {
                    operation,
                    partition: published.partition,
                    first_offset: published.offset,
                    duplicate: published.duplicate,
                }),
                Err(ClientError::Refused { .. }) => {
                    log.record(TopicRecord::PublishFailed { operation });
                }
                // Nobody knows.
                Err(_) => {}
            }
        }
    });
    join_all(publishing.collect::<Vec<_>>()).await;
}

/// Different from all others.
fn value(number: u64, random: &mut Random) -> Bytes {
    let length = match random.below(500) {
        0 => random.below(100_000),
        1..50 => random.below(4_000),
        _ => random.below(200),
    };
    let mut value = number.to_le_bytes().to_vec();
    value.resize(8 + length as usize, number as u8);
    value.into()
}
