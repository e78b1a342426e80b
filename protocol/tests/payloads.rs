//! The jobs of a batch and their header blocks, from friends and enemies.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use verteilt_protocol::limits::HEADER_BYTES_MAX;
use verteilt_protocol::wire::{Header, Headers};
use verteilt_protocol::{
    ErrorCode, FrameError, JobSlices, decode_headers, encode_headers, split_payload,
};

fn slices(headers: &'static [u8], body: &'static [u8]) -> JobSlices {
    JobSlices {
        headers: Bytes::from_static(headers),
        body: Bytes::from_static(body),
    }
}

#[test]
fn bodies_alone() {
    let payload = Bytes::from_static(b"onetwo");
    let jobs: Vec<_> = split_payload(&payload, &[], &[3, 0, 3]).unwrap().collect();
    assert_eq!(
        jobs,
        [slices(b"", b"one"), slices(b"", b""), slices(b"", b"two")]
    );
    assert_eq!(
        jobs[2].body.as_ptr(),
        payload[3..].as_ptr(),
        "nothing is copied"
    );
}

#[test]
fn headers_stand_before_their_body() {
    let payload = Bytes::from_static(b"h1body1body2");
    let jobs: Vec<_> = split_payload(&payload, &[2, 0], &[5, 5]).unwrap().collect();
    assert_eq!(jobs, [slices(b"h1", b"body1"), slices(b"", b"body2")]);
}

#[test]
fn no_jobs_need_no_payload() {
    assert_eq!(split_payload(&Bytes::new(), &[], &[]).unwrap().count(), 0);
}

#[test]
fn lengths_that_are_not_those_of_the_payload_are_malformed() {
    let payload = Bytes::from_static(b"12345");
    for (headers, bodies, error) in [
        (
            &[][..],
            &[4][..],
            FrameError::PayloadLength {
                named: 4,
                payload: 5,
            },
        ),
        (
            &[1],
            &[5],
            FrameError::PayloadLength {
                named: 6,
                payload: 5,
            },
        ),
        (
            &[],
            &[],
            FrameError::PayloadLength {
                named: 0,
                payload: 5,
            },
        ),
        // The sum of these is 5 modulo 2^32.
        (
            &[],
            &[u32::MAX, 6],
            FrameError::PayloadLength {
                named: (1 << 32) + 5,
                payload: 5,
            },
        ),
        (
            &[0],
            &[2, 3],
            FrameError::ListLength {
                headers: 1,
                bodies: 2,
            },
        ),
    ] {
        let found = split_payload(&payload, headers, bodies).err().unwrap();
        assert_eq!(found, error);
        assert_eq!(found.code(), ErrorCode::MalformedMessage);
    }
}

#[test]
fn a_header_block_keeps_its_limit() {
    let over = HEADER_BYTES_MAX as u32 + 1;
    let payload = Bytes::from(vec![0; over as usize]);
    let error = split_payload(&payload, &[over], &[0]).err().unwrap();
    assert_eq!(error.code(), ErrorCode::HeadersTooLarge);
    assert_eq!(
        decode_headers(&payload).unwrap_err().code(),
        ErrorCode::HeadersTooLarge
    );
    let value = Bytes::from(vec![0; HEADER_BYTES_MAX]);
    let headers = Headers {
        entries: vec![Header {
            name: "a".into(),
            value,
        }],
    };
    let mut out = BytesMut::new();
    assert!(encode_headers(&mut out, &headers).is_err());
    assert!(out.is_empty());
}

#[test]
fn headers_without_entries_are_no_bytes() {
    let mut out = BytesMut::new();
    assert_eq!(encode_headers(&mut out, &Headers::default()), Ok(0));
    assert_eq!(decode_headers(&Bytes::new()), Ok(Headers::default()));
}

proptest! {
    #[test]
    fn headers_come_out_as_they_went_in(
        entries in prop::collection::vec((".{0,20}", prop::collection::vec(any::<u8>(), 0..50)), 0..20),
    ) {
        let entries = entries.into_iter().map(|(name, value)| Header { name, value: value.into() });
        let headers = Headers { entries: entries.collect() };
        let mut out = BytesMut::new();
        let length = encode_headers(&mut out, &headers).unwrap();
        prop_assert_eq!(length as usize, out.len());
        prop_assert_eq!(decode_headers(&out.freeze()).unwrap(), headers);
    }

    #[test]
    fn arbitrary_blocks_never_panic(block in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode_headers(&Bytes::from(block));
    }

    #[test]
    fn arbitrary_lengths_never_panic_and_never_lose_a_byte(
        payload in prop::collection::vec(any::<u8>(), 0..100),
        headers in prop::collection::vec(0_u32..40, 0..4),
        bodies in prop::collection::vec(0_u32..40, 0..4),
    ) {
        let payload = Bytes::from(payload);
        if let Ok(jobs) = split_payload(&payload, &headers, &bodies) {
            let mut together = Vec::new();
            for job in jobs.clone() {
                together.extend_from_slice(&job.headers);
                together.extend_from_slice(&job.body);
            }
            prop_assert_eq!(jobs.count(), bodies.len());
            prop_assert_eq!(&together[..], &payload[..]);
        }
    }
}
