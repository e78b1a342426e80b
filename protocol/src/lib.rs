//! The wire contract of Verteilt: everything that a broker and a client must agree on, and
//! nothing else. No socket, no clock, no runtime.
//!
//! Start with [`frame`] (how bytes become frames), then [`wire`] (the messages inside, generated
//! from `proto/verteilt.proto`). `docs/protocol.md` tells the same story in prose, and `golden/`
//! holds encoded frames against which every client, in any language, can test itself.
//!
//! | module | what it knows |
//! |---|---|
//! | [`frame`] | the 20-byte header, [`decode`] and [`encode`] |
//! | [`frame_type`] | every type of frame, who sends it, what it carries |
//! | [`payload`] | the jobs of a batch inside one payload |
//! | [`headers`] | the header block of a job |
//! | [`records`] | the records of a topic, and the partition of a key |
//! | [`error_code`] | every refusal, and whether to try again |
//! | [`name`] | what a queue, topic, service or namespace may be called |
//! | [`limits`] | every number, in one place |

pub mod error_code;
pub mod frame;
pub mod frame_type;
pub mod headers;
pub mod limits;
pub mod name;
pub mod payload;
pub mod records;

/// The messages, generated from `proto/verteilt.proto` (see `tests/generated.rs`).
///
/// `bytes` fields are [`bytes::Bytes`] and, when they come from [`Frame::message`], share the memory of
/// the frame they came in: copy them before keeping them for long.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::use_self)]
#[rustfmt::skip]
pub mod wire;

pub use error_code::ErrorCode;
pub use frame::{
    FLAG_CUMULATIVE, Frame, FrameError, FrameHeader, HEADER_BYTES, decode, encode, encode_empty,
    encode_with, fits,
};
pub use frame_type::{FrameType, Sender};
pub use headers::{decode_headers, encode_headers};
pub use name::{Name, NameError};
pub use payload::{JobSlices, PayloadSlices, split_payload, split_payload_by};
pub use records::{RecordLists, RecordSlices, key_hash, partition_of, split_records};

/// The protocol versions that this crate speaks: lowest and highest.
pub const VERSIONS: std::ops::RangeInclusive<u32> = 1..=1;

/// Capability: job queues. Served by version 0.1.
pub const CAPABILITY_JOBS: &str = "jobs";
/// Capability: topics. Served by version 0.1.
pub const CAPABILITY_TOPICS: &str = "topics";
/// Capability: requests with a reply. Served by version 0.1.
pub const CAPABILITY_REQUESTS: &str = "requests";
