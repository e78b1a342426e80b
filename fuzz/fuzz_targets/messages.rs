#![no_main]
//! Every message of the wire, decoded from hostile bytes: never a panic, and what was understood
//! survives being written and read again.
//!
//! The first byte is the number of the frame type, the rest is its message.

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use prost::Message;
use verteilt_protocol::{ErrorCode, FrameType, wire};

fuzz_target!(|input: &[u8]| {
    let Some((&number, meta)) = input.split_first() else {
        return;
    };
    let Some(kind) = FrameType::from_number(number) else {
        return;
    };
    decode_as(kind, meta);
});

/// A new frame type does not compile until it stands here.
fn decode_as(kind: FrameType, meta: &[u8]) {
    match kind {
        FrameType::Heartbeat | FrameType::Ok | FrameType::Cancel => {}
        FrameType::Hello => survives::<wire::Hello>(meta),
        FrameType::Welcome => survives::<wire::Welcome>(meta),
        FrameType::Goodbye => survives::<wire::Goodbye>(meta),
        FrameType::Error => error(meta),
        FrameType::PushCredit => survives::<wire::PushCredit>(meta),
        FrameType::Push => survives::<wire::Push>(meta),
        FrameType::Pushed => survives::<wire::Pushed>(meta),
        FrameType::PushPart => survives::<wire::PushPart>(meta),
        FrameType::Subscribe => survives::<wire::Subscribe>(meta),
        FrameType::Unsubscribe => survives::<wire::Unsubscribe>(meta),
        FrameType::Reserve => survives::<wire::Reserve>(meta),
        FrameType::Deliver => survives::<wire::Deliver>(meta),
        FrameType::DeliverPart => survives::<wire::DeliverPart>(meta),
        FrameType::Ack | FrameType::Release => survives::<wire::Settle>(meta),
        FrameType::Nack => survives::<wire::Nack>(meta),
        FrameType::Touch => survives::<wire::Touch>(meta),
        FrameType::Settled => survives::<wire::Settled>(meta),
        FrameType::LeaseLost => survives::<wire::LeaseLost>(meta),
        FrameType::QueueStats => survives::<wire::QueueStatsRequest>(meta),
        FrameType::QueueStatsReply => survives::<wire::QueueStatsReply>(meta),
        FrameType::QueuePeek => survives::<wire::QueuePeek>(meta),
        FrameType::QueuePeeked => survives::<wire::QueuePeeked>(meta),
        FrameType::QueuePause => survives::<wire::QueuePause>(meta),
        FrameType::QueuePurge => survives::<wire::QueuePurge>(meta),
        FrameType::QueuePurged => survives::<wire::QueuePurged>(meta),
        FrameType::Checkpoint => survives::<wire::Checkpoint>(meta),
        FrameType::CheckpointDone => survives::<wire::CheckpointDone>(meta),
        FrameType::Backup => survives::<wire::Backup>(meta),
        FrameType::BackupData => survives::<wire::BackupData>(meta),
        FrameType::BackupDone => survives::<wire::BackupDone>(meta),
        FrameType::TopicCreate => survives::<wire::TopicCreate>(meta),
        FrameType::Publish => survives::<wire::Publish>(meta),
        FrameType::Published => survives::<wire::Published>(meta),
        FrameType::TopicSubscribe => survives::<wire::TopicSubscribe>(meta),
        FrameType::Records => survives::<wire::Records>(meta),
        FrameType::Consumed => survives::<wire::Consumed>(meta),
        FrameType::TopicAssigned => survives::<wire::TopicAssigned>(meta),
        FrameType::TopicChange => survives::<wire::TopicChange>(meta),
        FrameType::TopicDelete => survives::<wire::TopicDelete>(meta),
        FrameType::TopicStats => survives::<wire::TopicStatsRequest>(meta),
        FrameType::TopicStatsReply => survives::<wire::TopicStatsReply>(meta),
        FrameType::GroupStats => survives::<wire::GroupStatsRequest>(meta),
        FrameType::GroupStatsReply => survives::<wire::GroupStatsReply>(meta),
        FrameType::Request => survives::<wire::Request>(meta),
        FrameType::BodyPart => survives::<wire::BodyPart>(meta),
        FrameType::Reply => survives::<wire::Reply>(meta),
        FrameType::Forward => survives::<wire::Forward>(meta),
        FrameType::RequestEnded => survives::<wire::RequestEnded>(meta),
        FrameType::RequestCancel => survives::<wire::RequestCancel>(meta),
        FrameType::StreamCredit => survives::<wire::StreamCredit>(meta),
        FrameType::Inbox => survives::<wire::Inbox>(meta),
        FrameType::Serve => survives::<wire::Serve>(meta),
        FrameType::Unserve => survives::<wire::Unserve>(meta),
        FrameType::Services => survives::<wire::ServicesRequest>(meta),
        FrameType::ServicesReply => survives::<wire::ServicesReply>(meta),
        FrameType::Trace => survives::<wire::TraceRequest>(meta),
        FrameType::TraceReply => survives::<wire::TraceReply>(meta),
        FrameType::RequestAccepted => survives::<wire::RequestAccepted>(meta),
        FrameType::Result => survives::<wire::ResultRequest>(meta),
        FrameType::ResultReply => survives::<wire::ResultReply>(meta),
    }
}

/// Unknown fields fall away at the first reading; after that nothing may change.
fn survives<M: Message + Default + PartialEq + Debug>(meta: &[u8]) {
    let Ok(message) = M::decode(meta) else { return };
    let written = message.encode_to_vec();
    let again = M::decode(written.as_slice()).expect("what we wrote can be read");
    assert_eq!(message, again);
}

/// A code that is known has one number.
fn error(meta: &[u8]) {
    survives::<wire::Error>(meta);
    let Ok(error) = wire::Error::decode(meta) else {
        return;
    };
    if let Some(code) = ErrorCode::from_number(error.code) {
        assert_eq!(code.number(), error.code);
    }
}
