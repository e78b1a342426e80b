#![no_main]
//! The jobs of a batch inside one payload, cut by lengths that a peer chose: either refused, or
//! every byte of the payload belongs to exactly one job.

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use verteilt_protocol::{Name, decode_headers, split_payload};

fuzz_target!(|input: (Vec<u32>, Vec<u32>, &[u8])| {
    let (header_lengths, body_lengths, payload) = input;
    let payload = Bytes::copy_from_slice(payload);
    if let Ok(jobs) = split_payload(&payload, &header_lengths, &body_lengths) {
        let mut bytes = Vec::with_capacity(payload.len());
        let mut count = 0;
        for job in jobs {
            bytes.extend_from_slice(&job.headers);
            bytes.extend_from_slice(&job.body);
            let _ = decode_headers(&job.headers);
            count += 1;
        }
        assert_eq!(bytes, payload, "bytes were lost or doubled");
        assert_eq!(count, body_lengths.len(), "jobs were lost or doubled");
    }
    if let Ok(text) = std::str::from_utf8(&payload)
        && let Ok(name) = Name::parse(text)
    {
        assert_eq!(name.as_str(), text);
    }
});
