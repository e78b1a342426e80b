//! The JSON form of a frame: the canonical JSON of protobuf around the message, hex for payloads.

use std::path::Path;

use bytes::{Bytes, BytesMut};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::{Value, json};
use verteilt_protocol::wire::{Deliver, Push, QueuePeeked};
use verteilt_protocol::{
    Frame, FrameType, JobSlices, decode, decode_headers, encode, encode_empty, split_payload,
    split_payload_by,
};

use crate::case::Case;

/// The schema, for messages whose type is known at run time only.
pub(crate) fn descriptors() -> DescriptorPool {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    protox::Compiler::new([proto])
        .unwrap()
        .open_file("verteilt.proto")
        .unwrap()
        .descriptor_pool()
}

/// What a frame means, as `golden/<name>.json` says it.
pub(crate) fn meaning(pool: &DescriptorPool, case: &Case) -> Value {
    let frame = decode(&mut BytesMut::from(&case.bytes[..]))
        .unwrap()
        .unwrap();
    let message = case.kind.message_name().map(|name| {
        to_json(&DynamicMessage::decode(descriptor(pool, name), &frame.meta[..]).unwrap())
    });
    let mut meaning = json!({
        "type": case.kind.name(),
        "type_number": frame.frame_type,
        "flags": frame.flags,
        "correlation": frame.correlation.to_string(),
        "message": message,
        "payload_hex": hex(&frame.payload),
    });
    if let Some(jobs) = jobs_of(&frame) {
        let jobs = jobs.into_iter().map(|job| job_json(pool, &job));
        meaning["jobs"] = jobs.collect();
    }
    meaning
}

/// The bytes of the frame that a `golden/<name>.json` means.
pub(crate) fn encode_meaning(pool: &DescriptorPool, meaning: &Value) -> Vec<u8> {
    let kind = FrameType::from_number(meaning["type_number"].as_u64().unwrap() as u8).unwrap();
    assert_eq!(meaning["type"], kind.name());
    let flags = meaning["flags"].as_u64().unwrap() as u8;
    let correlation = meaning["correlation"].as_str().unwrap().parse().unwrap();
    let mut out = BytesMut::new();
    let Some(name) = kind.message_name() else {
        encode_empty(&mut out, kind, flags, correlation);
        return out.to_vec();
    };
    let message = DynamicMessage::deserialize(descriptor(pool, name), &meaning["message"]).unwrap();
    let payload = unhex(meaning["payload_hex"].as_str().unwrap());
    encode(&mut out, kind, flags, correlation, &message, &payload);
    out.to_vec()
}

fn descriptor(pool: &DescriptorPool, name: &str) -> MessageDescriptor {
    pool.get_message_by_name(&format!("verteilt.v1.{name}"))
        .unwrap()
}

fn to_json(message: &DynamicMessage) -> Value {
    let options = SerializeOptions::new()
        .use_proto_field_name(true)
        .skip_default_fields(false);
    message
        .serialize_with_options(serde_json::value::Serializer, &options)
        .unwrap()
}

/// The jobs of the payload, where the type of frame has jobs in it.
fn jobs_of(frame: &Frame) -> Option<Vec<JobSlices>> {
    let split = |headers: &[u32], bodies: &[u32]| -> Vec<_> {
        split_payload(&frame.payload, headers, bodies)
            .unwrap()
            .collect()
    };
    match frame.kind()? {
        FrameType::Push => {
            let push: Push = frame.message().unwrap();
            Some(split(&push.header_lengths, &push.body_lengths))
        }
        FrameType::Deliver => {
            let deliver: Deliver = frame.message().unwrap();
            Some(split(&deliver.header_lengths, &deliver.body_lengths))
        }
        FrameType::QueuePeeked => {
            let peeked: QueuePeeked = frame.message().unwrap();
            let lengths = peeked
                .jobs
                .iter()
                .map(|job| (job.header_length, job.body_length));
            Some(split_payload_by(&frame.payload, lengths).unwrap().collect())
        }
        _ => None,
    }
}

fn job_json(pool: &DescriptorPool, job: &JobSlices) -> Value {
    let headers = decode_headers(&job.headers).unwrap().encode_to_vec();
    let headers = DynamicMessage::decode(descriptor(pool, "Headers"), Bytes::from(headers));
    json!({
        "headers": to_json(&headers.unwrap())["entries"],
        "body_hex": hex(&job.body),
        "body_utf8": std::str::from_utf8(&job.body).ok(),
    })
}

/// Lower case, two digits a byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let pairs = text
        .as_bytes()
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).unwrap());
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).unwrap())
        .collect()
}
