//! Topics.

use verteilt_protocol::FrameType;
use verteilt_protocol::wire::{
    Consumed, Durability, GroupStats, GroupStatsReply, GroupStatsRequest, Publish, PublishResult,
    Published, Records, TopicAssigned, TopicChange, TopicCreate, TopicDelete, TopicStats,
    TopicStatsReply, TopicStatsRequest, TopicSubscribe, topic_subscribe::Start,
};

use crate::case::{Case, case};
use crate::connection::id;

pub(crate) fn topics() -> Vec<Case> {
    let create = TopicCreate {
        topic: "orders".into(),
        partitions: 8,
        retention_ms: 604_800_000,
        retention_bytes: 1 << 40,
        durability: Durability::Disk.into(),
    };
    let publish = Publish {
        topic: "orders".into(),
        partition: Some(0),
        producer: id(0),
        sequence: 1,
        value_lengths: vec![5, 0],
        key_lengths: vec![3, 0],
        ..Publish::default()
    };
    let result = PublishResult {
        correlation: 41,
        partition: 0,
        first_offset: 100,
        count: 2,
        durability: Durability::Disk.into(),
        duplicate: false,
    };
    let published = Published {
        results: vec![result],
        credit: 8,
    };
    let records = Records {
        subscription: 2,
        partition: 0,
        first_offset: 100,
        times_ms: vec![1_760_000_000_000, 1_760_000_000_001],
        value_lengths: vec![5, 0],
        key_lengths: vec![3, 0],
        ..Records::default()
    };
    let consumed = Consumed {
        subscription: 2,
        partition: 0,
        offset: 101,
        commit: true,
    };
    let mut cases = vec![
        case("topic_create", FrameType::TopicCreate, 40, create, b""),
        case("publish", FrameType::Publish, 41, publish, b"keyvalue"),
        case("published", FrameType::Published, 0, published, b""),
        case(
            "topic_subscribe",
            FrameType::TopicSubscribe,
            42,
            subscribe(Start::Offset(100)),
            b"",
        ),
        case(
            "topic_subscribe_latest",
            FrameType::TopicSubscribe,
            43,
            subscribe(Start::Latest(true)),
            b"",
        ),
        case("records", FrameType::Records, 0, records, b"keyvalue"),
        case("consumed", FrameType::Consumed, 44, consumed, b""),
    ];
    cases.extend(more_topics());
    cases.extend(topic_numbers());
    cases
}

fn more_topics() -> Vec<Case> {
    let change = TopicChange {
        topic: "orders".into(),
        retention_ms: 0,
        retention_bytes: 1 << 30,
    };
    let delete = TopicDelete {
        topic: "orders".into(),
    };
    let keyed = Publish {
        topic: "orders".into(),
        value_lengths: vec![1],
        ..Publish::default()
    };
    let again = TopicSubscribe {
        group: String::new(),
        partitions: vec![0, 3],
        offsets: vec![100, 7],
        start: None,
        ..subscribe(Start::Earliest(true))
    };
    let assigned = TopicAssigned {
        subscription: 2,
        generation: 3,
        partitions: vec![0, 3],
        offsets: vec![100, 7],
        ended: false,
    };
    let ended = TopicAssigned {
        subscription: 2,
        ended: true,
        ..TopicAssigned::default()
    };
    let skipped = Records {
        subscription: 2,
        partition: 3,
        first_offset: 500,
        times_ms: vec![1_760_000_000_000],
        value_lengths: vec![1, 2],
        skipped: 493,
        ..Records::default()
    };
    vec![
        case("topic_change", FrameType::TopicChange, 45, change, b""),
        case("topic_delete", FrameType::TopicDelete, 46, delete, b""),
        case("publish_in_turn", FrameType::Publish, 47, keyed, b"x"),
        case(
            "topic_subscribe_offsets",
            FrameType::TopicSubscribe,
            48,
            again,
            b"",
        ),
        case("topic_assigned", FrameType::TopicAssigned, 0, assigned, b""),
        case(
            "topic_assigned_ended",
            FrameType::TopicAssigned,
            0,
            ended,
            b"",
        ),
        case("records_skipped", FrameType::Records, 0, skipped, b"xyz"),
    ]
}

fn topic_numbers() -> Vec<Case> {
    let ask = TopicStatsRequest {
        topic: String::new(),
        after: "orders".into(),
    };
    let stats = TopicStats {
        topic: "orders".into(),
        partitions: 2,
        retention_ms: 604_800_000,
        retention_bytes: 1 << 30,
        records: 30,
        bytes: 4_000,
        published: 130,
        subscriptions: 1,
        groups: 1,
        first_offsets: vec![100, 0],
        next_offsets: vec![120, 10],
        partition_bytes: vec![3_000, 1_000],
    };
    let reply = TopicStatsReply {
        topics: vec![stats],
        more: true,
    };
    let groups = GroupStatsRequest {
        topic: "orders".into(),
        after: String::new(),
    };
    let group = GroupStats {
        group: "billing".into(),
        members: 2,
        lag: 15,
        partitions: vec![0, 1],
        offsets: vec![110, 5],
        lags: vec![10, 5],
    };
    let told = GroupStatsReply {
        groups: vec![group],
        more: false,
    };
    vec![
        case("topic_stats", FrameType::TopicStats, 49, ask, b""),
        case(
            "topic_stats_reply",
            FrameType::TopicStatsReply,
            49,
            reply,
            b"",
        ),
        case("group_stats", FrameType::GroupStats, 52, groups, b""),
        case(
            "group_stats_reply",
            FrameType::GroupStatsReply,
            52,
            told,
            b"",
        ),
    ]
}

fn subscribe(start: Start) -> TopicSubscribe {
    TopicSubscribe {
        subscription: 2,
        topic: "orders".into(),
        group: "billing".into(),
        credit_records: 1_000,
        credit_bytes: 1_048_576,
        start: Some(start),
        ..TopicSubscribe::default()
    }
}
