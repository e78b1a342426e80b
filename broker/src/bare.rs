//! A broker without a listener and without a folder: what [`crate::Broker`], a program that embeds
//! one, and the simulator share. It stands on any journal and store, and serves any byte stream.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use crate::config::BrokerConfig;
use crate::engine::{self, EngineHandle, EngineParts, Failure, Inbound, RoomParts};
use crate::error::StartError;
use crate::journal::{Journal, Recovered};
use crate::net::{Gate, Welcome, serve};
use crate::recovery::{self, Opened};
use crate::space::{Gauge, Ruler, ShownRoom, Space};
use crate::store::Store;

pub use crate::engine::{Chore, ChoreDone, Workers, Workshop};

/// What a broker stands on.
pub struct Ground {
    /// Holds the checkpoints.
    pub store: Arc<dyn Store>,
    /// What an acknowledgement waits for.
    pub journal: Box<dyn Journal>,
    /// What the journal held when it was opened.
    pub recovered: Recovered,
    /// How much more of both there can be; `None`: there is always room.
    pub space: Option<Arc<dyn Space>>,
    /// Names the data; the same as long as the data is.
    pub broker_id: [u8; 16],
    /// The wall clock when it is opened, in milliseconds since 1970.
    pub wall_ms: u64,
    /// Who does the work that may block.
    pub workers: Workers,
}

impl fmt::Debug for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ground")
            .field("recovered", &self.recovered)
            .field("wall_ms", &self.wall_ms)
            .finish_non_exhaustive()
    }
}

/// A broker that has recovered and is about to run.
pub struct BareBroker {
    opened: Opened,
    door: Door,
    welcome: Welcome,
    workers: Workers,
    settings: engine::Settings,
    room: Option<RoomParts>,
    inbox: mpsc::Receiver<Inbound>,
}

impl fmt::Debug for BareBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BareBroker").finish_non_exhaustive()
    }
}

impl BareBroker {
    /// Recovers what is there. Blocks until then. Of the configuration, the folder and what is about
    /// listening are not used.
    ///
    /// # Errors
    /// [`StartError`]; nothing was changed then.
    pub fn open(config: &BrokerConfig, ground: Ground) -> Result<Self, StartError> {
        let (store, journal) = (ground.store, ground.journal);
        let room = ground.space.map(|space| Ruler {
            space,
            store: Arc::clone(&store),
            log: journal.log(),
        });
        let opened = recovery::assemble(config, store, journal, &ground.recovered, ground.wall_ms)?;
        let room = room.map(|ruler| look(config, ruler)).transpose()?;
        let (engine, inbox) = EngineHandle::new();
        let gate = Gate {
            engine,
            handshake_deadline: Duration::from_millis(config.handshake_deadline_ms),
            heartbeat: Duration::from_millis(u64::from(config.heartbeat_ms)),
            push_credit_bytes: config.push_credit_bytes,
            next: AtomicU64::new(1),
        };
        let welcome = Welcome {
            broker_id: ground.broker_id,
            heartbeat_ms: config.heartbeat_ms,
            push_credit_bytes: config.push_credit_bytes,
        };
        Ok(Self {
            opened,
            door: Door {
                gate: Arc::new(gate),
            },
            welcome,
            workers: ground.workers,
            settings: config.settings(),
            room,
            inbox,
        })
    }

    /// Has it show there how much room it has.
    pub(crate) fn show_room(&mut self, shown: ShownRoom) {
        if let Some(room) = &mut self.room {
            room.shown = shown;
        }
    }

    /// The way in.
    #[must_use]
    pub fn door(&self) -> Door {
        self.door.clone()
    }

    /// Serves until it is told to stop, on a tokio runtime with time enabled.
    ///
    /// # Errors
    /// Why it cannot keep its promises any longer. Nothing is acknowledged after that.
    ///
    /// # Cancel safety
    /// Dropped, it ends as by a kill: what was acknowledged is on the disk.
    pub async fn run(self) -> Result<(), Failure> {
        let opened = self.opened;
        let parts = EngineParts {
            engine: opened.engine,
            journal: opened.journal,
            follower: opened.follower,
            blocks: opened.blocks,
            clock: opened.clock,
            workers: self.workers,
            settings: self.settings,
            room: self.room,
            welcome: self.welcome,
            handle: self.door.gate.engine.clone(),
            inbox: self.inbox,
        };
        drop(self.door);
        engine::run(parts).await
    }
}

/// Looks at the disk for the first time, so that a start on a full one takes nothing in.
pub(crate) fn look(config: &BrokerConfig, ruler: Ruler) -> Result<RoomParts, StartError> {
    let measured = ruler.measure().map_err(|source| StartError::Folder {
        path: ruler.space.place().into(),
        what: "ask how much room the disk has",
        source,
    })?;
    let segment_bytes = u64::from(config.segment_bytes);
    Ok(RoomParts {
        ruler,
        gauge: Gauge::new(config.disk_reserve_bytes, segment_bytes, measured),
        shown: ShownRoom::default(),
    })
}

/// The way into a running broker. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Door {
    gate: Arc<Gate>,
}

impl Door {
    /// Serves one connection until either side ends it.
    pub async fn serve(&self, stream: impl AsyncRead + AsyncWrite + Send) {
        serve(Arc::clone(&self.gate), stream).await;
    }

    /// Asks it to stop: no new jobs in, no new leases, and work in flight may finish for `grace`.
    pub async fn stop(&self, grace: Duration) {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        // If the engine is gone it has ended already, which is what was asked.
        self.gate.engine.send(Inbound::Stop(grace_ms)).await;
    }

    /// Asks it to end without waiting for work in flight. Never blocks.
    pub(crate) fn stop_now(&self) {
        self.gate.engine.stop_now();
    }
}
