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

    pub(crate) fn finish(&self) -> Vec<RequestRecord> {
        std::mem::take(&mut self.0.lock().records)
    }
}

/// A caller that waits. Dropped before it heard anything, it gave up.
pub(crate) struct Waiting {
    world: World,
    request: u64,
    is_over: bool,
}

impl Waiting {
    pub(crate) fn new(world: &World, request: u64) -> Self {
        world.requests.0.lock().open += 1;
        Self {
            world: world.clone(),
            request,
            is_over: false,
        }
    }

    /// Nothing more comes behind this.
    pub(crate) fn over(mut self, how: RequestRecord) {
        self.is_over = true;
        self.world.tell_request(how);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.world.requests.0.lock().open -= 1;
        if !self.is_over {
            let request = self.request;
            self.world.tell_request(RequestRecord::GivenUp { request });
        }
    }
}
