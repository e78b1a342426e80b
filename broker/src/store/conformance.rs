//! What every [`Store`] does, run on each of them.

use std::ops::ControlFlow;

use super::{KEY_BYTES_MAX, Store, StoreError, VALUE_BYTES_MAX};

/// Opens an engine, and opens it again after it was closed.
trait Engine {
    type Store: Store;

    fn open(&self) -> Self::Store;
    fn reopen(&self, store: Self::Store) -> Self::Store;
}

struct Memory;

impl Engine for Memory {
    type Store = super::MemoryStore;

    fn open(&self) -> Self::Store {
        super::MemoryStore::new()
    }

    fn reopen(&self, store: Self::Store) -> Self::Store {
        store.crash(|_| false)
    }
}

struct Sled(tempfile::TempDir);

impl Engine for Sled {
    type Store = super::SledStore;

    fn open(&self) -> Self::Store {
        super::SledStore::open(&self.0.path().join("store"), super::SledOptions::default()).unwrap()
    }

    fn reopen(&self, store: Self::Store) -> Self::Store {
        drop(store);
        self.open()
    }
}

macro_rules! on_every_engine {
    ($($test:ident),* $(,)?) => {
        mod memory {
            $(#[test] fn $test() { super::$test(&super::Memory) })*
        }
        mod sled {
            $(#[test] fn $test() { super::$test(&super::Sled(tempfile::tempdir().unwrap())) })*
        }
    };
}

on_every_engine![
    a_put_is_seen_at_once_and_a_delete_too,
    keys_come_in_order_under_their_prefix,
    a_visitor_can_break,
    sizes_have_limits,
    what_was_flushed_is_there_again,
    a_flush_with_nothing_to_do_is_fine,
];

fn keys(store: &impl Store, prefix: &[u8], from: &[u8]) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    store
        .keys(prefix, from, &mut |key| {
            keys.push(key.to_vec());
            ControlFlow::Continue(())
        })
        .unwrap();
    keys
}

fn a_put_is_seen_at_once_and_a_delete_too(engine: &impl Engine) {
    let store = engine.open();
    assert_eq!(store.get(b"a").unwrap(), None);
    store.put(b"a", b"1").unwrap();
    assert_eq!(store.get(b"a").unwrap().unwrap(), "1");
    store.put(b"a", b"").unwrap();
    assert_eq!(store.get(b"a").unwrap().unwrap(), "");
    store.delete(b"a").unwrap();
    store.delete(b"never there").unwrap();
    assert_eq!(store.get(b"a").unwrap(), None);
}

fn keys_come_in_order_under_their_prefix(engine: &impl Engine) {
    let store = engine.open();
    for key in [&b"b\xff"[..], b"b1", b"c", b"b", b"a", b"b2", b"b\xff\xff"] {
        store.put(key, key).unwrap();
    }
    let under_b: [&[u8]; 5] = [b"b", b"b1", b"b2", b"b\xff", b"b\xff\xff"];
    assert_eq!(keys(&store, b"b", b""), under_b);
    assert_eq!(keys(&store, b"b", b"a"), under_b);
    assert_eq!(keys(&store, b"b", b"b2"), under_b[2..]);
    assert_eq!(keys(&store, b"b", b"b11"), under_b[2..]);
    assert_eq!(keys(&store, b"b", b"c"), [b""; 0]);
    assert_eq!(keys(&store, b"", b"").len(), 7);
    let mut pairs = Vec::new();
    store
        .scan(b"b", &mut |key, value| {
            assert_eq!(key, value);
            pairs.push(key.to_vec());
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(pairs, under_b);
}

fn a_visitor_can_break(engine: &impl Engine) {
    let store = engine.open();
    for key in 0..50_u8 {
        store.put(&[key], b"x").unwrap();
    }
    let mut seen = 0;
    let mut count = || {
        seen += 1;
        if seen % 7 == 0 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    store.keys(b"", b"", &mut |_| count()).unwrap();
    store.scan(b"", &mut |_, _| count()).unwrap();
    assert_eq!(seen, 14);
}

fn sizes_have_limits(engine: &impl Engine) {
    let store = engine.open();
    let key = [7; KEY_BYTES_MAX];
    let value = vec![9; VALUE_BYTES_MAX];
    store.put(&key, &value).unwrap();
    assert_eq!(store.get(&key).unwrap().unwrap(), value);
    let too_large = store.put(b"k", &vec![9; VALUE_BYTES_MAX + 1]).unwrap_err();
    assert!(matches!(
        too_large,
        StoreError::TooLarge { what: "value", .. }
    ));
    assert!(!too_large.is_final());
    let too_long = store.put(&[7; KEY_BYTES_MAX + 1], b"v").unwrap_err();
    assert!(matches!(too_long, StoreError::TooLarge { what: "key", .. }));
    assert_eq!(keys(&store, b"", b""), [key]);
}

fn what_was_flushed_is_there_again(engine: &impl Engine) {
    let mut store = engine.open();
    for round in 0..5_u8 {
        for key in 0..40 {
            store.put(&[key], &[round; 3000]).unwrap();
        }
        store.delete(&[round]).unwrap();
        store.flush().unwrap();
        store = engine.reopen(store);
        for key in 0..40 {
            let expected = (key != round).then(|| vec![round; 3000]);
            assert_eq!(
                store.get(&[key]).unwrap().map(|value| value.to_vec()),
                expected
            );
        }
    }
    assert!(store.disk_bytes() >= 39 * 3000);
}

fn a_flush_with_nothing_to_do_is_fine(engine: &impl Engine) {
    let store = engine.open();
    store.flush().unwrap();
    store.flush().unwrap();
    assert_eq!(keys(&store, b"", b""), [b""; 0]);
}
