//! Folders that must not be used.

use std::path::PathBuf;
use std::time::Duration;

use verteilt_broker::StartError;

use crate::house::House;
use crate::job::body;

#[test]
fn one_broker_at_a_time() {
    let mut house = House::start();
    let refusal = house.refusal();
    assert!(matches!(refusal, StartError::Locked { .. }), "{refusal}");
    house.peer().push("q", b"the first one goes on");
    house.stop(Duration::ZERO).unwrap();
    house.go_on();
}

#[test]
fn a_folder_of_somebody_else_is_refused_and_left_alone() {
    let mut house = House::start();
    house.drop_broker();
    house.config.data = house.folder().join("home");
    std::fs::create_dir(house.data()).unwrap();
    std::fs::write(house.data().join("letter.txt"), "dear").unwrap();
    let refusal = house.refusal();
    assert!(
        matches!(refusal, StartError::NotAFolder { .. }),
        "{refusal}"
    );
    let mut left: Vec<_> = std::fs::read_dir(house.data())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.retain(|name| name != "verteilt.lock");
    assert_eq!(left, ["letter.txt"]);
}

#[test]
fn an_identity_that_is_none_or_of_another_format_is_refused() {
    let mut house = House::start();
    house.drop_broker();
    let path = house.data().join("verteilt.id");
    let good = std::fs::read(&path).unwrap();
    let mut later = good[..good.len() - 4].to_vec();
    later[7] = 3;
    later.extend_from_slice(&crc32c::crc32c(&later).to_le_bytes());
    std::fs::write(&path, later).unwrap();
    let refusal = house.refusal();
    assert!(
        matches!(refusal, StartError::UnknownFormat { format: 3, .. }),
        "{refusal}"
    );
    for broken in [&b"something"[..], b"", b"VERTEIL", &good[..24]] {
        std::fs::write(&path, broken).unwrap();
        let refusal = house.refusal();
        assert!(
            matches!(&refusal, StartError::Identity { path: named, .. } if *named == path),
            "{refusal}"
        );
    }
    std::fs::write(&path, good).unwrap();
    house.go_on();
}

#[test]
fn no_bit_of_the_identity_changes_unnoticed() {
    let mut house = House::start();
    house.drop_broker();
    let path = house.data().join("verteilt.id");
    let good = std::fs::read(&path).unwrap();
    for bit in 0..8 * good.len() {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&path, bad).unwrap();
        let refusal = house.refusal();
        assert!(
            matches!(refusal, StartError::Identity { .. }),
            "bit {bit}: {refusal}"
        );
    }
    std::fs::remove_file(&path).unwrap();
    let refusal = house.refusal();
    assert!(
        matches!(&refusal, StartError::Identity { path: named, .. } if *named == path),
        "{refusal}"
    );
}

/// Folders of the first builds have an identity without a checksum.
#[test]
fn an_identity_of_the_first_format_is_read() {
    let mut house = House::start();
    let id = house.peer().welcome.broker_id.clone();
    house.drop_broker();
    let first = [&b"VERTEIL\x01"[..], &id].concat();
    std::fs::write(house.data().join("verteilt.id"), first).unwrap();
    house.go_on();
    assert_eq!(house.peer().welcome.broker_id, id);
}

#[test]
fn a_journal_that_was_removed_is_missed() {
    let mut house = House::start();
    let mut peer = house.peer();
    peer.push("q", b"x");
    peer.checkpoint();
    house.drop_broker();
    std::fs::remove_dir_all(house.data().join("journal")).unwrap();
    let refusal = house.refusal();
    assert!(
        matches!(refusal, StartError::JournalBehind { journal: 0, .. }),
        "{refusal}"
    );
    let text = refusal.to_string();
    assert!(
        text.contains("journal") && text.contains("restore"),
        "{text}"
    );
}

#[test]
fn a_store_that_was_removed_is_missed_once_the_journal_was_trimmed() {
    let mut house = House::start();
    let mut peer = house.peer();
    let body = body(1, 500_000);
    for _ in 0..20 {
        peer.wait_for_credit();
        peer.push("q", &body);
    }
    peer.checkpoint();
    house.drop_broker();
    std::fs::remove_dir_all(house.data().join("store")).unwrap();
    let refusal = house.refusal();
    assert!(
        matches!(refusal, StartError::Gap { store: 0, .. }),
        "{refusal}"
    );
}

fn segments(house: &House) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(house.data().join("journal"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.ends_with(".journal") && name.as_bytes()[0].is_ascii_digit()
        })
        .collect();
    paths.sort();
    paths
}

#[test]
fn a_damaged_segment_is_refused_by_file_and_lsn() {
    let mut house = House::start();
    let mut peer = house.peer();
    let body = body(2, 300_000);
    for _ in 0..20 {
        peer.wait_for_credit();
        peer.push("q", &body);
    }
    house.stop(Duration::ZERO).unwrap();
    let first = segments(&house).remove(0);
    let good = std::fs::read(&first).unwrap();
    let mut bad = good.clone();
    bad[1_000_000] ^= 1;
    std::fs::write(&first, &bad).unwrap();
    let refusal = house.refusal();
    let text = refusal.to_string();
    let name = first.file_name().unwrap().to_str().unwrap();
    assert!(text.contains(name), "{text}");
    assert!(text.contains("log sequence number"), "{text}");
    std::fs::write(&first, &good).unwrap();
    house.go_on();
    assert_eq!(house.peer().stats("q").ready, 20);
}

#[test]
fn a_journal_that_was_cut_short_is_refused() {
    let mut house = House::start();
    let mut peer = house.peer();
    let body = body(3, 300_000);
    for _ in 0..20 {
        peer.wait_for_credit();
        peer.push("q", &body);
    }
    house.stop(Duration::ZERO).unwrap();
    let all = segments(&house);
    assert!(all.len() > 1);
    // The newest with batches in it; those behind are empty.
    let holds = |path: &&PathBuf| {
        std::fs::read(path).unwrap()[4_096..4_200]
            .iter()
            .any(|b| *b > 0)
    };
    let newest = all.iter().rfind(holds).unwrap();
    let mut bytes = std::fs::read(newest).unwrap();
    bytes[4_096..].fill(0);
    std::fs::write(newest, bytes).unwrap();
    let refusal = house.refusal();
    assert!(matches!(refusal, StartError::Recovery(_)), "{refusal}");
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let changes: [fn(&mut verteilt_broker::BrokerConfig); 5] = [
        |config| config.segment_bytes = 64 * 1024,
        |config| config.journal_bytes_max = 3 * u64::from(config.segment_bytes),
        |config| config.checkpoint_bytes = 0,
        |config| config.heartbeat_ms = 0,
        |config| config.push_credit_bytes = 1,
    ];
    let mut house = House::start();
    house.drop_broker();
    let good = house.config.clone();
    for change in changes {
        house.config = good.clone();
        change(&mut house.config);
        let refusal = house.refusal();
        assert!(matches!(refusal, StartError::Config(_)), "{refusal}");
    }
}
