//! What the check finds in record blocks, on checkpoints that are made for it.

use std::path::Path;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use verteilt_core::{
    Event, Job, JobId, JobSlots, Ledger, Offset, PartitionId, Published, QueueId, RecordLengths,
    Retention, TopicEvent, TopicId, encode_event, record,
};

use super::{Report, ReportKind, VerifyError, state};
use crate::recovery::SHARD;
use crate::store::{Catalog, MemoryStore, RecordBlockMeta, Store};

const WINDOW: u32 = 10;

struct NoJobs;

impl JobSlots for NoJobs {
    fn insert(&mut self, id: JobId, _: Job) {
        panic!("no event here makes a job: {id:?}");
    }

    fn update(&mut self, id: JobId, _: impl FnOnce(&mut Job)) -> QueueId {
        panic!("no event here names a job: {id:?}");
    }

    fn remove_all(&mut self, ids: &[JobId], _: impl FnMut(JobId, &Job)) {
        panic!("no event here ends a job: {ids:?}");
    }
}

fn partition(number: u32) -> PartitionId {
    let topic = TopicId(0);
    PartitionId { topic, number }
}

/// Two records.
fn published(number: u32, first_offset: Offset) -> Event {
    let lengths = RecordLengths {
        ends: vec![2, 5],
        keys: vec![1, 0],
        ..RecordLengths::default()
    };
    Event::Topic(TopicEvent::Published(Published {
        partition: partition(number),
        first_offset,
        time_ms: 1_000 + first_offset,
        producer: None,
        lengths,
        payload: Bytes::from_static(b"abcde"),
    }))
}

/// A topic whose partition 1 holds six records, but for those before `start`.
fn ledger(start: Offset) -> Ledger {
    let mut events = vec![Event::Topic(TopicEvent::Created {
        topic: TopicId(0),
        namespace: "n".to_owned(),
        name: "log".to_owned(),
        partitions: 2,
        // So little that retention may let go of every publish by itself.
        retention: Retention {
            age_ms: 0,
            bytes: 32,
        },
    })];
    events.extend([0, 2, 4].map(|first_offset| published(1, first_offset)));
    let partition = partition(1);
    if start > 0 {
        events.push(Event::Topic(TopicEvent::Dropped { partition, start }));
    }
    let mut ledger = Ledger::new(JobId(1), WINDOW);
    for event in &events {
        ledger.apply(&mut NoJobs, event, 1_000);
    }
    ledger
}

/// Two records from this offset on.
fn block(number: u32, first_offset: Offset) -> (RecordBlockMeta, Vec<u8>) {
    let mut bytes = BytesMut::new();
    encode_event(&mut bytes, &published(number, first_offset));
    let meta = RecordBlockMeta {
        number: 0,
        topic: 0,
        partition: number,
        first_offset,
        next_offset: first_offset + 2,
        time_ms: 1_000 + first_offset,
        bytes: 0,
    };
    (meta, bytes.to_vec())
}

/// The blocks of partition 1 with one of them changed.
fn changed(
    at: usize,
    change: impl FnOnce(&mut RecordBlockMeta, &mut Vec<u8>),
) -> Vec<(RecordBlockMeta, Vec<u8>)> {
    let mut blocks: Vec<_> = [0, 2, 4].map(|first| block(1, first)).into();
    let (meta, bytes) = &mut blocks[at];
    change(meta, bytes);
    blocks
}

fn stored(blocks: &[(RecordBlockMeta, Vec<u8>)], start: Offset) -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::new());
    let (mut catalog, _) = Catalog::open(Arc::clone(&store) as Arc<dyn Store>, SHARD).unwrap();
    let mut writer = catalog.begin();
    for (meta, bytes) in blocks {
        writer.add_records(*meta, bytes).unwrap();
    }
    let mut bytes = BytesMut::new();
    record::put_ledger(&mut bytes, &ledger(start));
    writer.commit(9, 1_000, &bytes).unwrap();
    store
}

/// The first thing that is wrong.
fn check(store: &Arc<MemoryStore>) -> Result<Option<String>, VerifyError> {
    let mut report = Report::new("here".into(), ReportKind::DataFolder);
    let store = Arc::clone(store) as Arc<dyn Store>;
    let found = state::check(&store, Path::new("store"), WINDOW, &mut report)?;
    assert_eq!(found.is_none(), report.is_damaged());
    Ok(report.problems.into_iter().next().map(|first| first.what))
}

fn wrong_in(store: &Arc<MemoryStore>) -> Option<String> {
    check(store).unwrap()
}

#[test]
fn records_that_are_all_there_are_sound() {
    assert_eq!(wrong_in(&stored(&changed(0, |_, _| {}), 0)), None);
    // What retention let go of may be there or not.
    for start in [2, 4] {
        assert_eq!(
            wrong_in(&stored(&changed(0, |_, _| {})[start as usize / 2..], start)),
            None
        );
        assert_eq!(wrong_in(&stored(&changed(0, |_, _| {}), start)), None);
    }
    assert_eq!(wrong_in(&stored(&[], 6)), None);
}

#[test]
fn records_that_are_missing_are_named() {
    let all = changed(0, |_, _| {});
    let cases: [(Vec<usize>, Offset, &str); 6] = [
        (
            vec![0, 2],
            0,
            "partition 1 of topic number 0: the records 2..4 are missing",
        ),
        (
            vec![1, 2],
            0,
            "the records 0..6 are kept, and the blocks hold 2..6",
        ),
        (
            vec![2],
            2,
            "the records 2..6 are kept, and the blocks hold 4..6",
        ),
        (
            vec![0, 1],
            0,
            "the records 0..6 are kept, and the blocks hold 0..4",
        ),
        (
            vec![1],
            4,
            "the records 4..6 are kept, and the blocks hold 2..4",
        ),
        (
            vec![],
            4,
            "the records 4..6 are kept, and the blocks hold 6..6",
        ),
    ];
    for (kept, start, expected) in cases {
        let blocks: Vec<_> = kept.iter().map(|at| all[*at].clone()).collect();
        let wrong = wrong_in(&stored(&blocks, start)).unwrap();
        assert!(wrong.ends_with(expected), "{kept:?} from {start}: {wrong}");
    }
    let mut blocks = all;
    blocks.push(block(7, 0));
    let wrong = wrong_in(&stored(&blocks, 0)).unwrap();
    assert!(wrong.contains("partition 7"), "{wrong}");
}

#[test]
fn a_block_that_holds_something_else_is_named() {
    type Change = fn(&mut RecordBlockMeta, &mut Vec<u8>);
    let changes: [(&str, Change); 7] = [
        ("other offsets", |_, bytes| *bytes = block(1, 0).1),
        ("another partition", |_, bytes| *bytes = block(0, 2).1),
        ("more of them", |_, bytes| bytes.extend(block(1, 4).1)),
        ("fewer than named", |_, bytes| {
            bytes.clear();
            encode_started(bytes);
        }),
        ("another time", |meta, _| meta.time_ms += 1),
        ("something behind them", |_, bytes| encode_started(bytes)),
        // The last record ends one byte before the payload does.
        ("a byte of nobody", |_, bytes| {
            let at = bytes.len() - 5 - 8 - 4;
            assert_eq!(bytes[at..at + 4], 5u32.to_le_bytes());
            bytes[at] = 4;
        }),
    ];
    for (how, change) in changes {
        let wrong = wrong_in(&stored(&changed(1, change), 0)).unwrap();
        let expected = "record block 2: it does not hold what the directory says";
        assert_eq!(wrong, expected, "{how}");
    }
}

fn encode_started(bytes: &mut Vec<u8>) {
    let mut event = BytesMut::new();
    encode_event(&mut event, &Event::Started { epoch: 1 });
    bytes.extend_from_slice(&event);
}

#[test]
fn a_block_that_has_rotted_or_is_gone_is_named() {
    let store = stored(&changed(0, |_, _| {}), 0);
    let is_records = |pair: &(Bytes, Bytes)| pair.0[0] == b'R';
    let (key, value) = store.pairs().into_iter().find(is_records).unwrap();
    for at in 0..value.len() {
        let mut bad = value.to_vec();
        bad[at] ^= 4;
        store.put(&key, &bad).unwrap();
        match check(&store) {
            Ok(wrong) => {
                let wrong = wrong.unwrap_or_default();
                let is_named = wrong.contains("record block 1 of shard");
                assert!(is_named, "byte {at}: {wrong}");
            }
            Err(error) => assert!(
                matches!(error, VerifyError::UnknownFormat { .. }),
                "{error}"
            ),
        }
    }
    store.delete(&key).unwrap();
    let wrong = wrong_in(&store).unwrap();
    assert!(
        wrong.contains("record block 1") && wrong.contains("missing"),
        "{wrong}"
    );
}
