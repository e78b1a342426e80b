//! S7: pushes that are taken twice.

use verteilt_history::{Delivered, Event, History, Operation, Pushed, Rule};

use super::{Fault, any_delivery, any_job};
use crate::random::Random;
use crate::view::{Job, View};

pub(super) const FAULTS: &[Fault] = &[
    (
        "a push that is sent again is taken again",
        Rule::S7,
        accepted_again,
    ),
    ("a push is new twice", Rule::S7, new_twice),
    ("a push runs as two jobs", Rule::S7, runs_twice),
    ("an id is given to two pushes", Rule::S7, shared_id),
];

/// A durable job of a numbered push whose first answer says that it is new.
fn numbered(job: &Job) -> bool {
    job.is_durable() && job.push.producer.is_some() && !job.pushed.duplicate
}

fn sent_again(view: &View, random: &mut Random, by: u64) -> Option<History> {
    let job = any_job(view, random, numbered)?;
    let mut edit = view.edit();
    let (client, operation) = (random.below(4) as u32, 1_000_000);
    let what = Operation::Push(job.push.clone());
    let pushed = Some(Pushed {
        first_id: job.pushed.first_id + by,
        ..job.pushed
    });
    edit.insert(
        job.answer,
        Event::Invoke {
            client,
            operation,
            what,
        },
    );
    edit.insert(job.answer, Event::Ok { operation, pushed });
    Some(edit.done())
}

fn accepted_again(view: &View, random: &mut Random) -> Option<History> {
    sent_again(view, random, 1 << 40)
}

fn new_twice(view: &View, random: &mut Random) -> Option<History> {
    sent_again(view, random, 0)
}

fn runs_twice(view: &View, random: &mut Random) -> Option<History> {
    let (_, index) = any_delivery(view, random, |job, _| numbered(job))?;
    let seen = view.delivered(index);
    let (job, token) = (1 << 40, seen.token + 1);
    let mut edit = view.edit();
    let delivered = Delivered {
        job,
        token,
        attempt: 1,
        ..seen.clone()
    };
    edit.insert(index, Event::Delivered(delivered));
    Some(edit.done())
}

fn shared_id(view: &View, random: &mut Random) -> Option<History> {
    let one = any_job(view, random, |job| job.is_durable())?;
    let alone = |job: &Job| job.is_durable() && job.push.producer.is_none();
    let other = any_job(view, random, |job| alone(job) && job.answer != one.answer)?;
    let mut edit = view.edit();
    if let Event::Ok {
        pushed: Some(pushed),
        ..
    } = edit.event(other.answer)
    {
        pushed.first_id = one.id;
    }
    Some(edit.done())
}
