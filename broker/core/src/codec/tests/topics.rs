//! Topics in plain bytes.

use bytes::{Bytes, BytesMut};

use super::{SESSION, SESSION_HEX, golden, hex};
use crate::codec::{CodecError, RecordRun, RecordTables, Written, encode_event, record};
use crate::command::RecordLengths;
use crate::event::{Event, Published, TopicEvent};
use crate::id::{JobId, PartitionId, ProducerId, TopicId};
use crate::ledger::Ledger;
use crate::live::LiveJobs;
use crate::topic::Retention;

const RETENTION: Retention = Retention {
    age_ms: 1_000,
    bytes: 300,
};

const fn partition() -> PartitionId {
    PartitionId {
        topic: TopicId(3),
        number: 200,
    }
}

fn published() -> Published {
    Published {
        partition: partition(),
        first_offset: 300,
        time_ms: 1_000,
        producer: None,
        lengths: RecordLengths {
            ends: vec![2, 5],
            ..RecordLengths::default()
        },
        payload: Bytes::from_static(b"abcde"),
    }
}

fn created() -> TopicEvent {
    TopicEvent::Created {
        topic: TopicId(0),
        namespace: "n".to_owned(),
        name: "log".to_owned(),
        partitions: 2,
        retention: RETENTION,
    }
}

#[track_caller]
fn topic_golden(event: TopicEvent, bytes: &str) {
    golden(&Event::Topic(event), bytes);
}

#[test]
fn tags_15_to_17_topics_that_come_and_go() {
    topic_golden(created(), "0d000000 0f 00 016e 036c6f67 02 e807 ac02");
    let (topic, retention) = (TopicId(1), RETENTION);
    let changed = TopicEvent::Changed { topic, retention };
    topic_golden(changed, "06000000 10 01 e807 ac02");
    topic_golden(TopicEvent::Deleted { topic }, "02000000 11 01");
}

#[test]
fn tag_18_published_in_its_plainest_form() {
    topic_golden(
        TopicEvent::Published(published()),
        "17000000 12 03 c801 00 ac02 e807 02 02000000 05000000 6162636465",
    );
}

#[test]
fn tag_18_published_with_everything() {
    let event = TopicEvent::Published(Published {
        producer: Some((ProducerId(SESSION.0), 7)),
        lengths: RecordLengths {
            ends: vec![5],
            keys: vec![1],
            headers: vec![2],
        },
        ..published()
    });
    let bytes = format!(
        "2c000000 12 03 c801 07 ac02 e807 {SESSION_HEX} 07 01 05000000 01000000 02000000 \
         6162636465"
    );
    topic_golden(event, &bytes);
}

#[test]
fn tags_19_to_21_what_goes_and_how_far_a_group_is() {
    let (partition, start) = (partition(), 300);
    topic_golden(
        TopicEvent::Dropped { partition, start },
        "06000000 13 03 c801 ac02",
    );
    let committed = TopicEvent::Committed {
        topic: TopicId(3),
        group: "g".to_owned(),
        positions: vec![(0, 5), (200, 300)],
    };
    topic_golden(committed, "0b000000 14 03 0167 02 00 05 c801 ac02");
    let producers = vec![ProducerId(SESSION.0)];
    topic_golden(
        TopicEvent::PublishersForgotten { producers },
        &format!("12000000 15 01 {SESSION_HEX}"),
    );
}

#[test]
fn lengths_that_do_not_divide_the_payload_are_refused() {
    for (ends, keys) in [
        (vec![5, 2], vec![]),
        (vec![2, 4], vec![]),
        (vec![2, 5], vec![1, 4]),
        (vec![2, 5], vec![u32::MAX, 1]),
    ] {
        let lengths = RecordLengths {
            ends,
            keys,
            headers: Vec::new(),
        };
        let event = Event::Topic(TopicEvent::Published(Published {
            lengths,
            ..published()
        }));
        let mut out = BytesMut::new();
        encode_event(&mut out, &event);
        let read: Vec<_> = super::EventReader::new(out.freeze(), 1, 0).collect();
        assert_eq!(read, [Err(CodecError::Impossible)]);
    }
}

#[test]
fn records_of_several_runs_share_one_table() {
    let (mut out, mut tables) = (BytesMut::new(), RecordTables::default());
    let mut taken = Vec::new();
    let kinds: [(&[u32], &[u32]); 4] = [(&[], &[]), (&[1, 2], &[]), (&[], &[0, 1]), (&[], &[])];
    for (at, (keys, headers)) in kinds.into_iter().enumerate() {
        let event = Event::Topic(TopicEvent::Published(Published {
            first_offset: 300 + 2 * at as u64,
            time_ms: 1_000 + at as u64 / 2,
            lengths: RecordLengths {
                ends: vec![2, 5],
                keys: keys.to_vec(),
                headers: headers.to_vec(),
            },
            ..published()
        }));
        let Written::Records(run) = encode_event(&mut out, &event) else {
            panic!("it brings records");
        };
        let bytes = Bytes::copy_from_slice(&out);
        let from = run.first_offset + u64::from(at == 0);
        taken.push(run.take(&bytes, from, (9, 9), false, &mut tables).unwrap());
    }
    assert_eq!(taken.concat(), b"cdeabcdeabcdeabcde");
    assert_eq!(tables.keys, [0, 1, 2, 0, 0, 0, 0]);
    assert_eq!(tables.headers, [0, 0, 0, 0, 1, 0, 0]);
    assert_eq!(tables.values, [3, 1, 1, 2, 2, 2, 3]);
    assert_eq!(tables.times, [(1_000, 3), (1_001, 4)]);
    assert_eq!(tables.bytes, 18);
}

#[test]
fn a_run_is_taken_from_its_own_bytes_only() {
    let mut out = BytesMut::new();
    let Written::Records(run) =
        encode_event(&mut out, &Event::Topic(TopicEvent::Published(published())))
    else {
        panic!("it brings records");
    };
    let bytes = out.freeze();
    let mut tables = RecordTables::default();
    let mut take = |bytes: &Bytes, run: &RecordRun| run.take(bytes, 300, (9, 9), true, &mut tables);
    assert_eq!(take(&bytes.slice(..bytes.len() - 1), &run), None, "cut off");
    assert_eq!(take(&bytes.slice(..9), &run), None);
    assert_eq!(take(&bytes, &run.shifted(400)), None);
    assert_eq!(take(&bytes, &run).unwrap(), b"abcde"[..]);
}

#[test]
fn a_ledger_with_topics_in_it() {
    let (mut ledger, mut jobs) = (Ledger::new(JobId(1), 4), LiveJobs::default());
    let id = PartitionId {
        topic: TopicId(0),
        number: 1,
    };
    let events = [
        created(),
        TopicEvent::Published(Published {
            partition: id,
            first_offset: 0,
            producer: Some((ProducerId(SESSION.0), 7)),
            ..published()
        }),
        TopicEvent::Committed {
            topic: TopicId(0),
            group: "g".to_owned(),
            positions: vec![(1, 1)],
        },
        TopicEvent::Created {
            topic: TopicId(1),
            namespace: "n".to_owned(),
            name: "gone".to_owned(),
            partitions: 1,
            retention: RETENTION,
        },
        TopicEvent::Deleted { topic: TopicId(1) },
    ];
    for event in events {
        ledger.apply(&mut jobs, &Event::Topic(event), 1_000);
    }
    let mut out = BytesMut::new();
    record::put_ledger(&mut out, &ledger);
    // Bytes: 5 of payload, 64 around them, 4 for each record.
    let expected = format!(
        "00 01 00 00 00 00 02 01 00 016e 036c6f67 e807 ac02 01 \
         02 00 00 00 00 00 00 02 4d e807 01 00 e807 00 00 \
         01 0167 01 01 01 01 {SESSION_HEX} e807 01 07 00 01 00 02"
    );
    assert_eq!(hex(&out), expected.replace(' ', ""));
    assert_eq!(record::ledger(out.freeze(), 4), Ok(ledger));
}
