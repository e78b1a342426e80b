//! S4 and S5: done jobs that run again, and runs without a reason or a number.

use verteilt_history::{Event, History, Operation, Rule};

use super::{Fault, any_delivery, any_job, next_run};
use crate::options;
use crate::random::Random;
use crate::view::{Call, Job, View};

pub(super) const FAULTS: &[Fault] = &[
    ("a done job runs again", Rule::S4, again),
    (
        "a done job runs again after a restart",
        Rule::S4,
        again_after_restart,
    ),
    ("a done job is dead", Rule::S4, done_and_dead),
    ("a job runs again for nothing", Rule::S5, for_nothing),
    ("a run is not counted", Rule::S5, not_counted),
    ("a run is counted twice", Rule::S5, counted_twice),
    ("a job runs more often than allowed", Rule::S5, too_often),
    ("a job is dead too early", Rule::S5, dead_too_early),
    ("a lease is taken away", Rule::S5, taken_away),
    ("a holder is refused", Rule::S5, holder_refused),
];

fn acked(view: &View, job: &Job) -> Option<Call> {
    job.acks(view).into_iter().find(|ack| view.is_ok(ack))
}

fn again(view: &View, random: &mut Random) -> Option<History> {
    let job = any_job(view, random, |job| acked(view, job).is_some())?;
    let ack = acked(view, job)?;
    let client = random.below(4) as u32;
    let mut edit = view.edit();
    edit.insert(
        ack.end?,
        Event::Delivered(next_run(view.delivered(job.last()?), client)),
    );
    Some(edit.done())
}

fn again_after_restart(view: &View, random: &mut Random) -> Option<History> {
    let start = view
        .find(|e| matches!(e, Event::BrokerStarted { .. }))
        .last()?;
    let before = |job: &Job| acked(view, job).is_some_and(|ack| ack.end < Some(start));
    let job = any_job(view, random, |job| job.is_durable() && before(job))?;
    let client = random.below(4) as u32;
    let mut edit = view.edit();
    edit.insert(
        start,
        Event::Delivered(next_run(view.delivered(job.last()?), client)),
    );
    Some(edit.done())
}

fn done_and_dead(view: &View, random: &mut Random) -> Option<History> {
    let job = any_job(view, random, |job| acked(view, job).is_some())?;
    Some(with_dead(view, job, []))
}

fn with_dead(view: &View, job: &Job, without: impl IntoIterator<Item = usize>) -> History {
    let mut edit = view.edit();
    edit.remove(without);
    if let Event::Drained { queues } = edit.event(view.drained()) {
        let mut end = verteilt_history::QueueEnd::default();
        end.queue.clone_from(&job.push.queue);
        end.dead.push(job.id);
        queues.push(end);
    }
    edit.done()
}

fn for_nothing(view: &View, random: &mut Random) -> Option<History> {
    let calm = |index| view.is_calm(view.at_ms(index), view.at_ms(index));
    let (_, index) = any_delivery(view, random, |_, index| calm(index))?;
    let mut edit = view.edit();
    let seen = view.delivered(index);
    edit.insert(index, Event::Delivered(next_run(seen, seen.client)));
    Some(edit.done())
}

fn not_counted(view: &View, random: &mut Random) -> Option<History> {
    let (_, index) = any_delivery(view, random, |job, index| {
        let attempt = view.delivered(index).attempt;
        job.deliveries
            .iter()
            .any(|before| view.delivered(*before).attempt + 1 == attempt)
    })?;
    let mut edit = view.edit();
    edit.delivered(index).attempt -= 1;
    Some(edit.done())
}

fn counted_twice(view: &View, random: &mut Random) -> Option<History> {
    let (_, index) = any_delivery(view, random, |job, index| {
        let from_ms = view.at_ms(job.invoke);
        job.first() == Some(index) && view.is_calm(from_ms, view.at_ms(index))
    })?;
    let mut edit = view.edit();
    edit.delivered(index).attempt += 1;
    Some(edit.done())
}

fn attempts_max(job: &Job) -> u32 {
    match job.push.attempts {
        0 => options().attempts_default,
        attempts => attempts,
    }
}

/// All runs were seen, and nobody came back who could have left one of them uncounted.
fn too_often(view: &View, random: &mut Random) -> Option<History> {
    let end = view.drained() - 1;
    let released = |job: &Job| {
        let mut settles = job.settles.iter();
        settles.any(|call| matches!(call.what, Operation::Release { .. }))
    };
    let (_, index) = any_delivery(view, random, |job, index| {
        let first_ms = job.first().map_or(0, |first| view.at_ms(first));
        job.last() == Some(index)
            && !released(job)
            && view.delivered(index).attempt == attempts_max(job)
            && view.is_calm(first_ms, view.at_ms(end))
    })?;
    let mut edit = view.edit();
    let seen = view.delivered(index);
    edit.insert(end, Event::Delivered(next_run(seen, seen.client)));
    Some(edit.done())
}

fn dead_too_early(view: &View, random: &mut Random) -> Option<History> {
    let end_ms = view.at_ms(view.drained());
    let (job, _) = any_delivery(view, random, |job, index| {
        job.last() == Some(index)
            && view.delivered(index).attempt < attempts_max(job)
            && job.acks(view).len() == 1
            && view.is_calm(view.at_ms(index), end_ms)
    })?;
    let ack = acked(view, job)?;
    Some(with_dead(view, job, [ack.invoke, ack.end?]))
}

fn taken_away(view: &View, random: &mut Random) -> Option<History> {
    let (job, index) = any_delivery(view, random, |job, index| {
        job.last() == Some(index) && view.is_calm(view.at_ms(index), view.at_ms(index))
    })?;
    let seen = view.delivered(index);
    let (client, token) = (seen.client, seen.token);
    let mut edit = view.edit();
    edit.insert(
        index,
        Event::LeaseLost {
            client,
            job: job.id,
            token,
        },
    );
    Some(edit.done())
}

fn holder_refused(view: &View, random: &mut Random) -> Option<History> {
    let settled = |job: &Job, index: usize| {
        let own = job.settles.iter().filter(|call| call.invoke > index);
        own.min_by_key(|call| call.invoke)
            .filter(|call| view.is_ok(call))
            .cloned()
    };
    let (job, index) = any_delivery(view, random, |job, index| {
        let Some(end) = settled(job, index).and_then(|call| call.end) else {
            return false;
        };
        let (from_ms, to_ms) = (view.at_ms(index), view.at_ms(end));
        let lasts = from_ms + view.delivered(index).lease_ms > to_ms + 2 * view.lag_ms;
        job.last() == Some(index) && lasts && view.is_calm(from_ms, to_ms)
    })?;
    let mut edit = view.edit();
    let answer = edit.event(settled(job, index)?.end?);
    if let Event::Ok { operation, .. } = answer {
        *answer = Event::Fail {
            operation: *operation,
            code: 301,
        };
    }
    Some(edit.done())
}
