//! The bytes of version 1. They are on disks: when one of these tests fails, the format has changed
//! and needs a new version, not a new expectation.

use bytes::Bytes;

use super::super::directory::Listing;
use super::super::key::{Key, Kind};
use super::super::manifest::{Manifest, Named};
use super::super::{block, envelope};
use crate::store::{BlockMeta, Body, PageMeta, RecordBlockMeta};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn key() {
    let key = Key::new(Kind::Block, 0x0102, 0x0304).part(5);
    assert_eq!(
        hex(&key.encode()),
        "42".to_owned() + "0102" + "0000000000000304" + "00000005"
    );
    assert_eq!(Key::decode(Kind::Block, 0x0102, &key.encode()), Some(key));
    assert_eq!(key.to_string(), "block 772 of shard 258, part 5");
}

#[test]
fn value() {
    let key = Key::new(Kind::Page, 1, 2).part(3);
    let value = envelope::seal(key, &[b"pay", b"load"]);
    assert_eq!(
        hex(&value),
        "56545354500101000200000000000000".to_owned() + "03000000" + "13a0ecf9" + "7061796c6f6164"
    );
    assert_eq!(envelope::open(key, &Bytes::from(value)).unwrap(), "payload");
}

#[test]
fn block_of_two() {
    let bodies = [
        Body {
            id: 300,
            header_length: 1,
            bytes: Bytes::from_static(b"hello"),
        },
        Body {
            id: 302,
            header_length: 0,
            bytes: Bytes::from_static(b"!"),
        },
    ];
    let encoded = block::encode(&bodies).unwrap();
    assert_eq!(
        hex(&encoded.head),
        "0100".to_owned() + "02ac02" + "000105" + "020001" + "68656c6c6f21"
    );
    assert_eq!(
        (encoded.parts, encoded.bytes),
        (1, encoded.head.len() as u32 + 24)
    );
    assert_eq!(
        block::decode(&Bytes::from(encoded.head), 1).unwrap(),
        bodies
    );
}

#[test]
fn directory() {
    let listing = Listing {
        generation: 7,
        pages: vec![PageMeta {
            number: 1,
            first_id: 0,
            last_id: 300,
            records: 4,
            parts: 2,
        }],
        blocks: vec![
            BlockMeta {
                number: 2,
                first_id: 5,
                last_id: 5,
                entries: 1,
                live: 1,
                bytes: 70_000,
                parts: 2,
            },
            BlockMeta {
                number: 3,
                first_id: 6,
                last_id: 200,
                entries: 9,
                live: 0,
                bytes: 100,
                parts: 1,
            },
        ],
        freed_pages: vec![(11, 2)],
        freed_blocks: vec![(12, 1), (13, 300)],
        ..Listing::default()
    };
    let bytes = listing.encode();
    assert_eq!(
        hex(&bytes),
        "07".to_owned()
            + "010100ac020402"
            + "0202050001"
            + "01f0a20402"
            + "0301c201090064"
            + "01"
            + "010b02"
            + "020c010dac02"
    );
    assert_eq!(Listing::decode(&bytes).unwrap(), listing);
    for length in 0..bytes.len() {
        Listing::decode(&bytes[..length]).unwrap_err();
    }
}

/// Behind the rest, which stays as it was, and only where there is something to list.
#[test]
fn directory_with_records() {
    let block = |number, partition, first_offset, next_offset| RecordBlockMeta {
        number,
        topic: 1,
        partition,
        first_offset,
        next_offset,
        time_ms: 1_000,
        bytes: 70_000,
    };
    let listing = Listing {
        generation: 7,
        records: vec![
            block(4, 0, 0, 300),
            block(9, 0, 300, 301),
            block(5, 2, 7, 8),
        ],
        freed_records: vec![(3, 300)],
        ..Listing::default()
    };
    let bytes = listing.encode();
    assert_eq!(
        hex(&bytes),
        "0700000000".to_owned()
            + "0304010000ac02e807f0a204"
            + "090100ac0201e807f0a204"
            + "0501020701e807f0a204"
            + "0103ac02"
    );
    assert_eq!(Listing::decode(&bytes).unwrap(), listing);
    for length in 6..bytes.len() {
        Listing::decode(&bytes[..length]).unwrap_err();
    }
    let before = Listing::decode(&bytes[..5]).unwrap();
    assert!(before.records.is_empty(), "one without records ends there");
    let overlapping = Listing {
        records: vec![block(4, 0, 0, 300), block(9, 0, 299, 301)],
        ..Listing::default()
    };
    Listing::decode(&overlapping.encode()).unwrap_err();
}

#[test]
fn manifest() {
    let manifest = Manifest {
        lsn: 1000,
        time_ms: 2000,
        number_next: 30,
        directory: Named {
            number: 28,
            bytes: 400,
        },
        ledger: Named {
            number: 29,
            bytes: 0,
        },
    };
    let bytes = manifest.encode();
    assert_eq!(hex(&bytes), "e807d00f1e".to_owned() + "1c9003" + "1d00");
    assert_eq!(Manifest::decode(&bytes).unwrap(), manifest);
}
