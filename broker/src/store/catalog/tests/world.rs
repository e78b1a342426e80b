//! What a checkpoint should hold, read back and compared as one value.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::super::envelope::PAYLOAD_BYTES_MAX;
use crate::store::{Body, Catalog, MemoryStore, Snapshot, Store, StoreError};

/// All that a checkpoint holds, bodies and pages included.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct World {
    pub(super) lsn: u64,
    pub(super) ledger: Vec<u8>,
    /// By number: parts, how many live, bodies.
    pub(super) blocks: BTreeMap<u64, (u16, u32, Vec<Body>)>,
    /// By number.
    pub(super) pages: BTreeMap<u64, Vec<u8>>,
    /// By number.
    pub(super) records: BTreeMap<u64, Vec<u8>>,
}

impl World {
    /// Opens the store and reads everything in it.
    pub(super) fn read(store: &Arc<MemoryStore>) -> Result<(Catalog, Self), StoreError> {
        let (catalog, snapshot) = Catalog::open(Arc::clone(store) as Arc<dyn Store>, 3)?;
        let world = match snapshot {
            Some(snapshot) => Self::of(&catalog, &snapshot)?,
            None => Self::default(),
        };
        Ok((catalog, world))
    }

    fn of(catalog: &Catalog, snapshot: &Snapshot) -> Result<Self, StoreError> {
        let reader = catalog.reader();
        assert_eq!(snapshot.time_ms, snapshot.lsn * 10);
        let mut world = Self {
            lsn: snapshot.lsn,
            ledger: snapshot.ledger.to_vec(),
            ..Self::default()
        };
        for meta in &snapshot.blocks {
            let bodies = reader.read_block(meta.number, meta.parts)?;
            assert_eq!(bodies.len(), meta.entries as usize);
            assert_eq!(bodies[0].id, meta.first_id);
            assert_eq!(bodies[bodies.len() - 1].id, meta.last_id);
            assert!(
                world
                    .blocks
                    .insert(meta.number, (meta.parts, meta.live, bodies))
                    .is_none()
            );
        }
        for meta in &snapshot.pages {
            let page = reader.read_page(meta.number)?.to_vec();
            assert!(world.pages.insert(meta.number, page).is_none());
        }
        for meta in &snapshot.records {
            let records = reader.read_records(meta.number, meta.bytes)?.to_vec();
            assert!(world.records.insert(meta.number, records).is_none());
        }
        Ok(world)
    }

    /// How many values the store has to hold for it, no more and no less.
    pub(super) fn values(&self) -> usize {
        let ledger = self.ledger.len().div_ceil(PAYLOAD_BYTES_MAX);
        let blocks = self
            .blocks
            .values()
            .map(|(parts, ..)| usize::from(*parts))
            .sum::<usize>();
        // Manifest and directory, which is small here.
        let pages = self
            .pages
            .values()
            .chain(self.records.values())
            .map(|page| page.len().div_ceil(PAYLOAD_BYTES_MAX));
        2 + ledger + blocks + pages.sum::<usize>()
    }
}

/// A body whose bytes tell which job it belongs to.
pub(super) fn body(id: u64, length: usize) -> Body {
    let bytes = (0..length)
        .map(|at| (id as usize).wrapping_mul(31).wrapping_add(at * 7) as u8)
        .collect::<Vec<_>>();
    Body {
        id,
        header_length: length.min(5) as u32,
        bytes: Bytes::from(bytes),
    }
}

/// Random enough, and the same every time.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}
