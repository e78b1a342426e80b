//! The history of requests while it is written.

use parking_lot::Mutex;
use verteilt_history::RequestRecord;

use crate::world::World;

/// Keeps what is told, with the times.
#[derive(Debug, Default)]
pub(crate) struct RequestBook(Mutex<Pages>);

#[derive(Debug, Default)]
struct Pages {
    records: Vec<RequestRecord>,
    at_ms: Option<u64>,
    open: u64,
    numbers: u64,
}

/// Names of the services, by number.
pub(crate) fn service_name(number: u64) -> &'static str {
    ["cart", "price", "stock"][number as usize]
}

impl RequestBook {
    pub(crate) fn record(&self, at_ms: u64, record: RequestRecord) {
        let mut pages = self.0.lock();
        if pages.at_ms != Some(at_ms) {
            pages.at_ms = Some(at_ms);
            pages.records.push(RequestRecord::Time { at_ms });
        }
        pages.records.push(record);
    }

    /// Requests that somebody waits for.
    pub(crate) fn open(&self) -> u64 {
        self.0.lock().open
    }

    /// One that was never given before.
    pub(crate) fn next_number(&self) -> u64 {
        let mut pages = self.0.lock();
        pages.numbers += 1;
        pages.numbers
    }

    pub(crate) fn finish(&self) -> Vec<RequestRecord> {
        std::mem::take(&mut self.0.lock().records)
    }
}

/// A caller that waits.
pub(crate) struct Waiting {
    world: World,
    given_up: Option<RequestRecord>,
}

impl Waiting {
    /// `given_up` is what is told if this is dropped before it is over.
    pub(crate) fn new(world: &World, given_up: RequestRecord) -> Self {
        world.requests.0.lock().open += 1;
        Self {
            world: world.clone(),
            given_up: Some(given_up),
        }
    }

    /// Nothing more comes behind this.
    pub(crate) fn over(mut self, how: RequestRecord) {
        self.given_up = None;
        self.world.tell_request(how);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.world.requests.0.lock().open -= 1;
        if let Some(given_up) = self.given_up.take() {
            self.world.tell_request(given_up);
        }
    }
}
