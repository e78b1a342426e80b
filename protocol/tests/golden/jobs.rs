//! PUSH to LEASE_LOST.

use bytes::{Bytes, BytesMut};
use verteilt_protocol::wire::{
    Deliver, DeliverPart, Durability, Header, Headers, JobOptions, LeaseLost, Nack, Push, PushPart,
    PushResult, Pushed, Reserve, Settle, Settled, Subscribe, Touch, Unsubscribe,
};
use verteilt_protocol::{ErrorCode, FrameType, encode_headers};

use crate::case::{Case, case};
use crate::connection::id;

/// A header block of a text and a binary value.
pub(crate) fn header_block() -> Vec<u8> {
    let entries = vec![
        Header {
            name: "trace".into(),
            value: Bytes::from_static(b"abc"),
        },
        Header {
            name: "x-\u{e4}".into(),
            value: Bytes::from_static(b"\x00\xff"),
        },
    ];
    let mut out = BytesMut::new();
    encode_headers(&mut out, &Headers { entries }).unwrap();
    out.to_vec()
}

fn push(body_lengths: Vec<u32>) -> Push {
    Push {
        queue: "mail".into(),
        body_lengths,
        ..Push::default()
    }
}

pub(crate) fn pushes() -> Vec<Case> {
    let block = header_block();
    let with_headers = [&block[..], b"first", b"second"].concat();
    vec![
        case("push", FrameType::Push, 2, push(vec![5]), b"hello"),
        case("push_empty_body", FrameType::Push, 3, push(vec![0]), b""),
        case("push_no_jobs", FrameType::Push, 4, push(vec![]), b""),
        case(
            "push_several",
            FrameType::Push,
            5,
            push_several(),
            b"onetwo\x00\xff",
        ),
        case(
            "push_headers",
            FrameType::Push,
            6,
            push_headers(&block),
            &with_headers,
        ),
        case(
            "push_all_options",
            FrameType::Push,
            7,
            push_all_options(),
            b"x",
        ),
        case(
            "push_upload",
            FrameType::Push,
            9,
            Push {
                upload: 4,
                upload_parts: 1,
                ..push(vec![3])
            },
            b"end",
        ),
        case(
            "push_part",
            FrameType::PushPart,
            8,
            PushPart {
                upload: 4,
                index: 0,
            },
            b"begin, ",
        ),
        case("pushed", FrameType::Pushed, 0, pushed(), b""),
        case(
            "pushed_credit_only",
            FrameType::Pushed,
            0,
            Pushed {
                credit: 10,
                results: vec![],
            },
            b"",
        ),
    ]
}

fn push_several() -> Push {
    Push {
        producer: id(0x10),
        sequence: 300,
        ..push(vec![3, 3, 0, 2])
    }
}

fn push_headers(block: &[u8]) -> Push {
    Push {
        header_lengths: vec![block.len() as u32, 0],
        ..push(vec![5, 6])
    }
}

fn push_all_options() -> Push {
    let options = JobOptions {
        priority: -7,
        delay_ms: 86_400_000,
        attempts: 3,
        lease_ms: 60_000,
        durability: Durability::Memory.into(),
        unique_key: Bytes::from_static(b"order-17"),
        ordering_key: Bytes::from_static(b"customer-4"),
        time_to_live_ms: 3_600_000,
        keep_result: true,
    };
    Push {
        options: Some(options),
        producer: id(0),
        sequence: u64::MAX,
        ..push(vec![1])
    }
}

fn pushed() -> Pushed {
    let result = |correlation, first_id, count, durability: Durability, duplicate| PushResult {
        correlation,
        first_id,
        count,
        durability: durability.into(),
        duplicate,
    };
    Pushed {
        results: vec![
            result(2, 1, 1, Durability::Disk, false),
            result(5, 2, 4, Durability::Memory, false),
            result(6, 1_000_000_000_000, 2, Durability::Disk, true),
        ],
        credit: 20,
    }
}

pub(crate) fn subscriptions() -> Vec<Case> {
    let subscribe = Subscribe {
        subscription: 1,
        queue: "mail".into(),
        credit_jobs: 16,
        credit_bytes: 1_048_576,
    };
    let hold = Subscribe {
        credit_jobs: 0,
        credit_bytes: 0,
        ..subscribe.clone()
    };
    let unsubscribe = Unsubscribe { subscription: 1 };
    let reserve = Reserve {
        queue: "mail".into(),
        jobs_max: 10,
        wait_ms: 5_000,
    };
    vec![
        case("subscribe", FrameType::Subscribe, 10, subscribe, b""),
        case("subscribe_hold", FrameType::Subscribe, 11, hold, b""),
        case("unsubscribe", FrameType::Unsubscribe, 12, unsubscribe, b""),
        case("reserve", FrameType::Reserve, 13, reserve, b""),
    ]
}

pub(crate) fn deliveries() -> Vec<Case> {
    let block = header_block();
    let several = [b"first", &block[..], b"second"].concat();
    let nothing = Deliver::default();
    // Numbers beyond 2^63: not every language has them.
    let high = Deliver {
        ids: vec![(1 << 63) + 5],
        token: u64::MAX,
        ..deliver()
    };
    let part = |to_come| DeliverPart {
        id: 7,
        token: 900,
        to_come,
    };
    vec![
        case("deliver", FrameType::Deliver, 0, deliver(), b"hello"),
        case(
            "deliver_several",
            FrameType::Deliver,
            0,
            deliver_several(&block),
            &several,
        ),
        case("deliver_nothing", FrameType::Deliver, 13, nothing, b""),
        case(
            "deliver_high_numbers",
            FrameType::Deliver,
            0,
            high,
            b"hello",
        ),
        case(
            "deliver_large",
            FrameType::Deliver,
            14,
            deliver_large(),
            b"begin",
        ),
        case(
            "deliver_part",
            FrameType::DeliverPart,
            14,
            part(2),
            b", middle",
        ),
        case(
            "deliver_part_last",
            FrameType::DeliverPart,
            14,
            part(0),
            b"!!",
        ),
    ]
}

fn deliver() -> Deliver {
    Deliver {
        subscription: 1,
        token: 811,
        ids: vec![1],
        attempts: vec![1],
        lease_ms: vec![30_000],
        body_lengths: vec![5],
        ..Deliver::default()
    }
}

fn deliver_several(block: &[u8]) -> Deliver {
    Deliver {
        subscription: 1,
        token: 812,
        ids: vec![2, 300],
        attempts: vec![1, 2],
        lease_ms: vec![30_000, 60_000],
        body_lengths: vec![5, 6],
        header_lengths: vec![0, block.len() as u32],
        ..Deliver::default()
    }
}

fn deliver_large() -> Deliver {
    Deliver {
        token: 900,
        ids: vec![7],
        attempts: vec![1],
        lease_ms: vec![30_000],
        body_lengths: vec![5],
        lengths_to_come: vec![10],
        ..Deliver::default()
    }
}

pub(crate) fn settlings() -> Vec<Case> {
    let one = Settle {
        ids: vec![1],
        tokens: vec![811],
    };
    let same_token = Settle {
        ids: vec![2, 300],
        tokens: vec![812],
    };
    let each_token = Settle {
        ids: vec![1, 2, 7],
        tokens: vec![811, 812, 900],
    };
    let nack = |delay_ms| Nack {
        ids: vec![1],
        tokens: vec![811],
        delay_ms,
    };
    let touch = |lease_ms| Touch {
        ids: vec![1],
        tokens: vec![811],
        lease_ms,
    };
    let settled = Settled {
        refused_ids: vec![2, 300],
        refused_codes: vec![ErrorCode::LeaseLost.number(); 2],
        refused_tokens: vec![811, 812],
    };
    let lost = LeaseLost {
        ids: vec![2, 7],
        tokens: vec![812, 900],
    };
    vec![
        case("ack", FrameType::Ack, 20, one.clone(), b""),
        case("ack_one_token", FrameType::Ack, 21, same_token, b""),
        case("ack_many_tokens", FrameType::Ack, 22, each_token, b""),
        case("nack_backoff", FrameType::Nack, 23, nack(None), b""),
        case("nack_at_once", FrameType::Nack, 24, nack(Some(0)), b""),
        case("nack_delay", FrameType::Nack, 25, nack(Some(90_000)), b""),
        case("release", FrameType::Release, 26, one, b""),
        case("touch", FrameType::Touch, 27, touch(0), b""),
        case("touch_lease", FrameType::Touch, 28, touch(120_000), b""),
        case("settled", FrameType::Settled, 21, settled, b""),
        case("lease_lost", FrameType::LeaseLost, 0, lost, b""),
    ]
}
