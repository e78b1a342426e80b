//! What the broker stands on: a journal and a store in memory that outlive it, lose what a crash
//! loses, and fail when they are told to.

use std::sync::Arc;

use verteilt_broker::bare::{BareBroker, Ground, Workers};
use verteilt_broker::journal::{Crash, Journal as _, MemoryDisk, MemoryJournal};
use verteilt_broker::space::Space;
use verteilt_broker::store::{KeyVisitor, MemoryStore, PairVisitor, Store, StoreError};
use verteilt_broker::{BrokerConfig, StartError};

use crate::baton;
use crate::dice::Dice;
use crate::room::{Filling, Room};
use crate::workshop::SlowHands;

/// The wall clock when a simulation begins.
pub(crate) const EPOCH_MS: u64 = 1_800_000_000_000;

/// The disk of one simulated machine.
#[derive(Debug)]
pub(crate) struct Machine {
    config: BrokerConfig,
    dice: Dice,
    journal: MemoryDisk,
    store: Arc<MemoryStore>,
    pub(crate) room: Room,
    /// The broker asks how much room there is.
    is_bounded: bool,
    hands: SlowHands,
    write_ms_max: u64,
    /// By how much it was set since.
    pub(crate) wall_offset_ms: i64,
}

/// The store of a running broker: its steps can be interrupted.
struct Steps {
    store: Arc<MemoryStore>,
    room: Room,
}

impl Steps {
    fn step() -> Result<(), StoreError> {
        baton::pause().map_err(|_| StoreError::Failed {
            reason: "the process was killed".into(),
        })
    }

    /// What stood under this key makes room for so many bytes; without room for them the next
    /// operation fails.
    fn hold(&self, key: &[u8], more: u64) -> Result<(), StoreError> {
        let old = self.store.get(key)?;
        let less = old.map_or(0, |old| (key.len() + old.len()) as u64);
        if !self.room.hold(more, less) {
            self.store.fail_at(self.store.operations());
        }
        Ok(())
    }
}

impl Store for Steps {
    fn get(&self, key: &[u8]) -> Result<Option<bytes::Bytes>, StoreError> {
        self.store.get(key)
    }

    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        Self::step()?;
        let more = (key.len() + value.len()) as u64;
        self.hold(key, more)?;
        self.store.put(key, value)
    }

    fn delete(&self, key: &[u8]) -> Result<(), StoreError> {
        Self::step()?;
        self.hold(key, 0)?;
        self.store.delete(key)
    }

    fn scan(&self, prefix: &[u8], visit: &mut PairVisitor<'_>) -> Result<(), StoreError> {
        self.store.scan(prefix, visit)
    }

    fn keys(
        &self,
        prefix: &[u8],
        from: &[u8],
        visit: &mut KeyVisitor<'_>,
    ) -> Result<(), StoreError> {
        self.store.keys(prefix, from, visit)
    }

    fn flush(&self) -> Result<(), StoreError> {
        Self::step()?;
        self.store.flush()?;
        Self::step()
    }

    fn disk_bytes(&self) -> u64 {
        self.room.file_bytes()
    }
}

impl Machine {
    pub(crate) fn new(
        config: BrokerConfig,
        write_ms_max: u64,
        is_bounded: bool,
        dice: Dice,
    ) -> Self {
        let mut dice = dice;
        Self {
            journal: MemoryDisk::new(config.segment_bytes),
            store: Arc::default(),
            room: Room::new(config.disk_reserve_bytes, config.segment_bytes.into()),
            is_bounded,
            hands: SlowHands::new(Dice::new(dice.next()), write_ms_max),
            write_ms_max,
            config,
            dice,
            wall_offset_ms: 0,
        }
    }

    /// Starts the broker on what is there; with `fails_at`, the store fails at that operation from
    /// now, if the start gets so far.
    pub(crate) fn start(
        &mut self,
        elapsed_ms: u64,
        fails_at: Option<u64>,
    ) -> Result<BareBroker, StartError> {
        if let Some(operation) = fails_at {
            self.store.fail_at(self.store.operations() + operation);
        }
        self.hands = SlowHands::new(Dice::new(self.dice.next()), self.write_ms_max);
        let (journal, recovered) = MemoryJournal::open(&self.journal);
        let wall_ms = EPOCH_MS + elapsed_ms;
        let held_bytes = self.store.disk_bytes();
        self.room
            .found(self.journal.clone(), journal.log(), held_bytes);
        let (disk, room) = (self.journal.clone(), self.room.clone());
        let space = Arc::new(self.room.clone()) as Arc<dyn Space>;
        let ground = Ground {
            store: Arc::new(Steps {
                store: Arc::clone(&self.store),
                room: self.room.clone(),
            }),
            journal: Box::new(Filling {
                journal,
                disk,
                room,
            }),
            recovered,
            space: self.is_bounded.then_some(space),
            broker_id: [7; 16],
            wall_ms: wall_ms.saturating_add_signed(self.wall_offset_ms),
            workers: Workers::Workshop(Arc::new(self.hands.clone())),
        };
        BareBroker::open(&self.config, ground)
    }

    /// The next write or sync of the journal but `n` fails.
    pub(crate) fn fail_journal(&self, n: u64, sync: bool) {
        if sync {
            self.journal.fail_sync(n + 1);
        } else {
            self.journal.fail_append(n + 1);
        }
    }

    /// The store's operation but `n` from now fails.
    pub(crate) fn fail_store(&self, n: u64) {
        self.store.fail_at(self.store.operations() + n);
    }

    /// The process is gone. What it had handed to the system stays, and of the write that was under
    /// way any part; with the power gone, of what was not synced any part.
    ///
    /// Call this before the broker's tasks are dropped.
    pub(crate) fn crash(&mut self, power: bool) {
        if let Some(writing) = self.hands.interrupted()
            && self.dice.percent(70)
        {
            self.journal.fail_sync(1);
            writing();
        }
        let how = match self.dice.below(3) {
            0 => Crash::Keep,
            1 => Crash::Drop,
            _ => Crash::Tear {
                bytes: self.dice.below(4_096) as u32,
            },
        };
        self.journal.crash(how);
        let pending = self.store.pending();
        let dice = &mut self.dice;
        // Of a killed process the system has the beginning of what it wrote.
        let prefix = dice.below(pending as u64 + 1) as usize;
        let chaos = power && dice.percent(70);
        let survivor = self
            .store
            .crash(|at| if chaos { dice.percent(50) } else { at < prefix });
        self.store = Arc::new(survivor);
    }
}
