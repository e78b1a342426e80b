//! Many seeds on several threads, until all are done or one has found something.

use parking_lot::Mutex;

use crate::plan::Plan;
use crate::run::{Outcome, run};

/// Which seeds, and how.
#[derive(Clone, Copy, Debug)]
pub struct Campaign {
    /// The first seed.
    pub first: u64,
    /// How many.
    pub seeds: u64,
    /// Runs at a time.
    pub threads: usize,
    /// One in so many runs is made twice, and must be the same; 0: none.
    pub repeat: u64,
    /// Seeds without requests of durability `disk` are passed over, and do not count.
    pub durable_only: bool,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Runs with different seeds.
    pub runs: u64,
    /// Runs that were made a second time.
    pub repeated: u64,
    /// Pushes and settlings.
    pub operations: u64,
    /// Those of the run that had the fewest.
    pub operations_min: u64,
    /// Jobs whose push was acknowledged.
    pub acknowledged: u64,
    /// Jobs that came to a worker.
    pub deliveries: u64,
    /// Kills and power cuts.
    pub crashes: u64,
    /// Those of the run that had the fewest.
    pub crashes_min: u64,
}

/// A run that went wrong.
#[derive(Debug)]
pub struct Discovery {
    /// The plan that it played.
    pub plan: Plan,
    /// What became of it; the finding is here.
    pub outcome: Outcome,
}

impl Campaign {
    /// Runs it; `progress` is told after each run. Ends early with the first run that goes wrong.
    pub fn run(&self, progress: impl Fn(&Totals) + Sync) -> (Totals, Option<Box<Discovery>>) {
        let next = Mutex::new((0, self.first));
        let totals = Mutex::new(Totals {
            operations_min: u64::MAX,
            crashes_min: u64::MAX,
            ..Totals::default()
        });
        let discovery = Mutex::new(None);
        std::thread::scope(|scope| {
            for _ in 0..self.threads {
                scope.spawn(|| {
                    while discovery.lock().is_none() {
                        let Some((index, plan)) = self.next(&mut next.lock()) else {
                            return;
                        };
                        let again = self.repeat > 0 && index.is_multiple_of(self.repeat);
                        match one(plan, again) {
                            Ok(outcome) => progress(&totals.lock().add(&outcome, again)),
                            Err(found) => *discovery.lock() = Some(found),
                        }
                    }
                });
            }
        });
        (totals.into_inner(), discovery.into_inner())
    }

    /// How many runs were before it, and its plan; `at` is that number and the next seed.
    fn next(&self, at: &mut (u64, u64)) -> Option<(u64, Plan)> {
        let (index, mut seed) = *at;
        if index >= self.seeds {
            return None;
        }
        let mut plan = Plan::of_seed(seed);
        while self.durable_only && !plan.has_durable_requests() {
            seed += 1;
            plan = Plan::of_seed(seed);
        }
        *at = (index + 1, seed + 1);
        Some((index, plan))
    }
}

fn one(plan: Plan, again: bool) -> Result<Outcome, Box<Discovery>> {
    let mut outcome = run(&plan);
    if again && outcome.findings.is_empty() {
        let second = run(&plan).fingerprint;
        if second != outcome.fingerprint {
            let first = outcome.fingerprint;
            let finding = format!("a second run differs: {first:016x}, then {second:016x}");
            outcome.findings.push(finding);
        }
    }
    if outcome.findings.is_empty() {
        Ok(outcome)
    } else {
        Err(Box::new(Discovery { plan, outcome }))
    }
}

impl Totals {
    fn add(&mut self, outcome: &Outcome, again: bool) -> Self {
        let counts = &outcome.counts;
        self.runs += 1;
        self.repeated += u64::from(again);
        self.operations += outcome.operations;
        self.operations_min = self.operations_min.min(outcome.operations);
        self.acknowledged += counts.pushes_acknowledged;
        self.deliveries += counts.deliveries;
        self.crashes += counts.kills;
        self.crashes_min = self.crashes_min.min(counts.kills);
        *self
    }
}
