//! The engine with a journal and a store in memory.

mod full;
mod paused;
mod recovered;
mod running;
mod topics;

use std::net::SocketAddr;
use std::sync::Arc;

use verteilt_core::{ConnectionId, QueueName, SessionId};

use crate::clock::wall_ms;
use crate::config::BrokerConfig;
use crate::journal::{MemoryDisk, MemoryJournal};
use crate::recovery::{Opened, assemble};
use crate::store::{MemoryStore, Store};

const ME: ConnectionId = ConnectionId(1);
const SESSION: SessionId = SessionId(7);
const SEGMENT_BYTES: u32 = 64 * 1024;

/// What stands for a data folder.
struct Memory {
    config: BrokerConfig,
    store: Arc<MemoryStore>,
    disk: MemoryDisk,
}

impl Memory {
    fn new() -> Self {
        let mut config = BrokerConfig::new("nowhere", SocketAddr::from(([127, 0, 0, 1], 0)));
        config.cache_bytes = 4 * 1024;
        config.checkpoint_bytes = 16 * 1024;
        // No lease ends by itself.
        config.resume_grace_ms = 1_000_000_000;
        Self {
            config,
            store: Arc::new(MemoryStore::new()),
            disk: MemoryDisk::new(SEGMENT_BYTES),
        }
    }

    fn open(&self) -> Opened {
        let (journal, recovered) = MemoryJournal::open(&self.disk);
        let store = Arc::clone(&self.store) as Arc<dyn Store>;
        assemble(
            &self.config,
            store,
            Box::new(journal),
            &recovered,
            wall_ms(),
        )
        .unwrap()
    }

    /// The store crashes: of what was not flushed, the dice decide what stays.
    fn lose(&mut self, mut keeps: impl FnMut() -> bool) {
        self.store = Arc::new(self.store.crash(|_| keeps()));
    }
}

fn queue() -> QueueName {
    QueueName {
        namespace: "n".into(),
        name: "q".to_owned(),
    }
}
