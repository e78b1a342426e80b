//! S1 and S10: jobs that are gone, and jobs that stay for ever.

use verteilt_history::{Body, Durability, Event, History, Operation, Push, QueueEnd, Rule};

use super::{Fault, any_job};
use crate::random::Random;
use crate::view::{Job, View};

pub(super) const FAULTS: &[Fault] = &[
    ("an acknowledged job is lost", Rule::S1, lost),
    (
        "a memory job is lost without a stop",
        Rule::S1,
        lost_in_memory,
    ),
    ("a job is lost by a restart", Rule::S1, lost_by_restart),
    (
        "an ack is dropped and the job with it",
        Rule::S1,
        dropped_ack,
    ),
    ("the answer is weaker than what was asked", Rule::S1, weaker),
    ("jobs are left in the end", Rule::S10, left_over),
    ("it takes too long", Rule::S10, slow),
    ("it never drains", Rule::S10, never),
    ("a push is never answered", Rule::S10, unanswered),
];

fn without(view: &View, job: &Job, traces: impl IntoIterator<Item = usize>) -> History {
    let mut edit = view.edit();
    edit.remove(traces);
    let lost = |event: &Event| matches!(event, Event::LeaseLost { job: id, .. } if *id == job.id);
    edit.remove(view.find(lost));
    if let Event::Drained { queues } = edit.event(view.drained()) {
        queues
            .iter_mut()
            .for_each(|queue| queue.dead.retain(|id| *id != job.id));
    }
    edit.done()
}

fn lost(view: &View, random: &mut Random) -> Option<History> {
    let job = any_job(view, random, Job::is_durable)?;
    Some(without(view, job, job.traces()))
}

fn lost_in_memory(view: &View, random: &mut Random) -> Option<History> {
    let last = view.stops().last().unwrap_or(0);
    let is = |job: &Job| !job.is_durable() && job.invoke > last && job.push.producer.is_none();
    let job = any_job(view, random, is)?;
    Some(without(view, job, job.traces()))
}

fn lost_by_restart(view: &View, random: &mut Random) -> Option<History> {
    let stops: Vec<usize> = view.stops().collect();
    let stop = random.pick(&stops)?;
    let is = |job: &Job| {
        let acks = job.acks(view);
        job.is_durable() && job.answer < stop && acks.iter().all(|ack| ack.invoke > stop)
    };
    let job = any_job(view, random, is)?;
    let after = job.traces().into_iter().filter(|index| *index > stop);
    // What began before and ended after is now without an end, as it should be.
    Some(without(view, job, after))
}

fn dropped_ack(view: &View, random: &mut Random) -> Option<History> {
    let job = any_job(view, random, |job| {
        job.is_durable() && job.acks(view).len() == 1
    })?;
    let acks = job.acks(view);
    let traces = acks
        .iter()
        .flat_map(|ack| ack.end.into_iter().chain([ack.invoke]));
    Some(without(view, job, traces))
}

fn weaker(view: &View, random: &mut Random) -> Option<History> {
    let job = any_job(view, random, Job::is_durable)?;
    let mut edit = view.edit();
    if let Event::Ok {
        pushed: Some(pushed),
        ..
    } = edit.event(job.answer)
    {
        pushed.durability = Durability::Memory;
    }
    Some(edit.done())
}

fn left_over(view: &View, random: &mut Random) -> Option<History> {
    let mut edit = view.edit();
    let mut end = QueueEnd {
        queue: "mail".into(),
        ..QueueEnd::default()
    };
    let states = [
        &mut end.scheduled,
        &mut end.ready,
        &mut end.leased,
        &mut end.failed,
    ];
    let [.., last] = states;
    *last = random.between(1, 5);
    if let Event::Drained { queues } = edit.event(view.drained()) {
        queues.push(end);
    }
    Some(edit.done())
}

fn slow(view: &View, _: &mut Random) -> Option<History> {
    let mut history = view.history.clone();
    history.records[view.drained()].at_ms += 1_000_000;
    Some(history)
}

fn never(view: &View, _: &mut Random) -> Option<History> {
    let mut edit = view.edit();
    edit.remove([view.drained()]);
    Some(edit.done())
}

fn unanswered(view: &View, random: &mut Random) -> Option<History> {
    let (queue, bodies) = ("mail".into(), vec![Body::of(b"waits")]);
    let what = Operation::Push(Push {
        queue,
        bodies,
        ..Push::default()
    });
    let mut edit = view.edit();
    let behind = random.below(view.drained() as u64) as usize;
    let (client, operation) = (1, 1_000_000);
    edit.insert(
        behind,
        Event::Invoke {
            client,
            operation,
            what,
        },
    );
    Some(edit.done())
}
