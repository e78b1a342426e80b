//! What is counted of services for as long as the broker runs: unlike the counts of workers it does not
//! go with them.

use std::collections::BTreeMap;

use super::stats::{Histogram, ServerCounts};
use crate::command::QueueName;
use crate::effect::Refusal;

/// Services that are counted; those that come later are not.
const SERVICES_MAX: usize = 1_000;

/// The requests of a service since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceTotals {
    /// How those ended that its workers held.
    pub counts: ServerCounts,
    /// Refused before they stood in line.
    pub refused: u64,
    /// Those whose deadline fell in line.
    pub expired: u64,
    /// Those whose caller went while they stood in line.
    pub cancelled: u64,
    /// How long they waited for a worker.
    pub wait_us: Histogram,
    /// How long a worker held them until it answered or passed them on.
    pub run_us: Histogram,
}

impl ServiceTotals {
    /// Left the line without a worker.
    pub(super) fn left(&mut self, refusal: Refusal) {
        match refusal {
            Refusal::DeadlineExceeded => self.expired += 1,
            Refusal::Cancelled => self.cancelled += 1,
            _ => {}
        }
    }
}

/// Of all services that there were.
#[derive(Debug, Default)]
pub(super) struct Totals(BTreeMap<QueueName, ServiceTotals>);

impl Totals {
    pub(super) fn count(&mut self, name: &QueueName, count: impl FnOnce(&mut ServiceTotals)) {
        if let Some(totals) = self.0.get_mut(name) {
            count(totals);
        } else if self.0.len() < SERVICES_MAX {
            count(self.0.entry(name.clone()).or_default());
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&QueueName, &ServiceTotals)> {
        self.0.iter()
    }
}
