//! S3: two who hold one job, and who no longer holds it but still has a say.

use verteilt_history::{Event, History, Operation, Rule};

use super::{Fault, another, any_delivery, next_run};
use crate::random::Random;
use crate::view::{Job, View};

pub(super) const FAULTS: &[Fault] = &[
    ("a job is leased to two", Rule::S3, doubled),
    ("a lease is given away by a restart", Rule::S3, given_away),
    ("a token is used again", Rule::S3, reused),
    ("a job comes twice under one token", Rule::S3, repeated),
    ("tokens of a job fall", Rule::S3, falling),
    ("tokens of a queue fall", Rule::S3, falling_in_queue),
    ("a stale ack is taken", Rule::S3, stale),
    ("a lease is settled twice", Rule::S3, twice),
    ("a lost lease is settled", Rule::S3, after_lost),
    ("a lease of another is settled", Rule::S3, foreign),
    ("a lease that ran out is settled", Rule::S3, ran_out),
];

fn doubled(view: &View, random: &mut Random) -> Option<History> {
    let calm = |index| view.is_calm(view.at_ms(index), view.at_ms(index));
    let (_, index) = any_delivery(view, random, |_, index| calm(index))?;
    let mut edit = view.edit();
    let seen = view.delivered(index);
    edit.insert(
        index,
        Event::Delivered(next_run(seen, another(seen.client))),
    );
    Some(edit.done())
}

/// Right after a start, though its holder still has time to come back.
fn given_away(view: &View, random: &mut Random) -> Option<History> {
    let starts = view.find(|e| matches!(e, Event::BrokerStarted { .. }));
    let starts: Vec<usize> = starts.skip(1).collect();
    let start = random.pick(&starts)?;
    let stop = view.stops().filter(|stop| *stop < start).last()?;
    let (_, index) = any_delivery(view, random, |job, index| {
        let seen = view.delivered(index);
        let lasts = view.at_ms(index) + seen.lease_ms > view.at_ms(stop) + 2 * view.lag_ms;
        index < stop
            && lasts
            && job.last() == Some(index)
            && !job
                .settles
                .iter()
                .any(|call| (index..start).contains(&call.invoke))
            && was_away(view, seen.client, index, (stop, start))
    })?;
    let seen = view.delivered(index);
    let mut edit = view.edit();
    edit.insert(
        start,
        Event::Delivered(next_run(seen, another(seen.client))),
    );
    Some(edit.done())
}

/// Whether a client that got a job was there until the broker stopped, and not back soon after the
/// start.
fn was_away(view: &View, of: u32, delivery: usize, (stop, start): (usize, usize)) -> bool {
    let from_ms = view.at_ms(delivery).saturating_sub(view.lag_ms);
    let span = from_ms..=view.at_ms(start) + 2 * view.lag_ms;
    let moves = view.find(|event| match event {
        Event::Disconnected { client } | Event::Connected { client, .. } => *client == of,
        _ => false,
    });
    let mut close = moves.filter(|index| span.contains(&view.at_ms(*index)));
    close.all(|index| {
        let left = matches!(view.record(index).event, Event::Disconnected { .. });
        left && (stop..start).contains(&index)
    })
}

fn reused(view: &View, random: &mut Random) -> Option<History> {
    let (first, a) = any_delivery(view, random, |_, _| true)?;
    let client = view.delivered(a).client;
    let (_, b) = any_delivery(view, random, |job, index| {
        job.id != first.id && view.delivered(index).client != client
    })?;
    let mut edit = view.edit();
    edit.delivered(b).token = view.delivered(a).token;
    Some(edit.done())
}

fn repeated(view: &View, random: &mut Random) -> Option<History> {
    let (_, index) = any_delivery(view, random, |_, _| true)?;
    let mut edit = view.edit();
    edit.insert(index, view.record(index).event.clone());
    Some(edit.done())
}

fn falling(view: &View, random: &mut Random) -> Option<History> {
    let (job, a) = any_delivery(view, random, |job, index| {
        let last = job.last().unwrap_or(index);
        view.at_ms(last) > view.at_ms(index) + view.lag_ms + 1
    })?;
    let b = job.last()?;
    let mut edit = view.edit();
    edit.delivered(a).token = view.delivered(b).token;
    edit.delivered(b).token = view.delivered(a).token;
    Some(edit.done())
}

fn falling_in_queue(view: &View, random: &mut Random) -> Option<History> {
    let (first, a) = any_delivery(view, random, |_, _| true)?;
    let (queue, from_ms) = (&first.push.queue, view.at_ms(a) + view.lag_ms + 1);
    let (_, b) = any_delivery(view, random, |job, index| {
        job.id != first.id && job.push.queue == *queue && view.at_ms(index) > from_ms
    })?;
    let mut edit = view.edit();
    edit.delivered(b).token = view.delivered(a).token - 1;
    Some(edit.done())
}

fn stale(view: &View, random: &mut Random) -> Option<History> {
    let (job, index) = any_delivery(view, random, |job, index| job.last() != Some(index))?;
    let seen = view.delivered(index);
    let later = job
        .deliveries
        .iter()
        .find(|later| view.delivered(**later).token > seen.token)?;
    let ops = [
        Operation::Ack {
            job: job.id,
            token: seen.token,
        },
        Operation::Nack {
            job: job.id,
            token: seen.token,
            delay_ms: None,
        },
        Operation::Release {
            job: job.id,
            token: seen.token,
        },
        Operation::Touch {
            job: job.id,
            token: seen.token,
            lease_ms: 0,
        },
    ];
    let mut edit = view.edit();
    edit.settle(*later, seen.client, random.pick(&ops)?);
    Some(edit.done())
}

fn twice(view: &View, random: &mut Random) -> Option<History> {
    let settled = |job: &Job| {
        let ends = |what: &Operation| !matches!(what, Operation::Touch { .. });
        job.settles
            .iter()
            .find(|call| ends(&call.what) && view.is_ok(call))
            .cloned()
    };
    let (job, _) = any_delivery(view, random, |job, _| settled(job).is_some())?;
    let call = settled(job)?;
    let mut edit = view.edit();
    edit.settle(call.end?, call.client, call.what);
    Some(edit.done())
}

fn after_lost(view: &View, random: &mut Random) -> Option<History> {
    let (job, index, lost) = {
        let lost: Vec<usize> = view
            .find(|e| matches!(e, Event::LeaseLost { .. }))
            .collect();
        let lost = random.pick(&lost)?;
        let Event::LeaseLost { job: id, token, .. } = view.record(lost).event else {
            return None;
        };
        let of = |job: &Job, index| job.id == id && view.delivered(index).token == token;
        let (job, index) = any_delivery(view, random, of)?;
        (job, index, lost)
    };
    if !view.is_calm(view.at_ms(index), view.at_ms(lost)) {
        return None;
    }
    let seen = view.delivered(index);
    let mut edit = view.edit();
    edit.settle(
        lost,
        seen.client,
        Operation::Ack {
            job: job.id,
            token: seen.token,
        },
    );
    Some(edit.done())
}

fn foreign(view: &View, random: &mut Random) -> Option<History> {
    let (job, index) = any_delivery(view, random, |_, _| true)?;
    let seen = view.delivered(index);
    let mut edit = view.edit();
    let what = Operation::Ack {
        job: job.id,
        token: seen.token,
    };
    edit.settle(index, another(seen.client), what);
    Some(edit.done())
}

fn ran_out(view: &View, random: &mut Random) -> Option<History> {
    let end = view.drained() - 1;
    let (job, index) = any_delivery(view, random, |job, index| {
        let only_ack = job
            .settles
            .iter()
            .filter(|call| call.invoke > index)
            .count()
            == 1;
        let over_ms = view.at_ms(index) + view.delivered(index).lease_ms;
        let restarts = view.stops().any(|stop| stop > index);
        let touched = job
            .settles
            .iter()
            .any(|c| matches!(c.what, Operation::Touch { .. }));
        let late = over_ms + 3 * view.lag_ms < view.at_ms(end);
        job.last() == Some(index) && only_ack && !restarts && !touched && late
    })?;
    let call = job.settles.iter().rfind(|call| view.is_ok(call))?;
    let mut edit = view.edit();
    edit.remove([call.invoke, call.end?]);
    edit.settle(end, view.delivered(index).client, call.what.clone());
    Some(edit.done())
}
