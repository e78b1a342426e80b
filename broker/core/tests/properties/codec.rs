//! Bytes that were not written by us never stop the broker by surprise, and what is written is read
//! back whole.

use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;
use verteilt_core::{
    BodyRun, Event, EventReader, JobId, Lengths, PartitionId, ProducerId, Published, Pushed,
    QueueId, RecordLengths, RecordRun, RecordTables, Retention, SessionId, SubscriptionKey,
    TopicEvent, TopicId, encode_clock, encode_event, record,
};

use crate::cases;

fn read_as_everything(bytes: &Bytes) {
    let _ = EventReader::new(bytes.clone(), 1, 0).count();
    if let Ok(runs) = BodyRun::scan(bytes) {
        for run in runs {
            let _ = run.find(bytes, run.first_id);
            let _ = run.find(bytes, JobId(run.first_id.0.saturating_add(1)));
            let _ = run.shifted(13).find(bytes, run.first_id);
        }
    }
    for (range, run) in RecordRun::scan_records(bytes).unwrap_or_default() {
        let mut tables = RecordTables::default();
        let whole = bytes.slice(range.clone());
        for (bytes, run) in [
            (bytes, run),
            (&whole, run.shifted(-(range.start as isize))),
            (&whole, run),
        ] {
            for from in [run.first_offset, run.next_offset() - 1] {
                let _ = run.take(bytes, from, (1, 1), true, &mut tables);
                let _ = run.take(bytes, from, (u32::MAX, u64::MAX), false, &mut tables);
            }
        }
    }
    let _ = record::jobs(bytes.clone()).count();
    let _ = record::ledger(bytes.clone(), 4);
}

fn ids() -> impl Strategy<Value = Vec<JobId>> {
    vec(prop_oneof![0..50u64, any::<u64>()].prop_map(JobId), 1..9)
}

fn pushed() -> impl Strategy<Value = Pushed> {
    let numbers = (
        any::<u32>(),
        1..u64::MAX >> 1,
        any::<i32>(),
        any::<u64>(),
        any::<u16>(),
    );
    let producer = prop::option::of((any::<u128>().prop_map(ProducerId), any::<u64>()));
    let upload = (
        0..2u64,
        any::<u128>(),
        vec(any::<u64>().prop_map(JobId), 1..4),
        any::<u32>(),
    );
    let jobs = (vec(0..40u32, 1..6), any::<bool>(), any::<u32>());
    (numbers, producer, upload, jobs).prop_map(|(numbers, producer, upload, jobs)| {
        let (queue, first_id, priority, due_ms, attempts_max) = numbers;
        let (lengths, headers, lease_ms) = jobs;
        let ends: Vec<u32> = lengths
            .iter()
            .scan(0, |end, length| {
                *end += length;
                Some(*end)
            })
            .collect();
        let total = ends.last().copied().unwrap_or(0);
        let large = upload.0 != 0;
        Pushed {
            queue: QueueId(queue),
            producer,
            first_id: JobId(first_id),
            priority,
            due_ms,
            attempts_max,
            lease_ms,
            parts: if large { upload.2 } else { Vec::new() },
            parts_bytes: if large { upload.3 } else { 0 },
            upload: upload.0,
            session: SessionId(if large { upload.1 } else { 0 }),
            payload: (0..total).map(|at| at as u8).collect(),
            lengths: Lengths {
                headers: if headers { lengths } else { Vec::new() },
                ends,
            },
        }
    })
}

fn published() -> impl Strategy<Value = Published> {
    let numbers = (any::<u32>(), any::<u32>(), 0..u64::MAX >> 1, any::<u64>());
    let producer = prop::option::of((any::<u128>().prop_map(ProducerId), any::<u64>()));
    let records = vec((0..9u32, 0..9u32, 0..30u32), 1..6);
    let kinds = (any::<bool>(), any::<bool>());
    (numbers, producer, records, kinds).prop_map(|(numbers, producer, records, kinds)| {
        let (topic, number, first_offset, time_ms) = numbers;
        let mut lengths = RecordLengths::default();
        let mut end = 0;
        for (key, header, value) in records {
            end += value;
            if kinds.0 {
                end += key;
                lengths.keys.push(key);
            }
            if kinds.1 {
                end += header;
                lengths.headers.push(header);
            }
            lengths.ends.push(end);
        }
        let topic = TopicId(topic);
        Published {
            partition: PartitionId { topic, number },
            first_offset,
            time_ms,
            producer,
            lengths,
            payload: (0..end).map(|at| at as u8).collect(),
        }
    })
}

fn topic_event() -> impl Strategy<Value = TopicEvent> {
    let topic = || any::<u32>().prop_map(TopicId);
    let retention =
        || (any::<u64>(), any::<u64>()).prop_map(|(age_ms, bytes)| Retention { age_ms, bytes });
    prop_oneof![
        6 => published().prop_map(TopicEvent::Published),
        1 => (topic(), ".{0,9}", ".{0,9}", any::<u32>(), retention()).prop_map(
            |(topic, namespace, name, partitions, retention)| TopicEvent::Created {
                topic, namespace, name, partitions, retention }),
        1 => (topic(), retention())
            .prop_map(|(topic, retention)| TopicEvent::Changed { topic, retention }),
        1 => topic().prop_map(|topic| TopicEvent::Deleted { topic }),
        1 => (topic(), any::<u32>(), any::<u64>()).prop_map(|(topic, number, start)| {
            TopicEvent::Dropped { partition: PartitionId { topic, number }, start }
        }),
        1 => (topic(), ".{0,9}", vec(any::<(u32, u64)>(), 0..5)).prop_map(
            |(topic, group, positions)| TopicEvent::Committed { topic, group, positions }),
        1 => vec(any::<u128>().prop_map(ProducerId), 1..4)
            .prop_map(|producers| TopicEvent::PublishersForgotten { producers }),
    ]
}

/// Durable events; the token of a lease is left to the reader, who knows the LSN.
fn event() -> impl Strategy<Value = Event> {
    let durable = |ids: Vec<JobId>| ids.into_iter().map(|id| JobId(id.0 & (u64::MAX >> 1)));
    let ids = move || ids().prop_map(move |ids| durable(ids).collect::<Vec<_>>());
    let timed = move || {
        (ids(), any::<u64>()).prop_map(|(ids, at_ms)| {
            let later = ids.into_iter().enumerate();
            later
                .map(|(at, id)| (id, at_ms.wrapping_add(at as u64)))
                .collect::<Vec<_>>()
        })
    };
    let session = || any::<u128>().prop_map(SessionId);
    prop_oneof![
        4 => pushed().prop_map(Event::Pushed),
        4 => topic_event().prop_map(Event::Topic),
        1 => any::<u64>().prop_map(|epoch| Event::Started { epoch }),
        1 => (any::<u32>(), "[a-z0-9._-]{0,20}", ".{0,9}").prop_map(|(queue, namespace, name)| {
            Event::QueueCreated { queue: QueueId(queue), namespace, name }
        }),
        2 => (session(), any::<u64>(), any::<u64>(), vec(any::<u8>(), 0..30)).prop_map(
            |(session, upload, id, payload)| Event::PartStored {
                session, upload, id: JobId(id), payload: payload.into() }),
        1 => (session(), any::<u64>())
            .prop_map(|(session, upload)| Event::UploadDropped { session, upload }),
        1 => (session(), ids()).prop_map(|(session, ids)| Event::Leased {
            session, ids, token: 0, subscription: SubscriptionKey(0) }),
        1 => ids().prop_map(|ids| Event::Acked { ids }),
        1 => ids().prop_map(|ids| Event::Died { ids }),
        1 => ids().prop_map(|ids| Event::Purged { ids }),
        1 => (ids(), any::<bool>()).prop_map(|(ids, excused)| Event::Requeued { ids, excused }),
        1 => timed().prop_map(|jobs| Event::Failed { jobs }),
        1 => timed().prop_map(|jobs| Event::Touched { jobs }),
        1 => (any::<u32>(), any::<bool>())
            .prop_map(|(queue, paused)| Event::QueuePaused { queue: QueueId(queue), paused }),
        1 => vec(any::<u128>().prop_map(ProducerId), 1..4)
            .prop_map(|producers| Event::ProducersForgotten { producers }),
    ]
}

fn encode(events: &[(Event, bool)]) -> BytesMut {
    let mut out = BytesMut::new();
    for (at, (event, clock)) in events.iter().enumerate() {
        if *clock {
            encode_clock(&mut out, at as u64 + 100);
        }
        encode_event(&mut out, event);
    }
    out
}

proptest! {
    #![proptest_config(cases(300, 5_000))]

    #[test]
    fn arbitrary_bytes_are_refused_in_peace(bytes in vec(any::<u8>(), 0..200)) {
        read_as_everything(&Bytes::from(bytes));
    }

    /// Lengths and tags that are right lead deeper than noise does.
    #[test]
    fn framed_noise_is_refused_in_peace(
        records in vec((0..24u8, vec(any::<u8>(), 0..60), 0..3u32), 1..4),
    ) {
        let mut bytes = BytesMut::new();
        for (tag, fields, wrong) in records {
            let length = (fields.len() as u32 + 1).saturating_sub(wrong);
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(&[tag]);
            bytes.extend_from_slice(&fields);
        }
        read_as_everything(&bytes.freeze());
    }

    #[test]
    fn worn_bytes_are_refused_in_peace(
        events in vec((event(), any::<bool>()), 1..4),
        flips in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = encode(&events);
        for (at, with) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= with;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        read_as_everything(&bytes.freeze());
    }

    #[test]
    fn events_come_back_as_they_went(events in vec((event(), any::<bool>()), 1..6)) {
        let bytes = encode(&events).freeze();
        let read: Vec<_> = EventReader::new(bytes, 7, 50).collect::<Result<_, _>>().expect("ours");
        prop_assert_eq!(read.len(), events.len());
        let mut clock_ms = 50;
        for (at, ((lsn, now_ms, read), (written, clock))) in read.into_iter().zip(events).enumerate() {
            clock_ms = if clock { at as u64 + 100 } else { clock_ms };
            prop_assert_eq!((lsn, now_ms), (7 + at as u64, clock_ms));
            let expected = match written {
                Event::Leased { session, subscription, ids, .. } => {
                    Event::Leased { session, token: lsn, subscription, ids }
                }
                other => other,
            };
            prop_assert_eq!(read, expected);
        }
    }
}
