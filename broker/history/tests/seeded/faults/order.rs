//! S6: jobs that overtake one another.

use verteilt_history::{Delivered, Event, History, Rule};

use super::Fault;
use crate::random::Random;
use crate::view::{Job, View};

pub(super) const FAULTS: &[Fault] = &[
    ("an urgent job waits", Rule::S6, urgent_waits),
    ("two jobs change places", Rule::S6, exchanged),
    ("a less urgent job goes first", Rule::S6, less_urgent),
    (
        "a job waits while others get later ones",
        Rule::S6,
        overtaken,
    ),
];

/// Two first deliveries of the same kind in one queue, in the order in which they have to go.
fn pair<'v>(
    view: &'v View,
    random: &mut Random,
    is: impl Fn(&Job, &Delivered, &Job, &Delivered) -> bool,
) -> Option<(usize, usize)> {
    let durable = view.jobs.iter().filter(|job| job.is_durable());
    let first = |job: &'v Job| Some((job, job.first()?));
    let firsts = durable
        .filter_map(first)
        .filter(|(_, index)| view.delivered(*index).attempt == 1);
    // A second run would be taken for the first.
    let firsts = firsts.filter(|(job, _)| job.deliveries.len() == 1);
    let firsts: Vec<(&Job, usize)> = firsts.collect();
    let (one, a) = random.pick(&firsts)?;
    let seen = view.delivered(a);
    let behind = firsts.iter().filter(|(other, b)| {
        other.push.queue == one.push.queue
            && other.invoke < a
            && other.push.delay_ms == one.push.delay_ms
            && a < *b
            && view.delivered(*b).token >= seen.token
            && is(one, seen, other, view.delivered(*b))
    });
    let behind: Vec<usize> = behind.map(|(_, b)| *b).collect();
    Some((a, random.pick(&behind)?))
}

/// What came comes in the other order; the leases stay where they are.
fn exchange(view: &View, a: usize, b: usize, keep_takers: bool) -> History {
    let mut edit = view.edit();
    for (to, from) in [(a, b), (b, a)] {
        let from = view.delivered(from).clone();
        let seen = edit.delivered(to);
        (seen.job, seen.body, seen.lease_ms) = (from.job, from.body, from.lease_ms);
    }
    let mut history = edit.done();
    for record in &mut history.records {
        if let Event::Delivered(delivered) = &mut record.event {
            delivered.taker = delivered.taker.filter(|_| keep_takers);
        }
    }
    history
}

fn same_taker(a: &Delivered, b: &Delivered) -> bool {
    (a.client, a.taker) == (b.client, b.taker)
}

fn exchanged(view: &View, random: &mut Random) -> Option<History> {
    let (a, b) = pair(view, random, |one, seen, other, later| {
        one.id < other.id && one.push.priority == other.push.priority && same_taker(seen, later)
    })?;
    Some(exchange(view, a, b, true))
}

fn less_urgent(view: &View, random: &mut Random) -> Option<History> {
    let (a, b) = pair(view, random, |one, seen, other, later| {
        one.id < other.id && one.push.priority > other.push.priority && same_taker(seen, later)
    })?;
    Some(exchange(view, a, b, true))
}

/// It was pushed later than the one that now goes first, but in good time.
fn urgent_waits(view: &View, random: &mut Random) -> Option<History> {
    let (a, b) = pair(view, random, |one, seen, other, later| {
        let waited = one.first().is_some_and(|first| {
            view.at_ms(one.answer) + one.push.delay_ms + 2 * view.lag_ms < view.at_ms(first)
        });
        one.id > other.id
            && one.push.priority > other.push.priority
            && (one.push.delay_ms == 0 && waited)
            && same_taker(seen, later)
    })?;
    Some(exchange(view, a, b, true))
}

/// Without takers, so that only the time can tell.
fn overtaken(view: &View, random: &mut Random) -> Option<History> {
    let (a, b) = pair(view, random, |one, _, other, _| {
        let (Some(a), Some(b)) = (one.first(), other.first()) else {
            return false;
        };
        let waited = view.at_ms(one.answer) + 2 * view.lag_ms < view.at_ms(a);
        one.id < other.id
            && one.push.priority == other.push.priority
            && one.push.delay_ms == 0
            && waited
            && view.at_ms(a) + 2 * view.lag_ms < view.at_ms(b)
    })?;
    Some(exchange(view, a, b, false))
}
