//! The one place that knows both the wire and the core: requests come in as frames and leave as
//! commands, effects leave as frames.

mod answer;
mod ask;
mod records;
mod registry;
mod request;
mod requests;
mod topic;

pub(crate) use answer::{
    DeliveredJob, FRAME_ROOM_BYTES, backup_data, backup_done, checkpoint_done, deliver, disk_full,
    goodbye, part, peeked, pushed, refused, simple,
};
pub(crate) use ask::is_look;
pub(crate) use records::{assigned, groups, published, records, topics};
pub(crate) use request::{Bad, Context, Converted, convert, takes_credit};
pub(crate) use requests::tell;

use verteilt_core::Refusal;
use verteilt_protocol::ErrorCode;

/// The error code that stands for a refusal of the core.
pub(crate) fn code_of(refusal: Refusal) -> ErrorCode {
    match refusal {
        Refusal::QueueUnknown => ErrorCode::QueueUnknown,
        Refusal::QueueLimit => ErrorCode::QueueLimit,
        Refusal::LeaseLost => ErrorCode::LeaseLost,
        Refusal::SubscriptionUnknown => ErrorCode::SubscriptionUnknown,
        Refusal::SubscriptionExists => ErrorCode::SubscriptionExists,
        Refusal::SubscriptionLimit => ErrorCode::SubscriptionLimit,
        Refusal::TopicUnknown => ErrorCode::TopicUnknown,
        Refusal::TopicExists => ErrorCode::TopicExists,
        Refusal::TopicLimit => ErrorCode::TopicLimit,
        Refusal::PartitionUnknown => ErrorCode::PartitionUnknown,
        Refusal::PartitionLost => ErrorCode::PartitionLost,
        Refusal::GroupLimit => ErrorCode::GroupLimit,
        Refusal::NoWorker => ErrorCode::NoWorker,
        Refusal::WorkerLost => ErrorCode::WorkerLost,
        Refusal::DeadlineExceeded => ErrorCode::DeadlineExceeded,
        Refusal::RequestLost => ErrorCode::RequestLost,
        Refusal::RequestExists => ErrorCode::RequestExists,
        Refusal::RequestMismatch => ErrorCode::RequestMismatch,
        Refusal::RequestUnknown => ErrorCode::RequestUnknown,
        Refusal::RequestLimit => ErrorCode::RequestLimit,
        Refusal::ServiceLimit => ErrorCode::ServiceLimit,
        Refusal::ForwardLimit => ErrorCode::ForwardLimit,
        Refusal::StreamCreditExceeded => ErrorCode::StreamCreditExceeded,
        Refusal::BodyBroken => ErrorCode::BodyBroken,
        Refusal::InboxClosed => ErrorCode::InboxClosed,
        Refusal::BadArgument => ErrorCode::BadArgument,
        Refusal::SequenceTooOld => ErrorCode::SequenceTooOld,
        Refusal::UploadUnknown => ErrorCode::UploadUnknown,
        Refusal::UploadLimit => ErrorCode::UploadLimit,
        Refusal::BodyTooLarge => ErrorCode::BodyTooLarge,
        Refusal::MemoryFull => ErrorCode::MemoryFull,
        Refusal::DiskFull => ErrorCode::DiskFull,
        Refusal::ShuttingDown => ErrorCode::ShuttingDown,
        Refusal::Cancelled => ErrorCode::Cancelled,
        Refusal::Busy => ErrorCode::Busy,
        Refusal::Unsupported => ErrorCode::Unsupported,
    }
}
