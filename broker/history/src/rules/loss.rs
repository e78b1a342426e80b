//! S1: what was acknowledged is done, dead or still there in the end.

use std::collections::{BTreeMap, BTreeSet};

use super::Findings;
use crate::facts::{Facts, Fate, Submission, Track};
use crate::{Durability, QueueEnd, Rule};

/// Jobs named in one violation.
const NAMED_MAX: usize = 10;

pub(super) fn check(facts: &Facts<'_>, findings: &mut Findings) {
    for push in &facts.pushes {
        let weaker =
            |reached| push.what.durability == Durability::Disk && reached < Durability::Disk;
        for answer in &push.answers {
            findings.checked(Rule::S1);
            if weaker(answer.pushed.durability) {
                findings.broken(
                    Rule::S1,
                    "a push that asks for the disk is acknowledged when it is there",
                    "it was acknowledged at level memory",
                    push.lines(),
                );
            }
        }
    }
    if let Some((_, ends)) = facts.world.drained {
        account(facts, ends, findings);
    }
}

/// What is missing in each queue may be at most what is left there.
fn account(facts: &Facts<'_>, ends: &[QueueEnd], findings: &mut Findings) {
    let dead: BTreeSet<u64> = ends.iter().flat_map(|end| &end.dead).copied().collect();
    let mut missing: BTreeMap<&str, Vec<(&Track<'_>, &Submission<'_>)>> = BTreeMap::new();
    for job in &facts.jobs {
        let Some(push) = facts.push_of(job) else {
            continue;
        };
        if push.fate != Fate::Acknowledged || may_be_lost(facts, push) {
            continue;
        }
        findings.checked(Rule::S1);
        if !job.may_be_done() && !dead.contains(&job.id) {
            missing
                .entry(&push.what.queue)
                .or_default()
                .push((job, push));
        }
    }
    for (queue, jobs) in missing {
        let of_queue = ends.iter().filter(|end| end.queue == queue);
        let left: u64 = of_queue.map(QueueEnd::unfinished).sum();
        if jobs.len() as u64 > left {
            report(queue, &jobs, left, findings);
        }
    }
}

/// A `memory` push is gone when the broker stops.
fn may_be_lost(facts: &Facts<'_>, push: &Submission<'_>) -> bool {
    let stopped = facts.world.stops.last();
    push.durability() == Durability::Memory && stopped.is_some_and(|at| *at > push.invoked)
}

fn report(queue: &str, jobs: &[(&Track<'_>, &Submission<'_>)], left: u64, findings: &mut Findings) {
    let expected = "an acknowledged job is acked, dead or present in the end";
    if left == 0 {
        for (job, push) in jobs {
            let found = format!("job {} of {queue} was acknowledged and is gone", job.id);
            let last = job.leases.iter().map(|lease| lease.at.line).max();
            let lines = push.lines().into_iter().chain(last).collect();
            findings.broken(Rule::S1, expected, found, lines);
        }
        return;
    }
    let named: Vec<u64> = jobs.iter().take(NAMED_MAX).map(|(job, _)| job.id).collect();
    let found = format!(
        "{} jobs of {queue} were never acked and {left} are left there; among them {named:?}",
        jobs.len()
    );
    let lines = jobs
        .iter()
        .take(NAMED_MAX)
        .flat_map(|(_, push)| push.lines());
    findings.broken(Rule::S1, expected, found, lines.collect());
}
