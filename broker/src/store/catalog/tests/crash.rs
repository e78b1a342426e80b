//! A crash at any point leaves the checkpoint before or the one after, whole.

use std::sync::Arc;

use proptest::prelude::*;

use super::world::{Dice, World, body};
use crate::store::{Catalog, MemoryStore, StoreError};

/// What one checkpoint does; ids count up so that ranges stay disjoint.
#[derive(Debug, Clone)]
struct Step {
    seed: u64,
    blocks: u64,
    drops: u64,
    ledger_bytes: usize,
    /// How many operations go well, if not all.
    fail_after: Option<u64>,
    /// Which of the unflushed operations the crash keeps.
    keep: u64,
}

/// Runs a checkpoint on the catalog; `next` becomes what it holds once it is committed.
fn checkpoint(catalog: &mut Catalog, step: &Step, next: &mut World) -> Result<(), StoreError> {
    let mut dice = Dice(step.seed);
    let mut id = next.lsn * 1000 + 1;
    let mut writer = catalog.begin();
    for _ in 0..step.drops {
        let block = next.blocks.keys().nth(dice.roll(5) as usize).copied();
        if let Some(number) = block {
            writer.drop_block(number)?;
            next.blocks.remove(&number);
        }
        if let Some((number, _)) = next.pages.pop_first() {
            writer.drop_page(number)?;
        }
    }
    for _ in 0..step.blocks {
        let large = dice.roll(4) == 0;
        let bodies: Vec<_> = if large {
            vec![body(id, 60_000 + dice.roll(140_000) as usize)]
        } else {
            (0..=dice.roll(20))
                .map(|n| body(id + n * 2, dice.roll(2_000) as usize))
                .collect()
        };
        id = bodies[bodies.len() - 1].id + 1;
        let meta = writer.add_block(&bodies)?;
        if dice.roll(4) == 0 {
            writer.drop_block(meta.number)?;
        } else {
            next.blocks
                .insert(meta.number, (meta.parts, meta.entries, bodies));
        }
    }
    for (number, (_, live, _)) in &mut next.blocks {
        if dice.roll(3) == 0 {
            *live /= 2;
            writer.set_live(*number, *live)?;
        }
    }
    let page: Vec<u8> = (0..dice.roll(40_000)).map(|n| n as u8).collect();
    let meta = writer.add_page(next.lsn * 1000 + 1, next.lsn * 1000 + 1000, 7, &page)?;
    next.pages.insert(meta.number, page);
    next.lsn += 1;
    next.ledger = (0..step.ledger_bytes)
        .map(|n| (n as u64 ^ step.seed) as u8)
        .collect();
    writer.commit(next.lsn, next.lsn * 10, &next.ledger)?;
    Ok(())
}

fn step(seed: u64) -> Step {
    Step {
        seed,
        blocks: 5,
        drops: 2,
        ledger_bytes: 150_000,
        fail_after: None,
        keep: 0,
    }
}

/// A store two checkpoints old, with deletions that no flush has made safe.
fn two_checkpoints() -> (Arc<MemoryStore>, Catalog, World) {
    let store = Arc::new(MemoryStore::new());
    let (mut catalog, mut world) = World::read(&store).unwrap();
    for seed in 1..=2 {
        checkpoint(&mut catalog, &step(seed), &mut world).unwrap();
    }
    assert!(store.pending() > 0);
    (store, catalog, world)
}

fn crash(store: &MemoryStore, pattern: u64) -> Arc<MemoryStore> {
    let mut dice = Dice(pattern);
    Arc::new(store.crash(|_| match pattern {
        0 => false,
        1 => true,
        _ => dice.roll(2) == 0,
    }))
}

/// Nothing stays behind once a checkpoint has gone through.
fn assert_nothing_leaks(store: &Arc<MemoryStore>, mut world: World) {
    let (mut catalog, found) = World::read(store).unwrap();
    assert_eq!(found, world);
    checkpoint(&mut catalog, &step(77), &mut world).unwrap();
    let (mut catalog, found) = World::read(&Arc::new(store.crash(|_| false))).unwrap();
    assert_eq!(found, world);
    // Its freed values are back after that crash, and go again with the next checkpoint.
    let store = crash(store, 0);
    drop(catalog);
    (catalog, _) = World::read(&store).unwrap();
    checkpoint(&mut catalog, &step(78), &mut world).unwrap();
    assert_eq!(store.pairs().len(), world.values());
}

#[test]
fn at_every_operation_of_a_checkpoint() {
    let (store, mut catalog, mut after) = two_checkpoints();
    let first = store.operations();
    checkpoint(&mut catalog, &step(3), &mut after).unwrap();
    let operations = store.operations() - first;
    assert!(operations > 20);
    let mut new = 0;
    for fail_after in 0..=operations {
        let (store, mut catalog, before) = two_checkpoints();
        store.fail_at(first + fail_after);
        let result = checkpoint(&mut catalog, &step(3), &mut before.clone());
        assert_eq!(result.is_ok(), fail_after == operations);
        for pattern in 0..20 {
            let crashed = crash(&store, pattern);
            let (_, found) = World::read(&crashed).unwrap();
            assert!(
                found == before || found == after,
                "operation {fail_after}, {pattern}"
            );
            assert!(result.is_err() || found == after);
            new += u32::from(found == after);
            if pattern % 5 == 2 {
                assert_nothing_leaks(&crashed, found);
            }
        }
    }
    // Not only after success, and not only after failure.
    assert!(new > 20);
}

#[test]
fn a_checkpoint_that_failed_is_not_followed_by_another() {
    let (store, mut catalog, world) = two_checkpoints();
    store.fail_at(store.operations() + 10);
    checkpoint(&mut catalog, &step(3), &mut world.clone()).unwrap_err();
    let error = catalog.begin().add_block(&[body(1, 1)]).unwrap_err();
    assert!(error.is_final());
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (
        any::<u64>(),
        0..6_u64,
        0..4_u64,
        prop_oneof![Just(0), 0..500_usize, 60_000..140_000_usize],
        proptest::option::weighted(0.6, 0..50_u64),
        any::<u64>(),
    );
    let step = step.prop_map(
        |(seed, blocks, drops, ledger_bytes, fail_after, keep)| Step {
            seed,
            blocks,
            drops,
            ledger_bytes,
            fail_after,
            keep,
        },
    );
    proptest::collection::vec(step, 1..9)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn many_checkpoints_and_many_crashes(steps in steps()) {
        let mut store = Arc::new(MemoryStore::new());
        let (mut catalog, mut world) = World::read(&store).unwrap();
        for step in &steps {
            if let Some(fail_after) = step.fail_after {
                store.fail_at(store.operations() + fail_after);
            }
            let mut next = world.clone();
            let result = checkpoint(&mut catalog, step, &mut next);
            let crashed = crash(&store, step.keep % 16);
            if result.is_ok() {
                world = next.clone();
            }
            let (reopened, found) = World::read(&crashed).unwrap();
            prop_assert!(found == world || found == next);
            // Without a failure every other step goes on in the same process.
            if result.is_err() || step.seed % 2 == 0 {
                (store, catalog, world) = (crashed, reopened, found);
            }
        }
        assert_nothing_leaks(&crash(&store, 1), world);
    }
}
