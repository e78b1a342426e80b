//! What callers and the driver share: one lock over everything that waits to be sent.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Waker;

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::sync::{Semaphore, broadcast};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::batch::PushQueue;
use crate::builder::Config;
use crate::call::Command;
use crate::error::ClientError;
use crate::events::ConnectionEvent;
use crate::keep_alive::Kept;
use crate::settle::SettleQueue;

/// Calls without an answer (administration, reserve, subscribe) at one time.
const CALLS_MAX: usize = 1_024;
/// Events kept for a receiver that is slow.
const EVENTS_KEPT: usize = 64;

/// Everything that waits for the driver.
pub(crate) struct Pending {
    pub(crate) pushes: PushQueue,
    pub(crate) settles: SettleQueue,
    /// Bounded by the permits of `Shared::calls` and by subscriptions.
    pub(crate) commands: VecDeque<Command>,
    /// Requests and replies among them.
    pub(crate) wishes: usize,
    /// Leases that are touched without being asked.
    pub(crate) kept: FxHashMap<u64, Kept>,
    /// When the driver must look at deadlines and leases here at the latest.
    pub(crate) due: Option<Instant>,
    /// There while the driver sleeps.
    driver: Option<Waker>,
    /// Whether pushes are worth waking the driver for: not while it may not send any.
    driver_wants_pushes: bool,
    /// Set by `close`: until when what is unanswered may take.
    pub(crate) closing: Option<Instant>,
    /// Set when the driver has ended.
    pub(crate) closed: Option<ClientError>,
}

impl Pending {
    /// The driver goes to sleep.
    pub(crate) fn park_driver(&mut self, waker: &Waker, wants_pushes: bool) {
        self.driver_wants_pushes = wants_pushes;
        match &mut self.driver {
            Some(known) => known.clone_from(waker),
            none @ None => *none = Some(waker.clone()),
        }
    }

    /// The driver is awake: nobody needs to wake it.
    pub(crate) fn driver_awake(&mut self) {
        self.driver = None;
    }

    pub(crate) fn wake_driver(&mut self) {
        if let Some(waker) = self.driver.take() {
            waker.wake();
        }
    }

    /// After a push: the waker to call once the lock is free.
    pub(crate) fn driver_for_push(&mut self) -> Option<Waker> {
        if self.driver_wants_pushes {
            self.driver.take()
        } else {
            None
        }
    }

    /// Makes sure that the driver looks at `at`.
    pub(crate) fn lower_due(&mut self, at: Instant) {
        if self.due.is_none_or(|due| at < due) {
            self.due = Some(at);
            self.wake_driver();
        }
    }
}

/// Shared by the client's handles and its driver.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) pending: Mutex<Pending>,
    /// Bytes of pushes that may be unanswered, as permits.
    pub(crate) budget: Semaphore,
    /// Calls that may be unanswered.
    pub(crate) calls: Semaphore,
    /// Places among the calls about requests of durability `disk`.
    pub(crate) results: Semaphore,
    /// How many partitions topics have, as the broker said last; for those with keyed publishes.
    pub(crate) partitions: Mutex<FxHashMap<String, u32>>,
    /// Which connection this is, counted from 1; grows when one is lost.
    pub(crate) generation: AtomicU64,
    pub(crate) events: broadcast::Sender<ConnectionEvent>,
    /// The close timeout passed before everything was answered.
    pub(crate) close_overdue: AtomicBool,
    /// Cancelled when the driver has ended.
    pub(crate) finished: CancellationToken,
    numbers: AtomicU64,
}

impl Shared {
    pub(crate) fn new(config: Config) -> Arc<Self> {
        let pending = Pending {
            pushes: PushQueue::new(),
            settles: SettleQueue::default(),
            commands: VecDeque::new(),
            wishes: 0,
            kept: FxHashMap::default(),
            due: None,
            driver: None,
            driver_wants_pushes: false,
            closing: None,
            closed: None,
        };
        Arc::new(Self {
            budget: Semaphore::new(config.push_bytes_max as usize),
            calls: Semaphore::new(CALLS_MAX),
            results: Semaphore::new(verteilt_protocol::limits::REQUESTS_OPEN_MAX),
            config,
            pending: Mutex::new(pending),
            partitions: Mutex::default(),
            generation: AtomicU64::new(0),
            events: broadcast::channel(EVENTS_KEPT).0,
            close_overdue: AtomicBool::new(false),
            finished: CancellationToken::new(),
            numbers: AtomicU64::new(1),
        })
    }

    /// A number that this client has not used: of a call, a subscription, an upload, a kept lease.
    pub(crate) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Hands a command to the driver.
    pub(crate) fn command(&self, command: Command) -> Result<(), ClientError> {
        let mut pending = self.pending.lock();
        if let Some(error) = &pending.closed {
            return Err(error.clone());
        }
        pending.commands.push_back(command);
        pending.wake_driver();
        Ok(())
    }

    /// Nobody receives events: that is no fault.
    pub(crate) fn tell(&self, event: ConnectionEvent) {
        let _ = self.events.send(event);
    }

    /// Why nothing can be asked of this client any more.
    pub(crate) fn closed(&self) -> ClientError {
        self.pending
            .lock()
            .closed
            .clone()
            .unwrap_or(ClientError::Closed)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
