//! S2: what comes out is not what went in.

use verteilt_history::{Body, Delivered, Event, History, Rule};

use super::{Fault, any_delivery, any_job};
use crate::random::Random;
use crate::view::{Job, View};

pub(super) const FAULTS: &[Fault] = &[
    ("a body is corrupted", Rule::S2, corrupted),
    ("a body is cut short", Rule::S2, truncated),
    ("bodies are exchanged", Rule::S2, exchanged),
    ("a job comes from nowhere", Rule::S2, invented),
    ("a job comes twice as two", Rule::S2, multiplied),
    ("a job comes from another queue", Rule::S2, misplaced),
    ("a lease is shorter than was asked", Rule::S2, short_lease),
    ("a refused push runs", Rule::S2, refused),
    ("a job runs before it was pushed", Rule::S2, foreseen),
];

fn change(
    view: &View,
    random: &mut Random,
    how: impl Fn(&mut Delivered, &mut Random),
) -> Option<History> {
    let (_, index) = any_delivery(view, random, |_, _| true)?;
    let mut edit = view.edit();
    how(edit.delivered(index), random);
    Some(edit.done())
}

fn corrupted(view: &View, random: &mut Random) -> Option<History> {
    change(view, random, |seen, random| {
        seen.body.hash ^= 1 << random.below(64)
    })
}

fn truncated(view: &View, random: &mut Random) -> Option<History> {
    change(view, random, |seen, _| seen.body.length -= 1)
}

fn exchanged(view: &View, random: &mut Random) -> Option<History> {
    let (first, a) = any_delivery(view, random, |_, _| true)?;
    let (_, b) = any_delivery(view, random, |job, _| job.id != first.id)?;
    let mut edit = view.edit();
    edit.delivered(a).body = view.delivered(b).body;
    edit.delivered(b).body = view.delivered(a).body;
    Some(edit.done())
}

fn invented(view: &View, random: &mut Random) -> Option<History> {
    let (_, index) = any_delivery(view, random, |_, _| true)?;
    let mut edit = view.edit();
    let seen = view.delivered(index);
    let (job, token, body) = (1 << 40, seen.token + 1, Body::of(b"nobody sent this"));
    edit.insert(
        index,
        Event::Delivered(Delivered {
            job,
            token,
            attempt: 1,
            body,
            ..seen.clone()
        }),
    );
    Some(edit.done())
}

fn multiplied(view: &View, random: &mut Random) -> Option<History> {
    let (_, index) = any_delivery(view, random, |job, _| job.push.producer.is_none())?;
    let mut edit = view.edit();
    let seen = view.delivered(index);
    let (job, token) = (1 << 40, seen.token + 1);
    edit.insert(
        index,
        Event::Delivered(Delivered {
            job,
            token,
            attempt: 1,
            ..seen.clone()
        }),
    );
    Some(edit.done())
}

fn misplaced(view: &View, random: &mut Random) -> Option<History> {
    change(view, random, |seen, _| {
        seen.queue = if seen.queue == "mail" {
            "bills"
        } else {
            "mail"
        }
        .into();
    })
}

fn short_lease(view: &View, random: &mut Random) -> Option<History> {
    change(view, random, |seen, random| {
        seen.lease_ms -= random.between(1, 300)
    })
}

fn refused(view: &View, random: &mut Random) -> Option<History> {
    let is = |job: &Job| job.push.producer.is_none() && !job.deliveries.is_empty();
    let job = any_job(view, random, is)?;
    let mut edit = view.edit();
    let answer = edit.event(job.answer);
    if let Event::Ok { operation, .. } = answer {
        *answer = Event::Fail {
            operation: *operation,
            code: 400,
        };
    }
    Some(edit.done())
}

fn foreseen(view: &View, random: &mut Random) -> Option<History> {
    let is = |job: &Job| job.push.producer.is_none() && !job.deliveries.is_empty();
    let job = any_job(view, random, |job| is(job) && job.invoke > 0)?;
    let mut edit = view.edit();
    let first = job.first()?;
    edit.remove([first]);
    edit.insert(job.invoke - 1, view.record(first).event.clone());
    Some(edit.done())
}
