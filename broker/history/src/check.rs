//! From a history to a report.

use crate::facts::{Call, End, Facts, Fate, SettleKind, Track};
use crate::report::Counts;
use crate::rules::{self, Findings};
use crate::{Event, History, Options, Past, Report, Verdict};

/// Decides whether the promises were kept in a history.
///
/// Takes O(n log n) time for n records, times the number of different priorities where jobs wait
/// for the same taker, and memory in proportion to the history.
#[must_use]
pub fn check(history: &History, options: &Options) -> Report {
    check_section(history, options, &mut Past::default())
}

/// As [`check`], for one section of a history that is too long to be kept. Line numbers are those of
/// the section.
///
/// A section begins where the one before it ended: where a [`Event::Drained`] found every queue empty
/// but for dead jobs, which were purged then, no operation was open, and no delivery was on its way.
/// What came to its end there is kept in `past`, by its id alone, and must not come back in a later
/// section.
#[must_use]
pub fn check_section(history: &History, options: &Options, past: &mut Past) -> Report {
    let before = past.clone();
    let facts = match Facts::gather(history, options, &before) {
        Ok(facts) => facts,
        Err(contradictions) => return malformed(history, contradictions),
    };
    let mut findings = Findings::new(options.described_max);
    rules::check_all(&facts, &mut findings);
    let (checks, broken, violations) = findings.into_parts();
    past.add(&facts);
    Report {
        verdict: if broken.iter().all(|count| *count == 0) {
            Verdict::Holds
        } else {
            Verdict::Broken
        },
        counts: counts(&facts),
        violations,
        contradictions: Vec::new(),
        checks,
        broken,
    }
}

fn malformed(history: &History, contradictions: Vec<(usize, String)>) -> Report {
    Report {
        verdict: Verdict::Malformed,
        counts: Counts {
            records: history.records.len() as u64,
            ..Counts::default()
        },
        violations: Vec::new(),
        contradictions,
        checks: [0; 10],
        broken: [0; 10],
    }
}

fn counts(facts: &Facts<'_>) -> Counts {
    let mut counts = Counts {
        records: facts.history.records.len() as u64,
        ..Counts::default()
    };
    for push in &facts.pushes {
        let jobs = push.what.bodies.len() as u64;
        match push.fate {
            Fate::Acknowledged => counts.pushes_acknowledged += jobs,
            Fate::Unknown => counts.pushes_unknown += jobs,
            Fate::Refused => counts.pushes_refused += jobs,
        }
    }
    for job in &facts.jobs {
        count_job(job, &mut counts);
    }
    for record in &facts.history.records {
        match record.event {
            Event::Disconnected { .. } => counts.disconnects += 1,
            Event::BrokerKilled | Event::PowerCut => counts.kills += 1,
            Event::BrokerStopped => counts.stops += 1,
            _ => {}
        }
    }
    let refused = |call: &&Call<'_>| matches!(call.end, End::Refused(_));
    let pushes_refused: usize = facts
        .calls
        .iter()
        .filter(refused)
        .filter(|call| matches!(call.what, crate::Operation::Push(_)))
        .count();
    counts.settles_refused = (facts.calls.iter().filter(refused).count() - pushes_refused) as u64;
    counts
}

fn count_job(job: &Track<'_>, counts: &mut Counts) {
    counts.deliveries += job.leases.len() as u64;
    counts.redeliveries += job.leases.iter().filter(|l| l.seen.attempt > 1).count() as u64;
    for settle in &job.settles {
        match (settle.kind, settle.end) {
            (SettleKind::Ack, End::Ok(_)) => counts.acks += 1,
            (SettleKind::Ack, End::Unknown) => counts.acks_unknown += 1,
            (SettleKind::Nack(_), End::Ok(_)) => counts.nacks += 1,
            (SettleKind::Release, End::Ok(_)) => counts.releases += 1,
            _ => {}
        }
    }
}
