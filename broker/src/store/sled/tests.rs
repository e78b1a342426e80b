use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::folder::{LOG, SETTINGS};
use crate::store::{Body, Catalog, SledOptions, SledStore, Store, StoreError, VALUE_BYTES_MAX};

fn open(folder: &Path) -> SledStore {
    SledStore::open(folder, SledOptions::default()).unwrap()
}

/// Bytes that no compression would make small, and different for every seed.
fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut out = Vec::with_capacity(bytes + 8);
    while out.len() < bytes {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        out.extend_from_slice(&(state ^ (state >> 29)).to_le_bytes());
    }
    out.truncate(bytes);
    out
}

fn blob_files(folder: &Path) -> usize {
    fs::read_dir(folder.join("blobs")).unwrap().count()
}

#[cfg(all(feature = "honest-sled-sync", target_os = "linux"))]
#[test]
fn a_flush_of_sled_ends_in_our_fdatasync() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let before = verteilt_sled_sync::calls();
    store.put(b"key", b"value").unwrap();
    store.db.as_ref().unwrap().flush().unwrap();
    assert!(verteilt_sled_sync::calls() > before);
    assert_eq!(verteilt_sled_sync::failure(), None);
}

#[test]
fn no_blob_file_ever_appears() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    for round in 0..3 {
        // In order, backwards and over each other, so that leaves fill up, split and merge.
        for number in 0..200_u64 {
            let key = if round % 2 == 0 { number } else { 199 - number };
            store
                .put(&key.to_be_bytes(), &noise(key + round, VALUE_BYTES_MAX))
                .unwrap();
            if number % 16 == 0 {
                store.flush().unwrap();
            }
        }
        assert_eq!(blob_files(folder.path()), 0);
        for key in (0..200_u64).filter(|key| key % 3 == round) {
            store.delete(&key.to_be_bytes()).unwrap();
        }
        store.flush().unwrap();
        drop(store);
        store = open(folder.path());
        assert_eq!(blob_files(folder.path()), 0);
    }
}

#[test]
fn a_kill_during_open_is_no_obstacle() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.put(b"key", b"value").unwrap();
    store.flush().unwrap();
    drop(store);
    for left in [
        "snap.FFFFFFFFFFFFFFFF.generating",
        "snap.0000000000000000.generating",
    ] {
        fs::write(folder.path().join(left), b"").unwrap();
    }
    let store = open(folder.path());
    assert_eq!(store.get(b"key").unwrap().unwrap(), "value");
}

/// The disk was full, or the broker was killed, while sled wrote its settings for the first time.
#[test]
fn settings_that_were_not_finished_are_no_obstacle() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let whole = fs::read(folder.path().join(SETTINGS)).unwrap();
    for length in 0..whole.len() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(LOG), b"").unwrap();
        fs::write(folder.path().join(SETTINGS), &whole[..length]).unwrap();
        open(folder.path()).put(b"key", b"value").unwrap();
        drop(open(folder.path()));
    }
}

/// Once there is something else, settings that cannot be read are damage.
#[test]
fn damaged_settings_are_refused_and_left() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.put(b"key", b"value").unwrap();
    store.flush().unwrap();
    drop(store);
    let settings = folder.path().join(SETTINGS);
    fs::write(&settings, b"not what sled writes").unwrap();
    let error = SledStore::open(folder.path(), SledOptions::default()).unwrap_err();
    assert!(error.to_string().contains("restore"), "{error}");
    assert_eq!(fs::read(&settings).unwrap(), b"not what sled writes");
}

#[test]
fn another_segment_size_is_refused_with_the_folder_named() {
    let folder = tempfile::tempdir().unwrap();
    drop(sled::Config::new().path(folder.path()).open().unwrap());
    let error = SledStore::open(folder.path(), SledOptions::default()).unwrap_err();
    assert!(matches!(&error, StoreError::Open { folder: at, .. } if at == folder.path()));
    assert!(error.is_final());
}

#[test]
fn a_second_owner_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let _owner = open(folder.path());
    let error = SledStore::open(folder.path(), SledOptions::default()).unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }));
}

#[test]
fn the_first_failure_stays() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let first = store.fail(io::Error::other("no space left"));
    assert!(first.to_string().contains("no space left"), "{first}");
    assert_eq!(store.fail(io::Error::other("another")), first);
    assert_eq!(store.put(b"k", b"v").unwrap_err(), first);
    assert_eq!(store.get(b"k").unwrap_err(), first);
    assert_eq!(store.delete(b"k").unwrap_err(), first);
    assert_eq!(store.flush().unwrap_err(), first);
}

#[test]
fn a_panic_of_sled_is_a_failure_that_stays() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let first = store.ask(|_| -> sled::Result<()> { panic!("no space left") });
    let first = first.unwrap_err();
    assert!(first.to_string().contains("no space left"), "{first}");
    assert_eq!(store.flush().unwrap_err(), first);
}

#[test]
fn a_catalog_lives_through_drops_without_a_close() {
    let folder = tempfile::tempdir().unwrap();
    let mut held: Vec<(u64, u16, Vec<Body>)> = Vec::new();
    for round in 1..=6_u64 {
        let (mut catalog, snapshot) = Catalog::open(Arc::new(open(folder.path())), 0).unwrap();
        assert_eq!(snapshot.map_or(0, |snapshot| snapshot.lsn), round - 1);
        let reader = catalog.reader();
        for (number, parts, bodies) in &held {
            assert_eq!(&reader.read_block(*number, *parts).unwrap(), bodies);
        }
        let mut checkpoint = catalog.begin();
        if round > 3 {
            checkpoint.drop_block(held.remove(0).0).unwrap();
        }
        let length = if round % 2 == 0 { 40_000 } else { 300_000 };
        let bytes = Bytes::from(noise(round, length));
        let bodies = vec![Body {
            id: round,
            header_length: 9,
            bytes,
        }];
        let block = checkpoint.add_block(&bodies).unwrap();
        held.push((block.number, block.parts, bodies));
        checkpoint
            .commit(round, round, &noise(round, 100_000))
            .unwrap();
        // Given up: nothing of it may be seen by the next round.
        let given_up = Body {
            id: 1000,
            header_length: 0,
            bytes: Bytes::from(noise(99, 90_000)),
        };
        catalog.begin().add_block(&[given_up]).unwrap();
    }
    assert_eq!(blob_files(folder.path()), 0);
}
