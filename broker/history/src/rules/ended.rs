//! When a lease can have ended: at the earliest, and at the latest.

use crate::facts::{At, Facts, Lease, Reading, Settle, SettleKind, Track, any_within};

/// Whether a lease can have been over when something was recorded at `by`.
pub(super) fn may_have_ended(
    facts: &Facts<'_>,
    job: &Track<'_>,
    lease: &Lease<'_>,
    by: At,
) -> bool {
    was_ended(job, lease, by)
        || broke(facts, job, lease, by)
        || was_not_resumed(facts, lease, by)
        || may_have_run_out(facts, job, lease, by)
}

/// Its holder gave it up, or the broker has said that it is over; whether it said so too early is
/// asked where it said so.
fn was_ended(job: &Track<'_>, lease: &Lease<'_>, by: At) -> bool {
    let token = lease.seen.token;
    let given_up = job.settles_of(token).any(|settle| {
        if settle.is_refused() {
            settle.ended.is_some_and(|at| at < by)
        } else {
            settle.ends_lease() && settle.invoked < by
        }
    });
    given_up
        || job
            .lost
            .iter()
            .any(|lost| lost.token == token && lost.at < by)
}

/// The holder's connection ended, or the job was in memory only and the broker stopped.
fn broke(facts: &Facts<'_>, job: &Track<'_>, lease: &Lease<'_>, by: At) -> bool {
    let (from_ms, to_ms) = (facts.before(lease.at.at_ms), facts.after(by.at_ms));
    let session = facts.world.session(lease.seen.client);
    session.is_some_and(|session| any_within(&session.breaks, from_ms, to_ms))
        || may_have_left(facts, lease, by.at_ms)
        || (!facts.is_durable(job) && any_within(&facts.world.stops, from_ms, to_ms))
}

/// Whether the holder came back by then without naming the lease, which ends it: the run does not
/// count.
pub(super) fn may_have_left(facts: &Facts<'_>, lease: &Lease<'_>, by_ms: u64) -> bool {
    let (from_ms, to_ms) = (facts.before(lease.at.at_ms), facts.after(by_ms));
    let (job, token) = (lease.seen.job, lease.seen.token);
    let session = facts.world.session(lease.seen.client);
    session.is_some_and(|session| session.may_have_left(job, token, from_ms, to_ms))
}

/// The broker was started and its session did not come back in time.
fn was_not_resumed(facts: &Facts<'_>, lease: &Lease<'_>, by: At) -> bool {
    let options = facts.options;
    let session = facts.world.session(lease.seen.client);
    starts_since(facts, lease).any(|(stopped, started)| {
        let margin_ms = options.lag_ms + options.tolerance_ms;
        let until_ms = (started.at_ms + options.resume_grace_ms).saturating_sub(margin_ms);
        let back = session.and_then(|session| session.next_connect(stopped));
        let back = back.is_some_and(|at| at.at_ms <= until_ms);
        by.at_ms >= until_ms && !back
    })
}

/// The starts, each with the stop before it, that a lease may have lived through.
fn starts_since<'f>(
    facts: &'f Facts<'_>,
    lease: &Lease<'_>,
) -> impl Iterator<Item = (At, At)> + use<'f> {
    let from_ms = facts.before(lease.at.at_ms);
    let starts = &facts.world.starts;
    let first = starts.partition_point(|(_, started)| started.at_ms < from_ms);
    starts[first..]
        .iter()
        .map(|(stopped, started)| (stopped.unwrap_or(*started), *started))
}

/// Its time was over by the broker's clock. A touch begins it anew, a start makes it last as long
/// as the session has to come back.
fn may_have_run_out(facts: &Facts<'_>, job: &Track<'_>, lease: &Lease<'_>, by: At) -> bool {
    let given_ms = facts.before(lease.at.at_ms);
    let clock = facts.world.clock.between(given_ms, by.at_ms);
    let tolerance = i128::from(facts.options.tolerance_ms);
    let mut until = clock.least(given_ms) + i128::from(lease.seen.lease_ms);
    // Only of a lease that was seen before the stop is it known that it lived through the start.
    let mut starts = starts_since(facts, lease)
        .filter(|(stopped, _)| lease.at < *stopped)
        .peekable();
    let mut certain_until = lease.at;
    for touch in touches(job, lease).filter(|touch| touch.invoked < by) {
        while let Some((stopped, started)) = starts.next_if(|(_, s)| *s < touch.invoked) {
            if clock.most_at_stop(stopped.at_ms) + tolerance >= until {
                return true;
            }
            until = until.max(graced(facts, clock, started));
        }
        let new = clock.least(touch.invoked.at_ms) + i128::from(touch_ms(touch, lease));
        // Only a touch that was answered in time, and behind the one before, is known to count.
        let counts = touch.is_ok_before(by.line) && touch.invoked > certain_until;
        until = if counts { new } else { until.min(new) };
        certain_until = touch.ended.filter(|_| counts).unwrap_or(certain_until);
    }
    for (stopped, started) in starts.take_while(|(_, started)| *started < by) {
        if clock.most_at_stop(stopped.at_ms) + tolerance >= until {
            return true;
        }
        until = until.max(graced(facts, clock, started));
    }
    clock.most(by.at_ms) + tolerance >= until
}

/// Whether a lease was over, for certain, before this settling was sent.
pub(super) fn has_run_out(
    facts: &Facts<'_>,
    job: &Track<'_>,
    lease: &Lease<'_>,
    settle: &Settle,
) -> bool {
    let ended = settle.ended.unwrap_or(settle.invoked);
    // A touch that ended late may have counted late.
    let clock = &facts.world.clock;
    let clock = clock.between(facts.before(lease.at.at_ms), facts.after(ended.at_ms));
    let mut until = clock.most(lease.at.at_ms) + i128::from(lease.seen.lease_ms);
    for touch in touches(job, lease).filter(|touch| touch.invoked < settle.invoked) {
        let Some(ended) = touch.ended else {
            return false;
        };
        let touched = clock.most(facts.after(ended.at_ms));
        until = until.max(touched + i128::from(touch_ms(touch, lease)));
    }
    for (_, started) in starts_since(facts, lease).take_while(|(_, started)| *started < ended) {
        let graced = clock.most(started.at_ms) + i128::from(facts.options.resume_grace_ms);
        until = until.max(graced);
    }
    let margin = i128::from(facts.options.tolerance_ms + facts.options.lag_ms);
    clock.least(settle.invoked.at_ms) > until + margin
}

/// Until when leases last after a start, at the least.
fn graced(facts: &Facts<'_>, clock: Reading<'_>, started: At) -> i128 {
    let options = facts.options;
    clock.least(started.at_ms) - i128::from(options.lag_ms) + i128::from(options.resume_grace_ms)
}

fn touches<'t>(job: &'t Track<'_>, lease: &Lease<'_>) -> impl Iterator<Item = &'t Settle> {
    job.settles_of(lease.seen.token)
        .filter(|settle| !settle.ends_lease() && !settle.is_refused())
}

fn touch_ms(touch: &Settle, lease: &Lease<'_>) -> u64 {
    match touch.kind {
        SettleKind::Touch(0) => lease.seen.lease_ms,
        SettleKind::Touch(lease_ms) => lease_ms,
        SettleKind::Ack | SettleKind::Nack(_) | SettleKind::Release => 0,
    }
}
