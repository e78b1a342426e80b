//! Publishers: every publish of the plan at its time, each record an operation of its own in the
//! history, because a client may send them in different frames.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::task::JoinSet;
use verteilt_client::{Client, ClientError, Header, PublishOptions};
use verteilt_history::{Body, TopicPublish, TopicRecord};

use crate::body;
use crate::chronicle::topic_name;
use crate::topic_plan::{PublishPlan, Way};
use crate::world::World;

/// Does the publishes of one publisher; ends when all are answered.
pub(crate) async fn run(world: World, client: Client, number: u32, publishes: Vec<PublishPlan>) {
    for topic in 0..world.plan.setting.topics.topics.len() as u64 {
        publish(&world, &client, number, &first(number, topic)).await;
    }
    let mut under_way = JoinSet::new();
    for plan in publishes {
        tokio::time::sleep_until(world.at(plan.at_ms)).await;
        let (world, client) = (world.clone(), client.clone());
        under_way.spawn(async move { publish(&world, &client, number, &plan).await });
    }
    while under_way.join_next().await.is_some() {}
}

/// Keys keep their order once the client knows how many partitions there are.
fn first(publisher: u32, topic: u64) -> PublishPlan {
    PublishPlan {
        at_ms: 0,
        publisher,
        topic,
        way: Way::Keys,
        sizes: vec![10],
        first_number: 1_000_000 + 10 * u64::from(publisher) + topic,
        deadline_ms: None,
    }
}

/// Few keys, so that each has many records.
pub(crate) fn key_of(number: u64) -> String {
    format!("key-{}", number % 7)
}

pub(crate) fn headers_of(number: u64) -> Vec<Header> {
    let header = || Header {
        name: "number".to_owned(),
        value: Bytes::copy_from_slice(&number.to_le_bytes()),
    };
    number.is_multiple_of(5).then(header).into_iter().collect()
}

async fn publish(world: &World, client: &Client, publisher: u32, plan: &PublishPlan) {
    let topics = client.topics();
    let topic = topic_name(plan.topic);
    let all = plan.sizes.iter().zip(plan.first_number..);
    // What may be given up goes in frames of its own; where the journal fills, a frame is refused for
    // the moment and tried again behind others.
    let in_order = plan.deadline_ms.is_none() && world.plan.setting.weight == 1;
    let publishing = all.map(|(size, number)| {
        let value = body::of(number, *size);
        let key = (plan.way == Way::Keys).then(|| key_of(number));
        let to = match plan.way {
            Way::Partition(partition) => Some(partition),
            Way::Turn | Way::Keys => None,
        };
        let operation = world.chronicle.operation();
        world.tell(TopicRecord::Publish(TopicPublish {
            operation,
            topic: topic.to_owned(),
            producer: None,
            client: in_order.then_some(publisher),
            key: key.clone(),
            to,
            values: vec![Body::of(&value)],
        }));
        let options = PublishOptions {
            key: key.map(Bytes::from),
            partition: to,
            headers: headers_of(number),
            deadline: plan.deadline_ms.map(Duration::from_millis),
        };
        let answer = topics.publish_with(topic, value, options);
        async move {
            match answer.await {
                Ok(published) => world.tell(TopicRecord::Published {
                    operation,
                    partition: published.partition,
                    first_offset: published.offset,
                    duplicate: published.duplicate,
                }),
                Err(ClientError::Refused { .. }) => {
                    world.tell(TopicRecord::PublishFailed { operation });
                }
                // Nobody knows.
                Err(_) => {}
            }
        }
    });
    join_all(publishing.collect::<Vec<_>>()).await;
}
