//! S3: a token names the leases of one delivery, is never used again, and grows.

use std::collections::HashMap;

use super::Findings;
use crate::facts::{Facts, Lease};
use crate::{Durability, Rule};

pub(super) fn check(facts: &Facts<'_>, findings: &mut Findings) {
    let mut by_token: Vec<&Lease<'_>> = facts.jobs.iter().flat_map(|job| &job.leases).collect();
    by_token.sort_by_key(|lease| (lease.seen.token, lease.at));
    for same in by_token.chunk_by(|a, b| a.seen.token == b.seen.token) {
        findings.checked(Rule::S3);
        for lease in &same[1..] {
            reused(facts, same[0], lease, findings);
        }
        let mut jobs: Vec<(u64, usize)> = same.iter().map(|l| (l.seen.job, l.at.line)).collect();
        jobs.sort_unstable();
        for twice in jobs.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
            let expected = "every lease of a job has a token of its own";
            let found = format!("job {} was delivered twice under one", twice[0].0);
            findings.broken(Rule::S3, expected, found, vec![twice[0].1, twice[1].1]);
        }
    }
    grow(facts, findings);
}

/// One delivery goes to one client, at one time.
fn reused(facts: &Facts<'_>, first: &Lease<'_>, lease: &Lease<'_>, findings: &mut Findings) {
    let token = first.seen.token;
    let late = facts.before(lease.at.at_ms) > first.at.at_ms;
    if lease.seen.client != first.seen.client || late {
        let expected = format!("token {token} names one delivery");
        let found = "it came with two";
        findings.broken(
            Rule::S3,
            expected,
            found,
            vec![first.at.line, lease.at.line],
        );
    }
}

/// Of two leases of a queue, the one that was certainly given later has the larger token. Tokens
/// of `memory` jobs are numbered apart.
fn grow(facts: &Facts<'_>, findings: &mut Findings) {
    let mut queues: HashMap<(&str, Durability), Vec<&Lease<'_>>> = HashMap::new();
    for job in &facts.jobs {
        if let (Some(push), Some(kind)) = (facts.push_of(job), facts.kind_of(job)) {
            let key = (push.what.queue.as_str(), kind);
            queues.entry(key).or_default().extend(&job.leases);
        }
    }
    let mut queues: Vec<_> = queues.into_iter().collect();
    queues.sort_unstable_by_key(|(key, _)| *key);
    for (_, mut leases) in queues {
        leases.sort_by_key(|lease| lease.at);
        let mut highest: Option<&Lease<'_>> = None;
        let mut settled = 0;
        for lease in &leases {
            while facts.before(lease.at.at_ms) > leases[settled].at.at_ms {
                let is_higher = highest.is_none_or(|h| h.seen.token < leases[settled].seen.token);
                highest = if is_higher {
                    Some(leases[settled])
                } else {
                    highest
                };
                settled += 1;
            }
            // Two leases of the same job are compared where its leases are.
            if let Some(before) =
                highest.filter(|h| h.seen.token > lease.seen.token && h.seen.job != lease.seen.job)
            {
                let expected = "tokens grow with each lease";
                let found = format!(
                    "job {} got token {} after job {} had got {}",
                    lease.seen.job, lease.seen.token, before.seen.job, before.seen.token
                );
                findings.broken(
                    Rule::S3,
                    expected,
                    found,
                    vec![before.at.line, lease.at.line],
                );
            }
        }
    }
}
