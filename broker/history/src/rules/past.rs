//! S3, S4 and S7 from one section of a long history to the next: all jobs of an earlier section
//! had come to their end, so none of them comes back, its id is not given to another, and the
//! tokens go on where they were.

use super::Findings;
use crate::facts::{Facts, Origin, Track};
use crate::{Past, Rule};

pub(super) fn check(facts: &Facts<'_>, findings: &mut Findings) {
    let past = facts.past;
    if past.is_empty() {
        return;
    }
    for job in &facts.jobs {
        match job.origin {
            Some(origin) => given_again(facts, past, job, origin, findings),
            None => ran_again(past, job, findings),
        }
    }
    dead_again(facts, past, findings);
}

/// An id of a push of this section.
fn given_again(
    facts: &Facts<'_>,
    past: &Past,
    job: &Track<'_>,
    origin: Origin,
    findings: &mut Findings,
) {
    findings.checked(Rule::S7);
    if past.had_job(job.id) {
        let expected = "every job gets an id of its own";
        let found = format!(
            "a push was answered with id {} of an earlier section",
            job.id
        );
        let lines = facts.pushes[origin.push].lines();
        findings.broken(Rule::S7, expected, found, lines);
        return;
    }
    let Some(most) = facts.kind_of(job).and_then(|kind| past.token_most(kind)) else {
        return;
    };
    findings.checked(Rule::S3);
    // The first of them is the one with the smallest token.
    if let Some(lease) = job.leases.first().filter(|lease| lease.seen.token <= most) {
        let expected = format!("tokens grow: an earlier section had {most}");
        let found = format!("job {} got token {}", job.id, lease.seen.token);
        findings.broken(Rule::S3, expected, found, vec![lease.at.line]);
    }
}

/// A job that no push of this section brought.
fn ran_again(past: &Past, job: &Track<'_>, findings: &mut Findings) {
    let Some(lease) = job.leases.first() else {
        return;
    };
    findings.checked(Rule::S4);
    if past.had_job(job.id) {
        let expected = format!("job {} came to its end in an earlier section", job.id);
        let found = format!("it was delivered again to client {}", lease.seen.client);
        findings.broken(Rule::S4, expected, found, vec![lease.at.line]);
    }
}

/// The dead of an earlier section had been removed.
fn dead_again(facts: &Facts<'_>, past: &Past, findings: &mut Findings) {
    let Some((drained, ends)) = facts.world.drained else {
        return;
    };
    for id in ends.iter().flat_map(|end| &end.dead) {
        findings.checked(Rule::S4);
        if past.had_job(*id) {
            let expected = format!("job {id} was gone at the end of an earlier section");
            let lines = vec![drained.line];
            findings.broken(Rule::S4, expected, "it is dead in the end", lines);
        }
    }
}
