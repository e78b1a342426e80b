//! Nothing that rots, vanishes or stands in the wrong place is taken for good.

use std::sync::Arc;

use bytes::Bytes;

use super::super::key::{Key, Kind};
use super::world::{World, body};
use crate::store::{MemoryStore, Store, StoreError};

/// One value of every kind, some over several parts, and nothing that is freed but still there.
fn store() -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::new());
    let (mut catalog, _) = World::read(&store).unwrap();
    for lsn in 1..=3 {
        let mut writer = catalog.begin();
        writer
            .add_block(&[body(lsn * 100, 50), body(lsn * 100 + 1, 70)])
            .unwrap();
        writer.add_block(&[body(lsn * 100 + 9, 100_000)]).unwrap();
        writer
            .add_page(lsn * 100, lsn * 100 + 9, 3, &[lsn as u8; 80])
            .unwrap();
        writer
            .commit(lsn, lsn * 10, &vec![lsn as u8; 70_000])
            .unwrap();
    }
    assert_eq!(World::read(&store).unwrap().1.lsn, 3);
    store
}

fn with(store: &MemoryStore, key: &[u8], value: Option<&[u8]>) -> Arc<MemoryStore> {
    let copy = store.crash(|_| true);
    match value {
        Some(value) => copy.put(key, value).unwrap(),
        None => copy.delete(key).unwrap(),
    }
    Arc::new(copy)
}

fn kind(key: &[u8]) -> &'static str {
    match key[0] {
        b'B' => "block",
        b'D' => "directory",
        b'L' => "ledger",
        b'M' => "manifest",
        _ => "page",
    }
}

#[test]
fn a_flipped_bit_is_found_in_every_kind_of_value() {
    let store = store();
    let pairs = store.pairs();
    let kinds: std::collections::BTreeSet<u8> = pairs.iter().map(|(key, _)| key[0]).collect();
    assert_eq!(kinds.len(), 5);
    for (key, value) in &pairs {
        let places = (0..value.len()).filter(|at| *at < 40 || at % 9_973 == 0);
        for at in places.chain([value.len() - 1]) {
            let mut bad = value.to_vec();
            bad[at] ^= 1 << (at % 8);
            let error = World::read(&with(&store, key, Some(&bad))).err();
            let Some(StoreError::Damaged { key: name, .. }) = error else {
                panic!("{} byte {at}: {error:?}", kind(key));
            };
            assert!(name.starts_with(kind(key)), "{name}");
        }
    }
}

#[test]
fn a_short_value_is_found() {
    let store = store();
    for (key, value) in store.pairs() {
        for length in [0, 3, 23, 24, value.len() - 1] {
            let error = World::read(&with(&store, &key, Some(&value[..length]))).unwrap_err();
            assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        }
    }
}

#[test]
fn a_missing_value_is_found() {
    let store = store();
    for (key, _) in store.pairs() {
        let result = World::read(&with(&store, &key, None));
        let Err(StoreError::Damaged { key: name, .. }) = result else {
            panic!("{}: {result:?}", kind(&key));
        };
        assert!(name.starts_with(kind(&key)), "{name}");
    }
}

#[test]
fn a_value_in_the_place_of_another_is_found() {
    let store = store();
    let pairs = store.pairs();
    for (key, value) in &pairs {
        for (other, _) in pairs.iter().filter(|(other, _)| other != key) {
            let error = World::read(&with(&store, other, Some(value))).unwrap_err();
            assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        }
    }
}

#[test]
fn a_later_version_is_refused_by_name() {
    let store = store();
    for (key, value) in store.pairs() {
        let mut later = value.to_vec();
        later[5] = 9;
        let sum = crc32c::crc32c_append(crc32c::crc32c(&later[..20]), &later[24..]);
        later[20..24].copy_from_slice(&sum.to_le_bytes());
        let error = World::read(&with(&store, &key, Some(&later))).unwrap_err();
        let StoreError::UnknownVersion {
            key: name,
            version: 9,
            known,
        } = error
        else {
            panic!("{error}");
        };
        assert!(name.starts_with(kind(&key)), "{name}");
        assert_eq!(known, if kind(&key) == "ledger" { 2 } else { 1 });
    }
}

#[test]
fn a_refused_store_is_left_as_it_was() {
    let store = store();
    let newest = Key::new(Kind::Manifest, 3, 3).encode();
    let damaged = with(&store, &newest, Some(b"not a manifest"));
    let before = damaged.pairs();
    World::read(&damaged).unwrap_err();
    assert_eq!(damaged.pairs(), before);
}

#[test]
fn the_manifest_before_does_not_stand_in_for_a_damaged_one() {
    let store = Arc::new(MemoryStore::new());
    let (mut catalog, _) = World::read(&store).unwrap();
    catalog.begin().commit(1, 10, b"one").unwrap();
    let first = store
        .get(&Key::new(Kind::Manifest, 3, 1).encode())
        .unwrap()
        .unwrap();
    catalog.begin().commit(2, 20, b"two").unwrap();
    let (manifest, second) = (
        Key::new(Kind::Manifest, 3, 2),
        Bytes::from_static(b"rotten"),
    );
    let store = with(
        &store,
        &Key::new(Kind::Manifest, 3, 1).encode(),
        Some(&first),
    );
    let store = with(&store, &manifest.encode(), Some(&second));
    let error = World::read(&store).unwrap_err();
    assert!(
        error.to_string().contains("manifest 2 of shard 3"),
        "{error}"
    );
}

#[test]
fn another_shard_is_another_world() {
    let store = store();
    let (_, none) = crate::store::Catalog::open(Arc::clone(&store) as Arc<dyn Store>, 4).unwrap();
    assert_eq!(none, None);
}
