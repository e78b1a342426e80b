//! Topics in backups and in what is made from them: records, offsets, and the positions of groups.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use verteilt_broker::{Verdict, verify};
use verteilt_protocol::wire::topic_subscribe::Start;
use verteilt_protocol::{FrameType, wire};

use crate::backups::{Shelf, StopAtEnd, piece, take};
use crate::house::House;
use crate::job::body;
use crate::peer::Peer;
use crate::topic_peer::{Record, read_of};

const TOPICS: [&str; 2] = ["kept", "short"];
const PARTITIONS: u32 = 3;

/// What was published and acknowledged, by topic, partition and offset.
type Published = BTreeMap<(&'static str, u32, u64), Vec<u8>>;

/// Publishes to every partition, so many rounds or until told to stop.
fn publish(address: SocketAddr, seed: u64, rounds: u64, stop: &AtomicBool) -> Published {
    let mut peer = Peer::connect(address, &Peer::some_id());
    let mut published = Published::new();
    for round in 0..rounds {
        for topic in TOPICS {
            for partition in 0..PARTITIONS {
                if stop.load(Ordering::Relaxed) {
                    return published;
                }
                let at = seed + round * 100 + u64::from(partition) * 10;
                let length = 100 + (round as usize * 37) % 3_000;
                let values = [body(at, length), body(at + 1, 0), body(at + 2, 40)];
                let slices = [&values[0][..], &values[1], &values[2]];
                let first = peer.publish(topic, partition, &slices);
                let places = (first..).map(|offset| (topic, partition, offset));
                published.extend(places.zip(values));
            }
        }
    }
    published
}

/// Everything that a topic keeps.
fn read_all(house: &House, topic: &str) -> Vec<Record> {
    let mut peer = house.peer();
    let stats = peer.topic_stats(topic);
    peer.read_topic(&read_of(1, topic, Start::Earliest(true)));
    let mut records = peer.take_records(stats.records as usize);
    records.sort_by_key(|record| (record.partition, record.offset));
    let mut found = records.iter();
    for (partition, first) in (0..).zip(&stats.first_offsets) {
        for offset in *first..stats.next_offsets[partition as usize] {
            let record = found.next().map(|it| (it.partition, it.offset));
            assert_eq!(record, Some((partition, offset)), "{topic}");
        }
    }
    records
}

fn create(peer: &mut Peer, topic: &str, retention_bytes: u64) {
    peer.create_with(&wire::TopicCreate {
        topic: topic.to_owned(),
        partitions: PARTITIONS,
        retention_bytes,
        ..wire::TopicCreate::default()
    });
}

fn member() -> wire::TopicSubscribe {
    wire::TopicSubscribe {
        group: "g".to_owned(),
        ..read_of(7, "kept", Start::Earliest(true))
    }
}

#[test]
fn topics_under_load_are_backed_up_exactly() {
    let mut house = House::with(|config| {
        // Checkpoints run all along, and drop what the backup reads.
        config.checkpoint_bytes = 128 * 1024;
        config.cache_bytes = 64 * 1024;
    });
    let mut peer = house.peer();
    create(&mut peer, "kept", 0);
    create(&mut peer, "short", 20_000);
    let address = house.address();
    let never = AtomicBool::new(false);
    let mut before = publish(address, 0, 60, &never);
    peer.read_topic(&member());
    peer.take_records(before.keys().filter(|it| it.0 == "kept").count());
    for (partition, offset) in [(0, 4), (2, 100)] {
        peer.consumed(7, partition, offset, true);
    }
    drop(peer);

    let stop = AtomicBool::new(false);
    let (backups, during) = thread::scope(|scope| {
        let stop = &stop;
        let at_end = StopAtEnd(stop);
        let publishers: Vec<_> = (1..3)
            .map(|at| scope.spawn(move || publish(address, at << 32, u64::MAX, stop)))
            .collect();
        let mut peer = house.peer();
        let backups: Vec<_> = (0..3).map(|_| take(&mut peer)).collect();
        drop(at_end);
        let during = publishers.into_iter().map(|it| it.join().unwrap());
        (backups, during.flatten().collect::<Published>())
    });
    house.drop_broker();
    let shelf = Shelf::new();
    let mut peer = shelf.restore(&backups[2].0, &mut house);
    for topic in TOPICS {
        let found: BTreeMap<_, _> = read_all(&house, topic)
            .into_iter()
            .map(|it| ((topic, it.partition, it.offset), it.value))
            .collect();
        let first = peer.topic_stats(topic).first_offsets;
        assert_eq!(
            topic == "short",
            first.iter().any(|first| *first > 0),
            "{first:?}"
        );
        before.retain(|(of, partition, offset), value| {
            let is_kept = *of == topic && *offset >= first[*partition as usize];
            let lost = is_kept && found.get(&(*of, *partition, *offset)) != Some(value);
            assert!(!lost, "{of} {partition} {offset} is lost");
            true
        });
        for (place, value) in &found {
            let published = before.get(place).or_else(|| during.get(place));
            assert!(
                published == Some(value),
                "{place:?} was never published like this"
            );
        }
    }
    let groups = peer.group_stats("kept");
    assert_eq!(groups.len(), 1);
    assert_eq!(
        (&groups[0].group[..], &groups[0].offsets[..]),
        ("g", &[5, 0, 101][..])
    );
    let begins = peer.read_topic(&member());
    assert_eq!(begins, BTreeMap::from([(0, 5), (1, 0), (2, 101)]));
    // It goes on where the backup ended.
    let next = peer.topic_stats("kept").next_offsets[1];
    assert_eq!(peer.publish("kept", 1, &[b"after"]), next);
}

#[test]
fn retention_takes_nothing_from_a_backup_that_is_being_read() {
    let mut house = House::with(|config| config.checkpoint_bytes = 1024 * 1024);
    let mut peer = house.peer();
    create(&mut peer, "short", 4_000_000);
    let publish = |peer: &mut Peer, seed: u64| {
        for at in 0..300 {
            peer.publish(
                "short",
                at % PARTITIONS,
                &[&body(seed + u64::from(at), 50_000)],
            );
        }
    };
    publish(&mut peer, 0);
    let expected = read_all(&house, "short");
    let mut slow = house.peer();
    slow.send(FrameType::Backup, &wire::Backup {}, b"");
    let first = slow.next_of(FrameType::BackupData);
    // It does not read on. Retention lets go of all that it still needs.
    publish(&mut peer, 1_000);
    peer.checkpoint();
    let last = expected.iter().map(|record| record.offset).max();
    let firsts = peer.topic_stats("short").first_offsets;
    assert!(firsts.iter().all(|first| Some(*first) > last), "{firsts:?}");
    let mut bytes = Vec::new();
    let mut next = first;
    while piece(&next, &mut bytes).is_none() {
        next = slow.next();
    }
    drop((peer, slow));
    house.drop_broker();
    let shelf = Shelf::new();
    let report = verify(&shelf.put(&bytes), Path::new("")).unwrap();
    assert_eq!(report.verdict, Verdict::Sound, "{:#?}", report.problems);
    assert_eq!(report.records, expected.len() as u64);
    drop(shelf.restore(&bytes, &mut house));
    assert!(
        read_all(&house, "short") == expected,
        "every record as it was"
    );
}
