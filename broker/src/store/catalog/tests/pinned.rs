//! A checkpoint that somebody reads stays whole, and nothing of it stays longer.

use std::sync::Arc;

use super::world::{World, body};
use crate::store::catalog::pinned::put_manifest;
use crate::store::{Catalog, MemoryStore, RecordBlockMeta, Store, StoreError};

/// A checkpoint whose every page, block and record block replaces those of the one before.
fn replace(catalog: &mut Catalog, lsn: u64) {
    let reader = catalog.directory.read();
    let pages: Vec<u64> = reader.pages.keys().copied().collect();
    let blocks: Vec<u64> = reader.blocks.keys().copied().collect();
    let records: Vec<u64> = reader.records.keys().copied().collect();
    drop(reader);
    let mut writer = catalog.begin();
    pages.into_iter().for_each(|n| writer.drop_page(n).unwrap());
    for number in blocks {
        writer.drop_block(number).unwrap();
    }
    writer
        .add_block(&[body(lsn, 50), body(lsn + 1, 70)])
        .unwrap();
    writer.add_block(&[body(lsn + 9, 100_000)]).unwrap();
    for number in records {
        writer.drop_records(number).unwrap();
    }
    for (first_offset, bytes) in [(lsn, 150_000), (lsn + 1, 300)] {
        let meta = RecordBlockMeta {
            number: 0,
            topic: 1,
            partition: 2,
            first_offset,
            next_offset: first_offset + 1,
            time_ms: lsn,
            bytes: 0,
        };
        writer.add_records(meta, &vec![lsn as u8; bytes]).unwrap();
    }
    let page = [lsn as u8; 40_000];
    writer.add_page(lsn, lsn + 9, 3, &page).unwrap();
    writer
        .commit(lsn, lsn * 10, &vec![lsn as u8; 70_000])
        .unwrap();
}

/// What a copy of the pinned pairs holds.
fn copied(pairs: impl Iterator<Item = Result<(Vec<u8>, bytes::Bytes), StoreError>>) -> World {
    let copy = Arc::new(MemoryStore::new());
    for pair in pairs {
        let (key, value) = pair.unwrap();
        copy.put(&key, &value).unwrap();
    }
    World::read(&copy).unwrap().1
}

#[test]
fn what_is_pinned_outlives_the_checkpoints_that_drop_it() {
    let store = Arc::new(MemoryStore::new());
    let (mut catalog, _) = World::read(&store).unwrap();
    assert!(catalog.pin().is_none(), "there is none yet");
    replace(&mut catalog, 100);
    let before = World::read(&store).unwrap().1;
    let mut pinned = catalog.pin().unwrap();
    assert_eq!((pinned.lsn(), pinned.len()), (100, before.values()));
    // A part is read now, the rest later.
    let first: Vec<_> = pinned.by_ref().take(3).collect();
    for lsn in 101..=105 {
        replace(&mut catalog, lsn);
    }
    let second = catalog.pin().unwrap();
    replace(&mut catalog, 106);
    assert_eq!(copied(first.into_iter().chain(pinned)), before);
    replace(&mut catalog, 107);
    assert_eq!(copied(second).lsn, 105);

    // Nobody reads any more: the next checkpoint deletes what was held.
    replace(&mut catalog, 108);
    let now = World::read(&store).unwrap().1;
    assert_eq!(store.pairs().len(), now.values());
}

#[test]
fn what_was_held_when_the_broker_was_killed_is_found_again() {
    for kept in [true, false] {
        let store = Arc::new(MemoryStore::new());
        let (mut catalog, _) = World::read(&store).unwrap();
        replace(&mut catalog, 100);
        let pinned = catalog.pin().unwrap();
        for lsn in 101..=104 {
            replace(&mut catalog, lsn);
        }
        let killed = Arc::new(store.crash(|_| kept));
        drop(pinned);
        let (mut catalog, world) = World::read(&killed).unwrap();
        assert_eq!(world.lsn, 104);
        assert!(killed.pairs().len() > world.values());
        replace(&mut catalog, 105);
        let now = World::read(&killed).unwrap().1;
        assert_eq!(killed.pairs().len(), now.values());
    }
}

#[test]
fn what_has_rotted_is_not_copied() {
    let store = Arc::new(MemoryStore::new());
    let (mut catalog, _) = World::read(&store).unwrap();
    replace(&mut catalog, 100);
    let (key, value) = store.pairs().swap_remove(0);
    let mut bad = value.to_vec();
    bad[30] ^= 1;
    store.put(&key, &bad).unwrap();
    let errors: Vec<_> = catalog.pin().unwrap().filter_map(Result::err).collect();
    assert!(matches!(errors[..], [StoreError::Damaged { .. }]));
}

#[test]
fn a_copied_manifest_moves_on_and_all_else_stays() {
    let store = Arc::new(MemoryStore::new());
    let (mut catalog, _) = World::read(&store).unwrap();
    replace(&mut catalog, 100);
    let root = |pair: &(bytes::Bytes, bytes::Bytes)| super::super::is_manifest(&pair.0);
    let (key, value) = store.pairs().into_iter().find(root).unwrap();
    put_manifest(&*store, 3, (&key, &value), 1_100).unwrap();
    let (_, snapshot) = Catalog::open(Arc::clone(&store) as Arc<dyn Store>, 3).unwrap();
    let snapshot = snapshot.unwrap();
    assert_eq!((snapshot.lsn, snapshot.time_ms), (1_100, 1_000));
    assert!(put_manifest(&*store, 4, (&key, &value), 1_100).is_err());
    assert!(put_manifest(&*store, 3, (&key, &value), 99).is_err());
}
