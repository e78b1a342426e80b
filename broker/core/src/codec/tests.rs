//! Each layout once in plain bytes. They are on people's disks: if one of these tests fails, the
//! change needs a new tag, not a new expectation.

mod requests;
mod topics;

use bytes::{Bytes, BytesMut};

use super::{BodyRun, CodecError, EventReader, Written, encode_clock, encode_event, record};
use crate::command::Lengths;
use crate::event::{Event, Pushed};
use crate::id::{JobId, ProducerId, QueueId, SessionId, SubscriptionKey};
use crate::job::{Job, Lease, Place};
use crate::ledger::{JobSlots, Ledger};
use crate::live::LiveJobs;

const SESSION: SessionId = SessionId(0x0F0E_0D0C_0B0A_0908_0706_0504_0302_0100);
const SESSION_HEX: &str = "000102030405060708090a0b0c0d0e0f";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn ids(ids: &[u64]) -> Vec<JobId> {
    ids.iter().map(|id| JobId(*id)).collect()
}

/// The event has these bytes, spaces aside, and comes back from them as the event with LSN 9.
#[track_caller]
fn golden(event: &Event, bytes: &str) {
    let mut out = BytesMut::new();
    encode_event(&mut out, event);
    assert_eq!(hex(&out), bytes.replace(' ', ""));
    let read: Vec<_> = EventReader::new(out.freeze(), 9, 5).collect();
    assert_eq!(read, [Ok((9, 5, event.clone()))]);
}

fn pushed() -> Pushed {
    Pushed {
        queue: QueueId(3),
        producer: None,
        first_id: JobId(300),
        priority: -2,
        due_ms: 1_000,
        attempts_max: 20,
        lease_ms: 30_000,
        parts: Vec::new(),
        parts_bytes: 0,
        upload: 0,
        session: SessionId(0),
        lengths: Lengths {
            ends: vec![2, 5],
            headers: Vec::new(),
        },
        payload: Bytes::from_static(b"abcde"),
    }
}

#[test]
fn tag_0_is_the_clock() {
    let mut out = BytesMut::new();
    encode_clock(&mut out, 1_700_000_000_000);
    assert_eq!(hex(&out), "07000000 00 80d095ffbc31".replace(' ', ""));
    encode_event(&mut out, &Event::Started { epoch: 1 });
    let read: Vec<_> = EventReader::new(out.freeze(), 1, 0).collect();
    assert_eq!(
        read,
        [Ok((1, 1_700_000_000_000, Event::Started { epoch: 1 }))]
    );
}

#[test]
fn tag_1_started() {
    golden(&Event::Started { epoch: 300 }, "03000000 01 ac02");
}

#[test]
fn tag_2_queue_created() {
    let event = Event::QueueCreated {
        queue: QueueId(1),
        namespace: "default".to_owned(),
        name: "mail".to_owned(),
    };
    golden(&event, "0f000000 02 01 0764656661756c74 046d61696c");
}

#[test]
fn tag_3_pushed_in_its_plainest_form() {
    golden(
        &Event::Pushed(pushed()),
        "1a000000 03 03 00 ac02 03 e807 14 b0ea01 02 02000000 05000000 6162636465",
    );
}

#[test]
fn tag_3_pushed_with_everything() {
    let event = Event::Pushed(Pushed {
        producer: Some((ProducerId(SESSION.0), 7)),
        parts: ids(&[5, 4, 290]),
        parts_bytes: 200,
        upload: 6,
        session: SESSION,
        lengths: Lengths {
            ends: vec![5],
            headers: vec![2],
        },
        ..pushed()
    });
    let bytes = format!(
        "43000000 03 03 07 ac02 03 e807 14 b0ea01 {SESSION_HEX} 07 \
         {SESSION_HEX} 06 c801 03 0a 01 bc04 01 05000000 02000000 6162636465"
    );
    golden(&event, &bytes);
}

#[test]
fn tag_4_part_stored() {
    let event = Event::PartStored {
        session: SESSION,
        upload: 6,
        id: JobId(9),
        payload: Bytes::from_static(b"xyz"),
    };
    golden(&event, &format!("16000000 04 {SESSION_HEX} 06 09 78797a"));
}

#[test]
fn tag_5_upload_dropped() {
    let (session, upload) = (SESSION, 6);
    let event = Event::UploadDropped { session, upload };
    golden(&event, &format!("12000000 05 {SESSION_HEX} 06"));
}

#[test]
fn tag_6_leased_with_its_lsn_for_a_token() {
    let event = Event::Leased {
        session: SESSION,
        token: 9,
        subscription: SubscriptionKey(0),
        ids: ids(&[300, 301]),
    };
    golden(&event, &format!("15000000 06 {SESSION_HEX} 02 d804 02"));
}

#[test]
fn tag_7_acked() {
    golden(
        &Event::Acked {
            ids: ids(&[1, 2, 9]),
        },
        "05000000 07 03 02 02 0e",
    );
}

#[test]
fn tag_8_failed() {
    let jobs = vec![(JobId(1), 1_000), (JobId(2), 998)];
    golden(&Event::Failed { jobs }, "07000000 08 02 02 d00f 02 03");
}

#[test]
fn tag_9_died() {
    golden(&Event::Died { ids: ids(&[4]) }, "03000000 09 01 08");
}

#[test]
fn tag_10_requeued() {
    let event = Event::Requeued {
        ids: ids(&[4]),
        excused: true,
    };
    golden(&event, "04000000 0a 01 01 08");
}

#[test]
fn tag_11_touched() {
    let jobs = vec![(JobId(1), 1_000)];
    golden(&Event::Touched { jobs }, "05000000 0b 01 02 d00f");
}

#[test]
fn tag_12_queue_paused() {
    let event = Event::QueuePaused {
        queue: QueueId(2),
        paused: true,
    };
    golden(&event, "03000000 0c 02 01");
}

#[test]
fn tag_13_purged() {
    golden(&Event::Purged { ids: ids(&[4]) }, "03000000 0d 01 08");
}

#[test]
fn tag_14_producers_forgotten() {
    let producers = vec![ProducerId(SESSION.0)];
    let event = Event::ProducersForgotten { producers };
    golden(&event, &format!("12000000 0e 01 {SESSION_HEX}"));
}

#[test]
fn a_tag_of_the_future_is_named() {
    let bytes = Bytes::from_static(&[2, 0, 0, 0, 200, 0]);
    let read: Vec<_> = EventReader::new(bytes, 1, 0).collect();
    assert_eq!(read, [Err(CodecError::UnknownTag(200))]);
}

#[test]
fn nothing_is_read_behind_a_bad_record() {
    let mut out = BytesMut::from(&[2, 0, 0, 0, 1, 0x80][..]);
    encode_event(&mut out, &Event::Started { epoch: 1 });
    let read: Vec<_> = EventReader::new(out.freeze(), 1, 0).collect();
    assert_eq!(read, [Err(CodecError::Short)]);
}

#[test]
fn a_record_without_a_tag_is_no_record() {
    // Behind it stands what would be read as a push.
    let bytes = Bytes::from_static(&[0, 0, 0, 0, 3, 0]);
    assert_eq!(BodyRun::scan(&bytes), Err(CodecError::Short));
}

#[test]
fn a_run_knows_its_own_ids_only() {
    let mut out = BytesMut::from(&b"before"[..]);
    let Written::Bodies(run) = encode_event(&mut out, &Event::Pushed(pushed())) else {
        panic!("it brings bodies");
    };
    let bytes = out.freeze();
    assert_eq!(run.find(&bytes, JobId(299)), None);
    assert_eq!(
        run.find(&bytes, JobId(300)),
        Some((0, Bytes::from_static(b"ab")))
    );
    assert_eq!(
        run.find(&bytes, JobId(301)),
        Some((0, Bytes::from_static(b"cde")))
    );
    assert_eq!(run.find(&bytes, JobId(302)), None);
    assert_eq!(run.find(&bytes.slice(..9), JobId(301)), None, "cut off");
    let inside = bytes.slice(6..);
    let run = run.shifted(-6);
    assert_eq!(
        run.find(&inside, JobId(300)),
        Some((0, Bytes::from_static(b"ab")))
    );
    assert_eq!(BodyRun::scan(&inside), Ok(vec![run]));
}

fn job(place: Place) -> Job {
    Job {
        queue: QueueId(3),
        priority: -2,
        due_ms: 1_000,
        length: 200,
        lease_ms: 30_000,
        attempts: 2,
        excused: 1,
        attempts_max: 20,
        place,
    }
}

#[test]
fn job_records_of_each_place() {
    let lease = std::sync::Arc::new(Lease {
        token: 70,
        until_ms: 2_001,
        session: SESSION,
        subscription: SubscriptionKey(0),
    });
    let places = [Place::Queued, Place::Leased(lease), Place::Dead(3_000)];
    let (mut out, mut before) = (BytesMut::new(), JobId(0));
    let mut written = Vec::new();
    for (at, place) in places.into_iter().enumerate() {
        let (id, job) = (JobId(300 + at as u64), job(place));
        record::put_job(&mut out, before, id, &job);
        before = id;
        written.push(Ok((id, job)));
    }
    let same = "03 03 e807 c801 b0ea01 02 01 14";
    let expected = format!("ac02 {same} 00 01 {same} 01 46 d10f {SESSION_HEX} 01 {same} 02 b817");
    assert_eq!(hex(&out), expected.replace(' ', ""));
    assert_eq!(record::jobs(out.freeze()).collect::<Vec<_>>(), written);
}

#[test]
fn a_ledger_with_everything_in_it() {
    let (mut ledger, mut jobs) = (Ledger::new(JobId(1), 4), LiveJobs::default());
    let created = Event::QueueCreated {
        queue: QueueId(0),
        namespace: "n".to_owned(),
        name: "q".to_owned(),
    };
    let part = |upload: u64, id: u64| Event::PartStored {
        session: SESSION,
        upload,
        id: JobId(id),
        payload: Bytes::from_static(b"xyz"),
    };
    let large = Event::Pushed(Pushed {
        queue: QueueId(0),
        producer: Some((ProducerId(SESSION.0), 7)),
        first_id: JobId(3),
        parts: ids(&[1]),
        parts_bytes: 3,
        upload: 6,
        session: SESSION,
        lengths: Lengths {
            ends: vec![5],
            headers: Vec::new(),
        },
        ..pushed()
    });
    let (queue, paused) = (QueueId(0), true);
    let pause = Event::QueuePaused { queue, paused };
    let events = [
        Event::Started { epoch: 2 },
        created,
        part(6, 1),
        part(8, 2),
        large,
        pause,
    ];
    for event in &events {
        ledger.apply(&mut jobs, event, 1_000);
    }
    jobs.remove_all(&[JobId(3)], |_, job| assert_eq!(job.length, 8));
    let mut out = BytesMut::new();
    record::put_ledger(&mut out, &ledger);
    let expected = format!(
        "02 04 01 016e 0171 01 01 00 01 {SESSION_HEX} e807 01 07 03 01 \
         01 {SESSION_HEX} 08 03 01 04 01 03 01 02"
    );
    assert_eq!(hex(&out), expected.replace(' ', ""));
    assert_eq!(record::ledger(out.freeze(), 4), Ok(ledger));
}
