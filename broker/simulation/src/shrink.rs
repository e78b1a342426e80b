//! From a run that went wrong to a smaller one that goes wrong, too: pieces of the plan are taken
//! away, first large ones, for as long as something is found (delta debugging, Zeller 2002).

use std::collections::BTreeSet;

use crate::plan::Plan;
use crate::run::run;

/// Runs that a shrinking takes at most.
const RUNS_MAX: usize = 400;

/// The smallest plan that was found which goes wrong in one of the same ways, and how many runs it
/// took.
#[must_use]
pub fn shrink(plan: &Plan, kinds: &BTreeSet<String>) -> (Plan, usize) {
    let mut smallest = plan.clone();
    let mut runs = 0;
    loop {
        let before = size(&smallest);
        smallest = without(smallest, kinds, &mut runs, |plan| &mut plan.faults);
        smallest = without(smallest, kinds, &mut runs, |plan| &mut plan.pushes);
        smallest = without(smallest, kinds, &mut runs, |plan| &mut plan.publishes);
        smallest = without(smallest, kinds, &mut runs, |plan| &mut plan.requests);
        smallest = without(smallest, kinds, &mut runs, |plan| &mut plan.durable);
        if size(&smallest) == before || runs >= RUNS_MAX {
            return (smallest, runs);
        }
    }
}

fn size(plan: &Plan) -> usize {
    let asked = plan.requests.len() + plan.durable.len();
    plan.faults.len() + plan.pushes.len() + plan.publishes.len() + asked
}

fn without<T: Clone>(
    plan: Plan,
    kinds: &BTreeSet<String>,
    runs: &mut usize,
    part: fn(&mut Plan) -> &mut Vec<T>,
) -> Plan {
    let mut plan = plan;
    let mut chunk = part(&mut plan).len().div_ceil(2);
    while chunk > 0 {
        let mut at = 0;
        while at < part(&mut plan).len() && *runs < RUNS_MAX {
            let mut smaller = plan.clone();
            let list = part(&mut smaller);
            let end = (at + chunk).min(list.len());
            list.drain(at..end);
            *runs += 1;
            if run(&smaller).kinds.is_disjoint(kinds) {
                at = end;
            } else {
                plan = smaller;
            }
        }
        chunk /= 2;
    }
    plan
}
