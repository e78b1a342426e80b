//! Topics and requests: designed, and served by brokers that announce the capability.

use verteilt_protocol::wire::{
    BodyPart, Cancelled, Consumed, Durability, Forward, Publish, PublishResult, Published, Records,
    Reply, Request, TopicCreate, TopicSubscribe, topic_subscribe::Start,
};
use verteilt_protocol::{ErrorCode, FrameType};

use crate::case::{Case, case};
use crate::connection::id;
use crate::jobs::header_block;

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
    vec![
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
    }
}

pub(crate) fn requests() -> Vec<Case> {
    let block = header_block();
    let payload = [&block[..], b"body"].concat();
    let request = Request {
        service: "thumbnails".into(),
        version: "2".into(),
        request_id: id(0x20),
        gateway_id: id(0x40),
        deadline_ms: 30_000,
        endpoint: "resize".into(),
        durability: Durability::Memory.into(),
        header_length: block.len() as u32,
        more: true,
    };
    let part = BodyPart {
        request_id: id(0x20),
        index: 1,
        more: false,
    };
    let reply = Reply {
        request_id: id(0x20),
        id: 77,
        token: 950,
        status: 200,
        header_length: block.len() as u32,
        more: false,
    };
    let forward = Forward {
        request_id: id(0x20),
        id: 77,
        token: 950,
        service: "watermark".into(),
        version: "1".into(),
        endpoint: "apply".into(),
        header_length: 0,
        keep_body: true,
    };
    let cancelled = Cancelled {
        request_id: id(0x20),
        code: ErrorCode::Cancelled.number(),
    };
    vec![
        case("request", FrameType::Request, 50, request, &payload),
        case("body_part", FrameType::BodyPart, 51, part, b" goes on"),
        case("reply", FrameType::Reply, 52, reply, &payload),
        case("forward", FrameType::Forward, 53, forward, b""),
        case("cancelled", FrameType::Cancelled, 0, cancelled, b""),
    ]
}
