//! The commands of a script that are about topics.

use std::sync::Arc;

use bytes::Bytes;
use verteilt_core::{
    ProducerId, Publish, RecordLengths, Retention, Start, Target, TopicCommand, TopicSubscribe,
};

use crate::play::{Words, ms, number, queue};

pub(crate) fn of_publisher(name: &str, words: &Words<'_>) -> TopicCommand {
    if name == "topics" {
        return TopicCommand::Stats {
            namespace: Arc::from("default"),
            topic: words.plain.get(1).map(|name| (*name).to_owned()),
            after: words.name("after").unwrap_or_default(),
        };
    }
    let topic = queue(&words.at::<String>(1));
    let retention = Retention {
        age_ms: words.ms("age").unwrap_or(0),
        bytes: words.name("bytes").unwrap_or(0),
    };
    match name {
        "topic" => TopicCommand::Create {
            topic,
            partitions: words.at(2),
            retention,
        },
        "retain" => TopicCommand::Change { topic, retention },
        "delete" => TopicCommand::Delete { topic },
        "groups" => TopicCommand::Groups {
            topic,
            after: words.name("after").unwrap_or_default(),
        },
        _ => TopicCommand::Publish(publish(words)),
    }
}

pub(crate) fn of_reader(name: &str, words: &Words<'_>) -> TopicCommand {
    if name == "read" {
        return TopicCommand::Subscribe(read(words));
    }
    let upto: String = words.at(3);
    let (partition, offset) = upto.split_once(':').expect("partition:offset");
    TopicCommand::Consumed {
        subscription: words.at(2),
        partition: number(partition) as u32,
        offset: number(offset),
        commit: name == "commit",
    }
}

fn publish(words: &Words<'_>) -> Publish {
    let (count, bytes) = (words.at::<u32>(2), words.name("bytes").unwrap_or(3u32));
    let each = |name: &str| {
        let length = words.name::<u32>(name);
        length.map_or(Vec::new(), |length| vec![length; count as usize])
    };
    let target = match (words.name("to"), words.named.get("keys")) {
        (Some(partition), _) => Target::Partition(partition),
        (None, Some(keys)) => Target::Keys(keys.split(',').map(|key| number(key) as u32).collect()),
        (None, None) => Target::Turn,
    };
    let producer = words
        .named
        .get("producer")
        .and_then(|value| value.split_once(':'));
    Publish {
        topic: queue(&words.at::<String>(1)),
        target,
        producer: producer
            .map(|(name, sequence)| (ProducerId(u128::from(name.as_bytes()[0])), number(sequence))),
        lengths: RecordLengths {
            ends: (1..=count).map(|at| at * bytes).collect(),
            keys: each("key"),
            headers: each("head"),
        },
        payload: Bytes::from(vec![b'x'; (count * bytes) as usize]),
    }
}

fn read(words: &Words<'_>) -> TopicSubscribe {
    let start = match words.name::<String>("from").as_deref() {
        None | Some("latest") => Start::Latest,
        Some("earliest") => Start::Earliest,
        Some(text) if text.ends_with('s') => Start::Time(ms(text)),
        Some(text) => Start::Offset(number(text)),
    };
    let only = words.named.get("only").map_or("", |only| only);
    let partition = |text: &str| match text.split_once(':') {
        None => (number(text) as u32, None),
        Some((partition, offset)) => (number(partition) as u32, Some(number(offset))),
    };
    TopicSubscribe {
        subscription: words.name("as").unwrap_or(1),
        topic: queue(&words.at::<String>(2)),
        group: words.name("group"),
        start,
        partitions: only
            .split(',')
            .filter(|text| !text.is_empty())
            .map(partition)
            .collect(),
        credit_records: words.name("credit").unwrap_or(9),
        credit_bytes: words.name("bytes").unwrap_or(0),
    }
}
