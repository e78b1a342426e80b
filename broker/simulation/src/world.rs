//! What everybody in a run shares.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use verteilt_client::ClientError;
use verteilt_history::{
    Delivered, Event, History, Operation, Pushed, Recorder, RequestRecord, TopicRecord,
};

use crate::chronicle::Chronicle;
use crate::network::Network;
use crate::plan::Plan;
use crate::request_book::RequestBook;

/// Cheap to clone.
pub(crate) type World = Arc<Shared>;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) plan: Plan,
    pub(crate) network: Network,
    /// What happened to topics.
    pub(crate) chronicle: Chronicle,
    /// What happened to requests.
    pub(crate) requests: RequestBook,
    recorder: Recorder,
    begun: Instant,
    healed: AtomicBool,
    operations: AtomicU64,
    settlings: AtomicU64,
}

/// A settling that a living worker waits for.
#[derive(Debug)]
pub(crate) struct OpenSettling(World);

impl Drop for OpenSettling {
    fn drop(&mut self) {
        self.0.settlings.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Names of the queues, by number.
pub(crate) fn queue_name(number: u64) -> &'static str {
    ["alpha", "beta", "gamma"][number as usize]
}

impl Shared {
    pub(crate) fn new(plan: Plan, network: Network) -> World {
        Arc::new(Self {
            plan,
            network,
            chronicle: Chronicle::default(),
            requests: RequestBook::default(),
            recorder: Recorder::default(),
            begun: Instant::now(),
            healed: AtomicBool::new(false),
            operations: AtomicU64::new(0),
            settlings: AtomicU64::new(0),
        })
    }

    /// Virtual time since the beginning.
    pub(crate) fn elapsed_ms(&self) -> u64 {
        self.begun.elapsed().as_millis() as u64
    }

    pub(crate) fn at(&self, ms: u64) -> Instant {
        self.begun + Duration::from_millis(ms)
    }

    /// Nothing is broken on purpose any more.
    pub(crate) fn heal(&self) {
        self.healed.store(true, Ordering::Relaxed);
        self.record(Event::FaultsStopped);
    }

    pub(crate) fn is_healed(&self) -> bool {
        self.healed.load(Ordering::Relaxed)
    }

    pub(crate) fn record(&self, event: Event) {
        self.recorder.record_at(self.elapsed_ms(), event);
    }

    /// Of topics.
    pub(crate) fn tell(&self, record: TopicRecord) {
        self.chronicle.record(self.elapsed_ms(), record);
    }

    pub(crate) fn tell_request(&self, record: RequestRecord) {
        self.requests.record(self.elapsed_ms(), record);
    }

    pub(crate) fn invoke(&self, client: u32, what: Operation) -> u64 {
        self.operations.fetch_add(1, Ordering::Relaxed);
        let operation = self.recorder.operation();
        self.record(Event::Invoke {
            client,
            operation,
            what,
        });
        operation
    }

    pub(crate) fn pushed(&self, operation: u64, pushed: Pushed) {
        let pushed = Some(pushed);
        self.record(Event::Ok { operation, pushed });
    }

    pub(crate) fn done(&self, operation: u64) {
        let pushed = None;
        self.record(Event::Ok { operation, pushed });
    }

    pub(crate) fn failed(&self, operation: u64, code: u32) {
        self.record(Event::Fail { operation, code });
    }

    /// An operation that was not done, or of which nobody knows.
    pub(crate) fn ended(&self, operation: u64, error: &ClientError) {
        match error {
            ClientError::Refused { number, .. } => self.failed(operation, *number),
            _ => self.record(Event::Info { operation }),
        }
    }

    pub(crate) fn delivered(&self, delivered: Delivered) {
        self.record(Event::Delivered(delivered));
    }

    /// Operations that were begun.
    pub(crate) fn operations(&self) -> u64 {
        self.operations.load(Ordering::Relaxed) + self.chronicle.operations()
    }

    /// Counts a settling until it is dropped.
    pub(crate) fn open_settling(self: &Arc<Self>) -> OpenSettling {
        self.settlings.fetch_add(1, Ordering::Relaxed);
        OpenSettling(Arc::clone(self))
    }

    /// Settlings that living workers wait for.
    pub(crate) fn settlings_open(&self) -> u64 {
        self.settlings.load(Ordering::Relaxed)
    }

    pub(crate) fn history(&self) -> History {
        self.recorder.finish()
    }
}
