//! S3: who lost a lease cannot settle it.

use std::collections::HashMap;

use super::Findings;
use super::ended::has_run_out;
use super::overlap::{ends_around, lease_of};
use crate::Rule;
use crate::facts::{At, Facts, Settle, Track};

pub(super) fn check(facts: &Facts<'_>, job: &Track<'_>, findings: &mut Findings) {
    if job.settles.is_empty() {
        return;
    }
    let first_seen = seen_behind(job);
    let mut ended: HashMap<u64, At> = HashMap::new();
    for settle in &job.settles {
        if settle.is_ok() && settle.ends_lease() {
            let at = settle.ended.unwrap_or(settle.invoked);
            let first = ended.entry(settle.token).or_insert(at);
            *first = at.min(*first);
        }
    }
    for settle in job.settles.iter().filter(|settle| settle.is_ok()) {
        findings.checked(Rule::S3);
        let behind = job.leases.partition_point(|l| l.seen.token <= settle.token);
        let later = first_seen.get(behind).filter(|at| **at < settle.invoked);
        let twice = ended.get(&settle.token).filter(|at| **at < settle.invoked);
        if let Some(at) = later {
            let found = "it settled it with an older token, when a later lease was out";
            report(job, settle, found, *at, findings);
        } else if let Some(at) = twice {
            report(
                job,
                settle,
                "it settled a lease that had been settled",
                *at,
                findings,
            );
        } else {
            without_lease(facts, job, settle, findings);
        }
    }
}

/// For each lease, when the first of it and the later ones was seen.
fn seen_behind(job: &Track<'_>) -> Vec<At> {
    let mut seen: Vec<At> = job.leases.iter().map(|lease| lease.at).collect();
    for index in (1..seen.len()).rev() {
        seen[index - 1] = seen[index - 1].min(seen[index]);
    }
    seen
}

fn without_lease(facts: &Facts<'_>, job: &Track<'_>, settle: &Settle, findings: &mut Findings) {
    let Some(lease) = lease_of(job, settle.client, settle.token) else {
        let found = "it never had this lease";
        report(job, settle, found, settle.invoked, findings);
        return;
    };
    let lost = job.lost.iter().find(|lost| {
        lost.token == settle.token && lost.client == settle.client && lost.at < settle.invoked
    });
    if let Some(lost) = lost.filter(|lost| !ends_around(facts, lease, lost)) {
        let found = "it settled a lease that it had been told was over";
        report(job, settle, found, lost.at, findings);
    } else if has_run_out(facts, job, lease, settle) {
        let found = "it settled a lease that had run out";
        report(job, settle, found, lease.at, findings);
    }
}

fn report(job: &Track<'_>, settle: &Settle, found: &str, shown: At, findings: &mut Findings) {
    let (id, client) = (job.id, settle.client);
    let expected = format!("client {client} is refused: it does not hold job {id}");
    let lines = settle.lines().into_iter().chain([shown.line]).collect();
    findings.broken(Rule::S3, expected, found, lines);
}
