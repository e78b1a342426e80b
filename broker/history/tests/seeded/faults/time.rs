//! S8: jobs that do not keep to their time.

use verteilt_history::{Event, History, Operation, Rule};

use super::{Fault, any_delivery};
use crate::random::Random;
use crate::view::{Call, Job, View};

pub(super) const FAULTS: &[Fault] = &[
    ("a delayed job runs early", Rule::S8, early),
    ("a failed job runs early", Rule::S8, early_again),
    ("a backoff is too short", Rule::S8, short_backoff),
    ("a job runs late on an idle broker", Rule::S8, late),
];

/// Whether the broker ran all the time, so that its clock did, too.
fn ran(view: &View, from: usize, to: usize) -> bool {
    !view.stops().any(|stop| (from..=to).contains(&stop))
}

fn moved(view: &View, from: usize, behind: usize) -> History {
    let mut edit = view.edit();
    edit.remove([from]);
    edit.insert(behind, view.record(from).event.clone());
    edit.done()
}

fn early(view: &View, random: &mut Random) -> Option<History> {
    let (job, index) = any_delivery(view, random, |job, index| {
        let answered_ms = view.at_ms(job.answer) - view.at_ms(job.invoke);
        let is_new = !job.pushed.duplicate && job.push.delay_ms > answered_ms + 20;
        job.first() == Some(index) && is_new && ran(view, job.invoke, index)
    })?;
    Some(moved(view, index, job.answer))
}

fn nacked(view: &View, random: &mut Random, named: bool) -> Option<History> {
    let nack = |job: &Job, index: usize| {
        let token = view.delivered(index).token;
        let of = |call: &&Call| match call.what {
            Operation::Nack {
                token: t, delay_ms, ..
            } => t == token && delay_ms.is_none_or(|ms| ms > 150) && delay_ms.is_some() == named,
            _ => false,
        };
        job.settles
            .iter()
            .filter(of)
            .find(|call| view.is_ok(call))
            .cloned()
    };
    let next = |job: &Job, index: usize| {
        let place = job
            .deliveries
            .iter()
            .position(|delivery| *delivery == index)?;
        job.deliveries.get(place + 1).copied()
    };
    let (job, index) = any_delivery(view, random, |job, index| {
        let (Some(nack), Some(next)) = (nack(job, index), next(job, index)) else {
            return false;
        };
        let took_ms = nack.end.map_or(0, |end| view.at_ms(end)) - view.at_ms(nack.invoke);
        took_ms < 100 && ran(view, nack.invoke, next)
    })?;
    Some(moved(view, next(job, index)?, nack(job, index)?.end?))
}

fn early_again(view: &View, random: &mut Random) -> Option<History> {
    nacked(view, random, true)
}

fn short_backoff(view: &View, random: &mut Random) -> Option<History> {
    nacked(view, random, false)
}

fn late(view: &View, random: &mut Random) -> Option<History> {
    let begin = view
        .find(|e| matches!(e, Event::Idle { idle: true }))
        .last()?;
    let end = view
        .find(|e| matches!(e, Event::Idle { idle: false }))
        .last()?;
    let (_, index) = any_delivery(view, random, |job, index| {
        job.first() == Some(index) && (begin..end).contains(&job.invoke)
    })?;
    let mut edit = view.edit();
    edit.remove([index]);
    edit.insert_at(view.at_ms(index) + 2_000, view.record(index).event.clone());
    Some(edit.done())
}
