//! Requests of durability `disk`: their events and their place in the ledger.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::{BodyRun, CodecError, Event, EventReader, JobId, Ledger, encode_event, golden, record};
use crate::effect::Refusal;
use crate::event::{AcceptedRequest, RequestEvent};
use crate::id::RequestId;
use crate::live::LiveJobs;

const REQUEST: RequestId = RequestId(0x0F0E_0D0C_0B0A_0908_0706_0504_0302_0100);
const REQUEST_HEX: &str = "000102030405060708090a0b0c0d0e0f";

fn accepted() -> AcceptedRequest {
    AcceptedRequest {
        request: REQUEST,
        namespace: Arc::from("ns"),
        service: Arc::from("mail"),
        version: Arc::from("2"),
        endpoint: Arc::from("GET /"),
        deadline_ms: 1_000,
        fingerprint: REQUEST.0,
        body: JobId(300),
        header_length: 2,
        payload: Bytes::from_static(b"hhbody"),
    }
}

fn replied() -> RequestEvent {
    RequestEvent::Replied {
        request: REQUEST,
        status: 201,
        until_ms: 86_400_000,
        body: JobId(300),
        header_length: 1,
        payload: Bytes::from_static(b"hok"),
    }
}

fn failed() -> RequestEvent {
    RequestEvent::Failed {
        request: REQUEST,
        refusal: Refusal::WorkerLost,
        holder: Arc::from("mail"),
        until_ms: 1_000,
    }
}

#[test]
fn tag_22_request_accepted() {
    let bytes = format!(
        "3d000000 16 {REQUEST_HEX} ac02 02 06 026e73 046d61696c 0132 05474554202f e807 \
         {REQUEST_HEX} 6868626f6479"
    );
    golden(
        &Event::Request(RequestEvent::Accepted(Box::new(accepted()))),
        &bytes,
    );
}

#[test]
fn tag_23_request_started() {
    let event = RequestEvent::Started { request: REQUEST };
    golden(
        &Event::Request(event),
        &format!("11000000 17 {REQUEST_HEX}"),
    );
}

#[test]
fn tag_24_request_forwarded() {
    let passed = AcceptedRequest {
        namespace: Arc::default(),
        deadline_ms: 0,
        fingerprint: 0,
        ..accepted()
    };
    let bytes =
        format!("28000000 18 {REQUEST_HEX} ac02 02 06 046d61696c 0132 05474554202f 6868626f6479");
    golden(
        &Event::Request(RequestEvent::Forwarded(Box::new(passed))),
        &bytes,
    );
}

#[test]
fn tag_25_request_replied() {
    let bytes = format!("1e000000 19 {REQUEST_HEX} ac02 01 03 c901 80b89929 686f6b");
    golden(&Event::Request(replied()), &bytes);
}

#[test]
fn tag_26_request_failed() {
    let bytes = format!("19000000 1a {REQUEST_HEX} 01 046d61696c e807");
    golden(&Event::Request(failed()), &bytes);
}

#[test]
fn tag_27_requests_forgotten() {
    let event = RequestEvent::Forgotten {
        requests: vec![REQUEST],
    };
    golden(
        &Event::Request(event),
        &format!("12000000 1b 01 {REQUEST_HEX}"),
    );
}

#[test]
fn bodies_are_found_without_reading_what_stands_before_them() {
    let mut out = BytesMut::new();
    encode_event(&mut out, &Event::Started { epoch: 1 });
    let event = RequestEvent::Accepted(Box::new(accepted()));
    encode_event(&mut out, &Event::Request(event));
    encode_event(&mut out, &Event::Request(replied()));
    let bytes = out.freeze();
    let runs = BodyRun::scan(&bytes).unwrap();
    let bodies: Vec<_> = runs
        .iter()
        .map(|run| run.find(&bytes, JobId(300)))
        .collect();
    let body = |text: &'static str| Some((0, Bytes::from_static(text.as_bytes())));
    assert_eq!(bodies, [body("hhbody"), body("hok")]);
}

#[test]
fn a_body_shorter_than_it_says_is_refused() {
    let mut out = BytesMut::new();
    encode_event(&mut out, &Event::Request(replied()));
    // Behind length, tag, request and body id: bytes of the header block.
    out[4 + 1 + 16 + 2] = 4;
    let read: Vec<_> = EventReader::new(out.freeze(), 1, 1).collect();
    assert_eq!(read, [Err(CodecError::Impossible)]);
}

/// A ledger in which each of them stands once: open, replied, failed.
fn ledger() -> Ledger {
    let mut ledger = Ledger::new(JobId(1), 4);
    let mut jobs = LiveJobs::default();
    let mut apply = |event| ledger.apply(&mut jobs, &Event::Request(event), 7);
    for id in 1..=3_u64 {
        apply(RequestEvent::Accepted(Box::new(AcceptedRequest {
            request: RequestId(id.into()),
            body: JobId(id),
            ..accepted()
        })));
    }
    apply(RequestEvent::Started {
        request: RequestId(1),
    });
    apply(RequestEvent::Replied {
        request: RequestId(2),
        status: 204,
        until_ms: 9_000,
        body: JobId(4),
        header_length: 0,
        payload: Bytes::new(),
    });
    apply(RequestEvent::Failed {
        request: RequestId(3),
        refusal: Refusal::DeadlineExceeded,
        holder: Arc::default(),
        until_ms: 9_000,
    });
    ledger
}

#[test]
fn the_ledger_keeps_them_and_their_bodies() {
    let ledger = ledger();
    let mut out = BytesMut::new();
    record::put_ledger(&mut out, &ledger);
    assert_eq!(record::ledger(out.freeze(), 4), Ok(ledger.clone()));
    assert_eq!(ledger.parts(), [JobId(1), JobId(4)]);
    let book = ledger.requests();
    assert_eq!((book.open_len(), book.results_len()), (1, 2));
}

/// Format 1 is what a ledger without requests is in format 2.
#[test]
fn a_ledger_without_requests_ends_where_it_did() {
    let mut out = BytesMut::new();
    record::put_ledger(&mut out, &Ledger::new(JobId(5), 4));
    assert_eq!(out[..], [0, 5, 0, 0, 0, 0]);
}
