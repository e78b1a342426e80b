//! What a writer refuses, and what a reader sees while checkpoints go by.

use std::sync::Arc;

use super::world::{World, body};
use crate::store::{BlockRoom, MemoryStore, PAGE_BYTES_MAX, StoreError};

fn refused<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    let error = result.unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Refused { .. } | StoreError::TooLarge { .. }
        ),
        "{error}"
    );
    assert!(!error.is_final());
}

#[test]
fn nonsense_is_refused_and_changes_nothing() {
    let store = Arc::new(MemoryStore::new());
    let (mut catalog, _) = World::read(&store).unwrap();
    let mut writer = catalog.begin();
    let block = writer.add_block(&[body(10, 5), body(20, 5)]).unwrap();
    refused(writer.add_block(&[]));
    refused(writer.add_block(&[body(2, 5), body(1, 5)]));
    refused(writer.add_block(&[body(1, 40_000), body(2, 40_000)]));
    refused(writer.add_block(&[crate::store::Body {
        header_length: 6,
        ..body(1, 5)
    }]));
    refused(writer.add_page(2, 1, 1, b""));
    refused(writer.add_page(1, 2, 1, &vec![0; PAGE_BYTES_MAX + 1]));
    refused(writer.set_live(block.number, 3));
    refused(writer.set_live(99, 0));
    refused(writer.drop_block(99));
    refused(writer.drop_page(block.number));
    writer.commit(5, 50, b"").unwrap();
    let before = World::read(&store).unwrap().1;

    refused(catalog.begin().commit(4, 40, b""));
    let mut writer = catalog.begin();
    writer.add_block(&[body(15, 5)]).unwrap();
    refused(writer.commit(6, 60, b""));
    let mut writer = catalog.begin();
    writer.drop_block(block.number).unwrap();
    refused(writer.drop_block(block.number));
    refused(writer.set_live(block.number, 0));
    drop(writer);
    assert_eq!(World::read(&store).unwrap().1, before);
    catalog.begin().commit(6, 60, b"").unwrap();
    assert_eq!(store.pairs().len(), World::read(&store).unwrap().1.values());
}

#[test]
fn a_reader_tells_a_drop_from_a_loss() {
    let store = Arc::new(MemoryStore::new());
    let (mut catalog, _) = World::read(&store).unwrap();
    let reader = catalog.reader();
    let mut writer = catalog.begin();
    let bodies = [body(1, 10), body(4, 20)];
    let block = writer.add_block(&bodies).unwrap();
    let page = writer.add_page(1, 4, 2, b"page").unwrap();
    // Before the commit it is there for whoever knows the number.
    assert_eq!(reader.read_block(block.number, 1).unwrap(), bodies);
    writer.commit(1, 10, b"").unwrap();
    assert_eq!(reader.read_page(page.number).unwrap(), "page");
    let wrong_parts = reader.read_block(block.number, 2).unwrap_err();
    assert!(matches!(wrong_parts, StoreError::Damaged { .. }));

    let mut writer = catalog.begin();
    writer.drop_block(block.number).unwrap();
    writer.drop_page(page.number).unwrap();
    assert_eq!(reader.read_block(block.number, 1).unwrap(), bodies);
    writer.commit(2, 20, b"").unwrap();
    for error in [
        reader.read_block(block.number, 1).unwrap_err(),
        reader.read_page(page.number).unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::Dropped { .. }), "{error}");
        assert!(!error.is_final());
    }
}

#[test]
fn a_decoded_block_is_slices_of_one_buffer() {
    let store = Arc::new(MemoryStore::new());
    let (mut catalog, _) = World::read(&store).unwrap();
    let reader = catalog.reader();
    let mut writer = catalog.begin();
    let block = writer
        .add_block(&[body(1, 100), body(2, 0), body(7, 50)])
        .unwrap();
    let bodies = reader.read_block(block.number, 1).unwrap();
    let start = bodies[0].bytes.as_ptr() as usize;
    assert_eq!(bodies[2].bytes.as_ptr() as usize, start + 100);
}

#[test]
fn what_the_room_takes_the_block_takes() {
    for length in [
        0,
        1,
        127,
        128,
        300,
        5_000,
        21_000,
        32_700,
        65_490,
        65_512,
        65_536,
        1 << 20,
    ] {
        let mut room = BlockRoom::new();
        let bodies: Vec<_> = (0..)
            .map(|n| body(1 + n * (u64::MAX / 8_000), length))
            .take(7_000)
            .take_while(|body| room.take(body.bytes.len()))
            .collect();
        let store = Arc::new(MemoryStore::new());
        let (mut catalog, _) = World::read(&store).unwrap();
        let reader = catalog.reader();
        let mut writer = catalog.begin();
        let block = writer.add_block(&bodies).unwrap();
        assert!(block.parts <= 4 || length > 65_400, "{length}");
        assert_eq!(
            reader.read_block(block.number, block.parts).unwrap(),
            bodies
        );
    }
}

#[test]
fn bodies_are_packed_in_order() {
    let store = Arc::new(MemoryStore::new());
    let (mut catalog, _) = World::read(&store).unwrap();
    let bodies: Vec<_> = (1..=3_000)
        .map(|id| body(id, if id % 500 == 0 { 150_000 } else { 200 }))
        .collect();
    let mut writer = catalog.begin();
    let blocks = writer.add_bodies(&bodies).unwrap();
    let summary = writer.commit(1, 10, b"").unwrap();
    assert_eq!(summary.blocks, blocks.len());
    assert!(blocks.len() < 25, "{}", blocks.len());
    assert_eq!(blocks.iter().filter(|block| block.parts > 4).count(), 6);
    let reader = catalog.reader();
    let read: Vec<_> = blocks
        .iter()
        .flat_map(|block| reader.read_block(block.number, block.parts).unwrap())
        .collect();
    assert_eq!(read, bodies);
    let total: u64 = blocks.iter().map(|block| u64::from(block.bytes)).sum();
    assert!(summary.written_bytes > total);
}

#[test]
fn the_directory_of_ten_million_jobs_is_small() {
    use super::super::directory::Listing;
    use crate::store::{BlockMeta, PageMeta};

    // 200 bytes a body and 40 a record: 300 jobs a block, 1,500 a page.
    let blocks = (0..33_334_u64).map(|n| BlockMeta {
        number: n * 2 + 100_000,
        first_id: 10_000_000_000 + n * 300,
        last_id: 10_000_000_000 + n * 300 + 299,
        entries: 300,
        live: 250,
        bytes: 61_000,
        parts: 4,
    });
    let pages = (0..6_667_u64).map(|n| PageMeta {
        number: n * 9 + 100_000,
        first_id: 10_000_000_000 + n * 1_500,
        last_id: 10_000_000_000 + n * 1_500 + 1_499,
        records: 1_500,
        parts: 4,
    });
    let listing = Listing {
        pages: pages.collect(),
        blocks: blocks.collect(),
        ..Listing::default()
    };
    let bytes = listing.encode();
    assert!(bytes.len() < 600_000, "{}", bytes.len());
    assert_eq!(Listing::decode(&bytes).unwrap(), listing);
}
