//! S3 and S5: a lease ends for a reason only. A job that another client gets while the first may
//! still work on it has two live leases (S3); without a second client it merely ran again, or was
//! taken away, for nothing (S5).

use super::Findings;
use super::ended::may_have_ended;
use crate::Rule;
use crate::facts::{End, Facts, Lease, Lost, Track, any_within};

/// LEASE_LOST, as an error code.
const LEASE_LOST: u32 = 301;

pub(super) fn check(facts: &Facts<'_>, job: &Track<'_>, findings: &mut Findings) {
    for pair in job.leases.windows(2) {
        if pair[0].seen.token < pair[1].seen.token {
            findings.checked(Rule::S3);
            findings.checked(Rule::S5);
            redelivered(facts, job, &pair[0], &pair[1], findings);
        }
    }
    for lost in &job.lost {
        if let Some(lease) = lease_of(job, lost.client, lost.token) {
            findings.checked(Rule::S5);
            taken_away(facts, job, lease, lost, findings);
        }
    }
    for settle in &job.settles {
        let (End::Refused(LEASE_LOST), Some(ended)) = (settle.end, settle.ended) else {
            continue;
        };
        let Some(lease) = lease_of(job, settle.client, settle.token) else {
            continue;
        };
        findings.checked(Rule::S5);
        if !was_leased_behind(job, lease) && !may_have_ended(facts, job, lease, ended) {
            let expected = format!("the lease of job {} goes on: nothing ended it", job.id);
            let found = "its holder was refused as if it were over";
            let lines = settle.lines().into_iter().chain([lease.at.line]);
            findings.broken(Rule::S5, expected, found, lines.collect());
        }
    }
}

fn redelivered(
    facts: &Facts<'_>,
    job: &Track<'_>,
    first: &Lease<'_>,
    second: &Lease<'_>,
    findings: &mut Findings,
) {
    let id = job.id;
    let lines = vec![first.at.line, second.at.line];
    if facts.before(first.at.at_ms) > second.at.at_ms {
        let expected = format!("the tokens of job {id} grow with each lease");
        let found = "the later one of two leases has the smaller token";
        findings.broken(Rule::S3, expected, found, lines);
    } else if !may_have_ended(facts, job, first, second.at) {
        let (from, to) = (first.seen.client, second.seen.client);
        if from == to {
            let expected = "a job runs again after its lease ended, for one of the five reasons";
            let found = format!("client {from} got job {id} again while it held it");
            findings.broken(Rule::S5, expected, found, lines);
        } else {
            let expected = format!("one client at a time has a live lease of job {id}");
            let found = format!("client {to} got it while that of client {from} was live");
            findings.broken(Rule::S3, expected, found, lines);
        }
    }
}

fn taken_away(
    facts: &Facts<'_>,
    job: &Track<'_>,
    lease: &Lease<'_>,
    lost: &Lost,
    findings: &mut Findings,
) {
    // A client may give up its leases by itself when its connection ends, whoever ended it.
    let may_be_its_own = ends_around(facts, lease, lost);
    if !may_be_its_own
        && !was_leased_behind(job, lease)
        && !may_have_ended(facts, job, lease, lost.at)
    {
        let expected = format!("the lease of job {} goes on: nothing ended it", job.id);
        let found = "its holder was told that it is over";
        let lines = vec![lease.at.line, lost.at.line];
        findings.broken(Rule::S5, expected, found, lines);
    }
}

/// Whether the holder's connection ended while it held the lease, or the broker did.
pub(super) fn ends_around(facts: &Facts<'_>, lease: &Lease<'_>, lost: &Lost) -> bool {
    let (from_ms, to_ms) = (facts.before(lease.at.at_ms), facts.after(lost.at.at_ms));
    let session = facts.world.session(lost.client);
    session.is_some_and(|session| any_within(&session.ends, from_ms, to_ms))
        || any_within(&facts.world.stops, from_ms, to_ms)
}

/// A later lease shows that this one had ended; whether it might is asked there.
fn was_leased_behind(job: &Track<'_>, lease: &Lease<'_>) -> bool {
    job.leases
        .last()
        .is_some_and(|last| last.seen.token > lease.seen.token)
}

/// The first lease with this token of this client.
pub(super) fn lease_of<'t, 'h>(
    job: &'t Track<'h>,
    client: u32,
    token: u64,
) -> Option<&'t Lease<'h>> {
    let first = job.leases.partition_point(|lease| lease.seen.token < token);
    let same = job.leases[first..].iter();
    same.take_while(|lease| lease.seen.token == token)
        .find(|lease| lease.seen.client == client)
}
