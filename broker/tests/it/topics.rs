//! Topics: publish, read, groups, retention, what survives.

use std::collections::BTreeMap;
use std::time::Duration;

use verteilt_protocol::wire::topic_subscribe::Start;
use verteilt_protocol::{ErrorCode, FrameType, encode_headers, partition_of, wire};

use crate::house::{House, eventually};
use crate::job::body;
use crate::peer::Peer;
use crate::topic_peer::{publish_of, read_of};

const QUIET: Duration = Duration::from_millis(100);

fn earliest(number: u64, topic: &str) -> wire::TopicSubscribe {
    read_of(number, topic, Start::Earliest(true))
}

fn member(number: u64, topic: &str, group: &str) -> wire::TopicSubscribe {
    wire::TopicSubscribe {
        group: group.to_owned(),
        ..earliest(number, topic)
    }
}

#[test]
fn a_topic_is_made_and_what_is_published_is_read_as_it_was() {
    let house = House::start();
    let mut peer = house.peer();
    assert!(peer.welcome.capabilities.iter().any(|it| it == "topics"));
    peer.create("log", 2);
    peer.create("log", 2);
    let other = wire::TopicCreate {
        topic: "log".to_owned(),
        partitions: 3,
        ..wire::TopicCreate::default()
    };
    let correlation = peer.send(FrameType::TopicCreate, &other, b"");
    peer.refused(correlation, ErrorCode::TopicExists);
    let mut block = bytes::BytesMut::new();
    let headers = wire::Headers {
        entries: vec![wire::Header {
            name: "kind".to_owned(),
            value: b"test".to_vec().into(),
        }],
    };
    encode_headers(&mut block, &headers).unwrap();
    let publish = wire::Publish {
        key_lengths: vec![2, 0],
        header_lengths: vec![block.len() as u32, 0],
        partition: Some(1),
        ..publish_of("log", &[b"first", b""])
    };
    let payload = [b"k1", &block[..], b"first"].concat();
    let result = peer.publish_frame(&publish, &payload);
    assert_eq!(
        (result.partition, result.first_offset, result.count),
        (1, 0, 2)
    );
    assert_eq!(peer.publish("log", 1, &[b"third"]), 2);
    assert_eq!(peer.publish("log", 0, &[b"elsewhere"]), 0);
    let begins = peer.read_topic(&earliest(1, "log"));
    assert_eq!(begins, BTreeMap::from([(0, 0), (1, 0)]));
    let records = peer.take_records(4);
    let one: Vec<_> = records.iter().filter(|it| it.partition == 1).collect();
    assert_eq!(one[0].key, b"k1");
    assert_eq!(one[0].headers, block);
    assert_eq!(one[0].value, b"first");
    assert!(one[1].key.is_empty() && one[1].value.is_empty());
    assert_eq!((one[2].offset, &one[2].value[..]), (2, &b"third"[..]));
    assert!(one[0].time_ms > 0 && one[0].time_ms <= one[2].time_ms);
}

#[test]
fn what_is_not_there_is_refused() {
    let house = House::start();
    let mut peer = house.peer();
    let publish = publish_of("nowhere", &[b"x"]);
    let correlation = peer.send(FrameType::Publish, &publish, b"x");
    peer.refused(correlation, ErrorCode::TopicUnknown);
    let correlation = peer.send(FrameType::TopicSubscribe, &earliest(1, "nowhere"), b"");
    peer.refused(correlation, ErrorCode::TopicUnknown);
    peer.create("log", 2);
    let publish = wire::Publish {
        partition: Some(2),
        ..publish_of("log", &[b"x"])
    };
    let correlation = peer.send(FrameType::Publish, &publish, b"x");
    peer.refused(correlation, ErrorCode::PartitionUnknown);
    let memory = wire::Publish {
        durability: wire::Durability::Memory.into(),
        ..publish_of("log", &[b"x"])
    };
    let correlation = peer.send(FrameType::Publish, &memory, b"x");
    peer.refused(correlation, ErrorCode::Unsupported);
    let short = publish_of("log", &[b"xy"]);
    let correlation = peer.send(FrameType::Publish, &short, b"x");
    peer.refused(correlation, ErrorCode::MalformedMessage);
    let none = publish_of("log", &[]);
    let correlation = peer.send(FrameType::Publish, &none, b"");
    peer.refused(correlation, ErrorCode::BatchTooLarge);
    let long = vec![7; 983_041];
    let correlation = peer.send(FrameType::Publish, &publish_of("log", &[&long]), &long);
    peer.refused(correlation, ErrorCode::BodyTooLarge);
    // The credit of all of them came back, and the largest record goes through.
    let long = vec![7; 983_040];
    peer.publish("log", 0, &[&long]);
    let mut reader = house.peer();
    let window = wire::TopicSubscribe {
        credit_bytes: 10,
        ..earliest(1, "log")
    };
    reader.read_topic(&window);
    assert_eq!(reader.take_records(1)[0].value, long);
}

#[test]
fn keys_find_their_partition_and_others_take_turns() {
    let house = House::start();
    let mut peer = house.peer();
    peer.create("log", 5);
    let turns: Vec<u32> = (0..10)
        .map(|_| {
            peer.publish_frame(&publish_of("log", &[b"x"]), b"x")
                .partition
        })
        .collect();
    assert_eq!(turns, [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]);
    for key in ["a", "customer-17", "", "ü"] {
        let publish = wire::Publish {
            key_lengths: vec![key.len() as u32],
            ..publish_of("log", &[b"v"])
        };
        let payload = [key.as_bytes(), b"v"].concat();
        let result = peer.publish_frame(&publish, &payload);
        assert_eq!(result.partition, partition_of(key.as_bytes(), 5));
    }
    // Keys of two partitions are no batch.
    let publish = wire::Publish {
        key_lengths: vec![1, 1],
        ..publish_of("log", &[b"", b""])
    };
    assert_ne!(partition_of(b"a", 5), partition_of(b"b", 5));
    let correlation = peer.send(FrameType::Publish, &publish, b"ab");
    peer.refused(correlation, ErrorCode::BadArgument);
}

#[test]
fn a_publish_that_comes_again_is_taken_once_over_restarts_and_checkpoints() {
    let mut house = House::start();
    let mut peer = house.peer();
    peer.create("log", 2);
    let publish = |sequence| wire::Publish {
        producer: vec![7; 16].into(),
        sequence,
        ..publish_of("log", &[b"a", b"b"])
    };
    let first = peer.publish_frame(&publish(1), b"ab");
    let second = peer.publish_frame(&publish(2), b"ab");
    for round in 0..3 {
        if round == 1 {
            peer.checkpoint();
        }
        house.restart();
        peer = house.peer();
        for (sequence, was) in [(1, first), (2, second)] {
            let again = peer.publish_frame(&publish(sequence), b"ab");
            assert!(again.duplicate);
            assert_eq!(
                (again.partition, again.first_offset, again.count),
                (was.partition, was.first_offset, was.count)
            );
        }
    }
    assert_eq!(peer.topic_stats("log").published, 4);
}

#[test]
fn readers_begin_where_they_say_and_follow_the_tail() {
    let house = House::start();
    let mut peer = house.peer();
    peer.create("log", 1);
    for value in [b"0", b"1", b"2"] {
        peer.publish("log", 0, &[value]);
    }
    std::thread::sleep(Duration::from_millis(5));
    peer.publish("log", 0, &[b"3"]);
    let mut reader = house.peer();
    reader.read_topic(&earliest(1, "log"));
    let all = reader.take_records(4);
    let time_ms = all[3].time_ms;
    assert!(time_ms > all[2].time_ms);
    assert_eq!(
        reader.read_topic(&read_of(2, "log", Start::Latest(true)))[&0],
        4
    );
    reader.read_topic(&read_of(3, "log", Start::Offset(2)));
    assert_eq!(reader.take_records(2)[0].offset, 2);
    reader.read_topic(&read_of(4, "log", Start::TimeMs(time_ms)));
    assert_eq!(reader.take_records(1)[0].offset, 3);
    let own = wire::TopicSubscribe {
        partitions: vec![0],
        offsets: vec![1],
        ..earliest(5, "log")
    };
    assert_eq!(reader.read_topic(&own)[&0], 1);
    assert_eq!(reader.take_records(3)[0].offset, 1);
    // All of them get what comes next.
    peer.publish("log", 0, &[b"4"]);
    let records = reader.take_records(5);
    assert!(records.iter().all(|it| it.offset == 4 && it.value == b"4"));
    // Whoever unsubscribed gets nothing more.
    for subscription in 1..=5 {
        let end = wire::Unsubscribe { subscription };
        let correlation = reader.send(FrameType::Unsubscribe, &end, b"");
        reader.ok(correlation);
    }
    peer.publish("log", 0, &[b"5"]);
    reader.no_records(QUIET);
}

#[test]
fn credit_bounds_what_is_on_its_way() {
    let house = House::start();
    let mut peer = house.peer();
    peer.create("log", 2);
    for value in 0..50u8 {
        peer.publish("log", u32::from(value % 2), &[&[value; 100]]);
    }
    let mut reader = house.peer();
    let window = wire::TopicSubscribe {
        credit_records: 5,
        ..earliest(1, "log")
    };
    reader.read_topic(&window);
    let mut got = Vec::new();
    while got.len() < 5 {
        got.extend(reader.records().1);
    }
    assert_eq!(got.len(), 5);
    reader.no_records(QUIET);
    // One by one, as they are consumed.
    let mut next: BTreeMap<u32, u64> = BTreeMap::new();
    let mut at = 0;
    while at < got.len() {
        let record = got[at].clone();
        let expected = next.entry(record.partition).or_default();
        assert_eq!(record.offset, *expected, "contiguous");
        *expected += 1;
        reader.consumed(1, record.partition, record.offset, false);
        at += 1;
        if got.len() < 50 {
            let (_, records) = reader.records();
            assert_eq!(records.len(), 1);
            got.extend(records);
        }
    }
    // By bytes it is the same, and one is always allowed.
    let window = wire::TopicSubscribe {
        credit_bytes: 250,
        ..earliest(2, "log")
    };
    reader.read_topic(&window);
    let (_, first) = reader.records();
    assert_eq!(first.len(), 2);
    reader.no_records(QUIET);
    let wider = wire::TopicSubscribe {
        credit_bytes: 1_000_000,
        ..window
    };
    let correlation = reader.send(FrameType::TopicSubscribe, &wider, b"");
    reader.ok(correlation);
    let mut count = 2;
    while count < 50 {
        count += reader.records().1.len();
    }
    assert_eq!(count, 50);
}

#[test]
fn members_share_partitions_and_only_the_owner_commits() {
    let house = House::start();
    let mut peer = house.peer();
    peer.create("log", 4);
    for partition in 0..4 {
        peer.publish("log", partition, &[b"a", b"b"]);
    }
    let mut first = house.peer();
    assert_eq!(first.read_topic(&member(1, "log", "g")).len(), 4);
    let records = first.take_records(8);
    first.consumed(1, 3, 0, true);
    let mut second = house.peer();
    let own = second.read_topic(&member(9, "log", "g"));
    assert_eq!(
        own,
        BTreeMap::from([(2, 0), (3, 1)]),
        "from what was committed"
    );
    assert_eq!(first.assigned().partitions, [0, 1]);
    // The first read all of it, but may no longer say so.
    assert_eq!(records.len(), 8);
    let correlation = first.say_consumed(1, 3, 1, true);
    first.refused(correlation, ErrorCode::PartitionLost);
    let again = second.take_records(3);
    assert!(again.iter().all(|it| it.partition >= 2));
    for partition in [2, 3] {
        second.consumed(9, partition, 1, true);
    }
    first.consumed(1, 0, 1, true);
    let groups = peer.group_stats("log");
    assert_eq!((groups[0].members, groups[0].lag), (2, 2));
    assert_eq!(groups[0].offsets, [2, 0, 2, 2]);
    assert_eq!(groups[0].lags, [0, 2, 0, 0]);
    // A member that dies leaves its partitions to the others.
    drop(first);
    let all = second.assigned_count(4);
    assert_eq!(all.offsets, [2, 0, 2, 2]);
    let rest = second.take_records(2);
    assert!(rest.iter().all(|it| it.partition == 1));
}

#[test]
fn positions_of_groups_survive_and_a_start_of_latest_is_one_record_for_all() {
    let mut house = House::start();
    let mut peer = house.peer();
    peer.create("log", 1);
    peer.publish("log", 0, &[b"before"]);
    let latest = wire::TopicSubscribe {
        start: Some(Start::Latest(true)),
        ..member(1, "log", "g")
    };
    assert_eq!(peer.read_topic(&latest)[&0], 1);
    peer.publish("log", 0, &[b"after", b"later"]);
    for checkpoint in [false, true] {
        if checkpoint {
            peer.checkpoint();
        }
        house.restart();
        peer = house.peer();
        assert_eq!(peer.read_topic(&latest)[&0], 1, "nothing was committed");
        assert_eq!(peer.take_records(2)[0].value, b"after");
    }
    peer.consumed(1, 0, 1, true);
    house.restart();
    let mut peer = house.peer();
    assert_eq!(peer.group_stats("log")[0].lag, 1);
    assert_eq!(peer.read_topic(&latest)[&0], 2);
    assert_eq!(peer.take_records(1)[0].value, b"later");
}

#[test]
fn retention_frees_the_store_and_readers_are_told() {
    let house = House::with(|config| {
        config.checkpoint_bytes = 1024 * 1024;
        config.cache_bytes = 64 * 1024;
    });
    let mut peer = house.peer();
    peer.create_with(&wire::TopicCreate {
        topic: "log".to_owned(),
        partitions: 1,
        retention_bytes: 4_000_000,
        ..wire::TopicCreate::default()
    });
    let mut slow = house.peer();
    let window = wire::TopicSubscribe {
        credit_records: 1,
        ..earliest(1, "log")
    };
    slow.read_topic(&window);
    let value = body(3, 50_000);
    for _ in 0..400 {
        peer.publish("log", 0, &[&value]);
    }
    peer.checkpoint();
    let stats = peer.topic_stats("log");
    assert!(
        stats.bytes <= 4_000_000 && stats.bytes > 3_500_000,
        "{stats:?}"
    );
    assert_eq!((stats.published, stats.next_offsets[0]), (400, 400));
    let first = stats.first_offsets[0];
    // It got the first before that went, and goes on with what is kept.
    let (_, records) = slow.records();
    assert_eq!(records[0].offset, 0);
    slow.consumed(1, 0, 0, false);
    let (message, records) = slow.records();
    assert_eq!(message.skipped, records[0].offset - 1);
    assert!(
        records[0].offset <= first && records[0].offset > 1,
        "what is kept when it asks"
    );
    let mut late = house.peer();
    assert_eq!(late.read_topic(&read_of(1, "log", Start::Offset(7)))[&0], 7);
    let (message, records) = late.records();
    assert_eq!((message.skipped, records[0].offset), (first - 7, first));
}

/// A scaled-down `make bench-retention`.
#[test]
fn a_topic_of_bounded_bytes_keeps_the_data_folder_small() {
    const KEPT: u64 = 16 * 1024 * 1024;
    // Segments that are in use or kept for the next, and what the store has to write at one time.
    const FIXED: u64 = 64 * 1024 * 1024;
    let house = House::with(|config| {
        config.checkpoint_bytes = 4 * 1024 * 1024;
        config.journal_bytes_max = 16 * 1024 * 1024;
    });
    let mut peer = house.peer();
    peer.create_with(&wire::TopicCreate {
        topic: "log".to_owned(),
        partitions: 2,
        retention_bytes: KEPT / 2,
        ..wire::TopicCreate::default()
    });
    let value = body(3, 256 * 1024);
    let mut most = 0;
    for at in 0..20 * KEPT / value.len() as u64 {
        peer.publish("log", at as u32 % 2, &[&value]);
        if at % 64 == 0 {
            most = most.max(bytes_of(house.data()));
        }
    }
    assert!(most <= 4 * KEPT + FIXED, "{most} bytes of folder");
    assert!(peer.topic_stats("log").bytes <= KEPT);
}

/// Of all files.
fn bytes_of(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => bytes_of(&entry.path()),
            Ok(data) => data.len(),
            // Removed meanwhile.
            Err(_) => 0,
        })
        .sum()
}

#[test]
fn a_topic_that_is_deleted_is_gone_with_its_readers_and_its_records() {
    let mut house = House::start();
    let mut peer = house.peer();
    peer.create("log", 1);
    peer.publish("log", 0, &[b"old"]);
    peer.checkpoint();
    let mut reader = house.peer();
    reader.read_topic(&earliest(1, "log"));
    reader.take_records(1);
    let delete = wire::TopicDelete {
        topic: "log".to_owned(),
    };
    let correlation = peer.send(FrameType::TopicDelete, &delete, b"");
    peer.ok(correlation);
    let ended = reader.assigned();
    assert!(ended.ended && ended.partitions.is_empty());
    peer.create("log", 2);
    peer.publish("log", 0, &[b"new"]);
    peer.checkpoint();
    house.restart();
    let mut peer = house.peer();
    peer.read_topic(&earliest(1, "log"));
    assert_eq!(peer.take_records(1)[0].value, b"new");
}

/// Every place a record can be read from gives the same bytes: memory, journal, store, after a start.
#[test]
fn the_same_offset_is_the_same_bytes_wherever_it_lies() {
    let mut house = House::with(|config| config.cache_bytes = 64 * 1024);
    let mut peer = house.peer();
    peer.create("log", 3);
    let mut expected: BTreeMap<(u32, u64), Vec<u8>> = BTreeMap::new();
    let mut seed = 0;
    for round in 0..6 {
        for partition in 0..3 {
            let count = 1 + (round * 7 + partition as usize * 3) % 40;
            let values: Vec<Vec<u8>> = (0..count)
                .map(|at| {
                    seed += 1;
                    body(seed, if at % 13 == 0 { 20_000 } else { at * 9 })
                })
                .collect();
            let slices: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
            let first = peer.publish("log", partition, &slices);
            for (at, value) in values.into_iter().enumerate() {
                expected.insert((partition, first + at as u64), value);
            }
        }
        match round {
            1 | 4 => _ = peer.checkpoint(),
            2 => {
                house.restart();
                peer = house.peer();
            }
            _ => {}
        }
        let mut reader = house.peer();
        reader.read_topic(&earliest(1, "log"));
        for record in reader.take_records(expected.len()) {
            assert!(record.value == expected[&(record.partition, record.offset)]);
        }
    }
}

/// However much there is, a reader that takes nothing keeps what its window holds, no more.
#[test]
fn a_reader_that_does_not_read_is_held() {
    let house = House::with(|config| config.cache_bytes = 256 * 1024);
    let mut peer = house.peer();
    peer.create("log", 1);
    let mut reader = house.peer();
    reader.read_topic(&wire::TopicSubscribe {
        credit_records: 65_536,
        credit_bytes: 64 * 1024 * 1024,
        ..earliest(1, "log")
    });
    let value = body(9, 100_000);
    for _ in 0..300 {
        peer.publish("log", 0, &[&value]);
    }
    eventually("others are served meanwhile", || {
        peer.topic_stats("log").published == 300
    });
    let mut other = house.peer();
    other.read_topic(&earliest(1, "log"));
    assert_eq!(other.take_records(300).len(), 300);
    for (at, record) in reader.take_records(300).iter().enumerate() {
        assert!(record.offset == at as u64 && record.value == value);
    }
}

#[test]
fn work_in_topics_goes_on_while_connections_come_and_go() {
    let house = House::start();
    let mut peer = house.peer();
    peer.create("log", 8);
    let mut got: BTreeMap<(u32, u64), Vec<u8>> = BTreeMap::new();
    let mut published = BTreeMap::new();
    let mut members: Vec<Peer> = Vec::new();
    for round in 0..30u32 {
        for at in 0..8 {
            let value = format!("{round}/{at}").into_bytes();
            let offset = peer.publish("log", at, &[&value]);
            published.insert((at, offset), value);
        }
        if round % 3 == 0 {
            let mut fresh = house.peer();
            fresh.read_topic(&member(1, "log", "g"));
            members.push(fresh);
        }
        if round % 5 == 4 {
            members.remove(0);
        }
        for member in &mut members {
            while let Some(frame) = member.read_within(Duration::from_millis(5)) {
                member.park(frame);
            }
            while member.has_parked(FrameType::Records) {
                let (_, records) = member.records();
                for record in records {
                    let (partition, offset) = (record.partition, record.offset);
                    let before = got.insert((partition, offset), record.value.clone());
                    assert!(before.is_none_or(|before| before == record.value));
                    // It may have lost the partition meanwhile; then the next owner gets it again.
                    member.say_consumed(1, partition, offset, true);
                }
            }
        }
    }
    drop(members);
    let mut last = house.peer();
    last.read_topic(&member(1, "log", "g"));
    let lag: u64 = peer.group_stats("log")[0].lag;
    for record in last.take_records(lag as usize) {
        got.insert((record.partition, record.offset), record.value);
    }
    assert_eq!(got, published, "every record came to somebody");
}
