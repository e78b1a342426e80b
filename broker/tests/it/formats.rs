//! A file of a later format is refused by name, never guessed at.

use std::fs;
use std::path::Path;

use verteilt_broker::StartError;
use verteilt_broker::store::{SledOptions, SledStore, Store};

use crate::fixtures::{archives, unpacked};
use crate::furnish::WORKER;
use crate::house::{House, block_on};
use crate::inventory::inventory;
use crate::verdict::catch;

fn newest() -> House {
    unpacked(archives().last().unwrap())
}

/// Raises the version at `version` and the checksum that covers `checked` and stands behind it.
struct Header {
    start: usize,
    version: usize,
    checked: usize,
}

impl Header {
    fn raise(&self, bytes: &mut [u8], seed: u32) {
        let header = &mut bytes[self.start..];
        header[self.version] += 1;
        let sum = crc32c::crc32c_append(seed, &header[..self.checked]);
        header[self.checked..self.checked + 4].copy_from_slice(&sum.to_le_bytes());
    }
}

/// The checksums of a journal start from its identity.
fn seed(journal: &Path) -> u32 {
    let bytes = fs::read(journal.join("journal.meta")).unwrap();
    let id = u64::from_le_bytes(bytes[8..16].try_into().unwrap());
    (id ^ (id >> 32)) as u32
}

fn refusal(name: &str, headers: &[Header], is_seeded: bool) -> StartError {
    let house = newest();
    let path = house.data().join(name);
    let mut bytes = fs::read(&path).unwrap();
    let seed = if is_seeded {
        seed(&house.data().join("journal"))
    } else {
        0
    };
    headers
        .iter()
        .for_each(|header| header.raise(&mut bytes, seed));
    fs::write(&path, bytes).unwrap();
    house.refusal()
}

#[test]
fn of_the_files() {
    let header = |start, version, checked| Header {
        start,
        version,
        checked,
    };
    let segment = "journal/0000000000000001.journal";
    let files = [
        ("verteilt.id", vec![header(0, 7, 24)], false),
        ("journal/journal.meta", vec![header(0, 4, 16)], false),
        (
            "journal/watermark",
            vec![header(0, 4, 40), header(4096, 4, 40)],
            true,
        ),
        (segment, vec![header(0, 4, 32)], true),
        // A batch in it.
        (segment, vec![header(4096, 4, 68)], true),
    ];
    for (name, headers, is_seeded) in files {
        let text = refusal(name, &headers, is_seeded).to_string();
        let version = if name == "verteilt.id" {
            "format 3"
        } else {
            "format version 2"
        };
        assert!(
            text.contains(name) && text.contains(version),
            "{name}: {text}"
        );
        assert!(
            text.to_lowercase()
                .contains("start the version that wrote it"),
            "{text}"
        );
    }
}

/// Raises the version of every value of a kind; its key begins with the letter.
fn raise_in_store(house: &House, kind: u8) -> usize {
    let store = SledStore::open(&house.data().join("store"), SledOptions::default()).unwrap();
    let mut pairs = Vec::new();
    store
        .scan(&[kind], &mut |key, value| {
            pairs.push((key.to_vec(), value.to_vec()));
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    for (key, value) in &mut pairs {
        value[5] = if kind == b'L' { known("ledger") + 1 } else { 2 };
        let sum = crc32c::crc32c_append(crc32c::crc32c(&value[..20]), &value[24..]);
        value[20..24].copy_from_slice(&sum.to_le_bytes());
        store.put(key, value).unwrap();
    }
    store.flush().unwrap();
    pairs.len()
}

/// The newest version of a format; all are at their first but that of the ledger.
fn known(kind: &str) -> u8 {
    if kind == "ledger" { 2 } else { 1 }
}

#[test]
fn of_the_store() {
    for (kind, name) in [
        (b'M', "manifest"),
        (b'D', "directory"),
        (b'L', "ledger"),
        (b'P', "page"),
    ] {
        let house = newest();
        assert!(raise_in_store(&house, kind) > 0, "{name}");
        assert_names(name, &house.refusal().to_string());
    }
}

/// A start reads no bodies: whoever needs the first one ends the broker.
#[test]
fn of_a_block() {
    let mut house = newest();
    assert!(raise_in_store(&house, b'B') > 0);
    house.go_on();
    assert!(
        catch(|| inventory(&house, &WORKER)).is_err(),
        "not every body can be read"
    );
    assert_names("block", &block_on(house.broker().failed()).to_string());
}

fn assert_names(kind: &str, text: &str) {
    let known = known(kind);
    let later = known + 1;
    let version = format!("has format version {later} and this broker knows version {known}");
    assert!(
        text.contains(kind) && text.contains(&version),
        "{kind}: {text}"
    );
    assert!(text.contains("start the version that wrote it"), "{text}");
}
