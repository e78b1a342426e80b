//! S2: what comes out went in, byte for byte and with its attributes. A body that comes out as more
//! jobs than went in is S7 where a producer's number should have prevented it.

use std::collections::HashMap;

use super::Findings;
use crate::facts::{At, Facts, Fate, Lease, Origin, Submission, Track};
use crate::{Body, Durability, Rule};

type ByBody<'f, 'h> = HashMap<(&'h str, Body), &'f Submission<'h>>;

pub(super) fn check(facts: &Facts<'_>, findings: &mut Findings) {
    let mut by_body: ByBody<'_, '_> = HashMap::new();
    for push in &facts.pushes {
        for body in &push.what.bodies {
            let first = by_body.entry((&push.what.queue, *body)).or_insert(push);
            // Rather a push that may have been taken than one that was not.
            if first.fate == Fate::Refused {
                *first = push;
            }
        }
    }
    for job in &facts.jobs {
        if let Some(origin) = job.origin {
            for lease in &job.leases {
                findings.checked(Rule::S2);
                compare(facts, job, origin, lease, findings);
            }
        } else if let Some(lease) = job.leases.first().filter(|_| !facts.past.had_job(job.id)) {
            // One that an earlier section had is S4 there.
            findings.checked(Rule::S2);
            stranger(facts, job, lease, &by_body, findings);
        }
    }
}

fn compare(
    facts: &Facts<'_>,
    job: &Track<'_>,
    origin: Origin,
    lease: &Lease<'_>,
    findings: &mut Findings,
) {
    let (push, seen) = (&facts.pushes[origin.push], lease.seen);
    let id = job.id;
    let mut differs = |expected: String, found: String| {
        let lines = push.lines().into_iter().chain([lease.at.line]).collect();
        findings.broken(Rule::S2, expected, found, lines);
    };
    let body = push.what.bodies[origin.index];
    if seen.body != body {
        differs(
            format!("job {id} has the body it was pushed with: {body:?}"),
            format!("it was delivered with {:?}", seen.body),
        );
    }
    if seen.queue != push.what.queue {
        differs(
            format!("job {id} stays in queue {}", push.what.queue),
            format!("it was delivered from {}", seen.queue),
        );
    }
    if !origin.sure {
        return;
    }
    let lease_ms = match push.what.lease_ms {
        0 => facts.options.lease_ms_default,
        asked => asked,
    };
    if seen.lease_ms != lease_ms {
        differs(
            format!("job {id} is leased for {lease_ms} ms"),
            format!("it was delivered for {} ms", seen.lease_ms),
        );
    }
    if lease.at < push.invoked {
        differs(
            format!("job {id} is delivered after its push began"),
            "it was delivered before".into(),
        );
    }
}

/// A job that belongs to no push.
fn stranger(
    facts: &Facts<'_>,
    job: &Track<'_>,
    lease: &Lease<'_>,
    by_body: &ByBody<'_, '_>,
    findings: &mut Findings,
) {
    let (id, line) = (job.id, lease.at.line);
    let expected = "every job delivered comes from a push that was or may have been taken";
    let Some(push) = by_body.get(&(lease.seen.queue.as_str(), lease.seen.body)) else {
        let found = format!("nobody pushed what came as job {id}");
        findings.broken(Rule::S2, expected, found, vec![line]);
        return;
    };
    if was_forgotten(facts, push) {
        return;
    }
    let lines = push.lines().into_iter().chain([line]).collect();
    if push.fate == Fate::Refused {
        let found = format!("the push of job {id} was refused");
        findings.broken(Rule::S2, expected, found, lines);
    } else if push.what.producer.is_some() {
        let expected = "a push with a producer's number is taken once";
        let found = format!("what it brought came once more, as job {id}");
        findings.broken(Rule::S7, expected, found, lines);
    } else {
        let found = format!("job {id} is one more than was pushed with its body");
        findings.broken(Rule::S2, expected, found, lines);
    }
}

/// A `memory` push whose broker went before it answered: what was taken is forgotten, its number,
/// too, so that sent again it is taken again.
fn was_forgotten(facts: &Facts<'_>, push: &Submission<'_>) -> bool {
    let answered = push.answers.last().map(|answer| answer.at);
    let unanswered = |stop: &At| push.invoked < *stop && answered.is_none_or(|at| *stop < at);
    push.fate != Fate::Refused
        && push.durability() == Durability::Memory
        && facts.world.stops.iter().any(unanswered)
}
