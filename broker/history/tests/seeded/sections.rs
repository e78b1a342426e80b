//! A long history in sections: what came to its end in an earlier one must not come back.

use verteilt_history::{Delivered, Event, History, Operation, Past, Rule, check, check_section};

use crate::faults::next_run;
use crate::options;
use crate::random::Random;
use crate::view::View;
use crate::world;

const VOLATILE: u64 = 1 << 63;
/// More than a section of the model has; what is in memory is numbered by the start of the broker.
const NUMBERS: u64 = 1 << 20;
const NUMBERS_VOLATILE: u64 = 100 << 40;
const SEEDS: u64 = 30;

/// A history of the same broker, later.
fn later(seed: u64, past_ms: u64) -> History {
    let mut history = world::history(seed);
    for record in &mut history.records {
        record.at_ms += past_ms;
        move_on(&mut record.event);
    }
    history
}

fn move_on(event: &mut Event) {
    match event {
        Event::Invoke { what, .. } => match what {
            Operation::Push(_) => {}
            Operation::Ack { job, token }
            | Operation::Nack { job, token, .. }
            | Operation::Release { job, token }
            | Operation::Touch { job, token, .. } => lease(job, token),
        },
        Event::Ok {
            pushed: Some(pushed),
            ..
        } => number(&mut pushed.first_id),
        Event::Delivered(Delivered { job, token, .. }) | Event::LeaseLost { job, token, .. } => {
            lease(job, token);
        }
        Event::Connected {
            held: Some(held), ..
        } => held.iter_mut().for_each(|(job, token)| lease(job, token)),
        Event::Drained { queues } => {
            let dead = queues.iter_mut().flat_map(|queue| &mut queue.dead);
            dead.for_each(number);
        }
        _ => {}
    }
}

fn lease(job: &mut u64, token: &mut u64) {
    number(job);
    number(token);
}

fn number(of: &mut u64) {
    *of += if *of & VOLATILE == 0 {
        NUMBERS
    } else {
        NUMBERS_VOLATILE
    };
}

/// Two sections of a correct broker.
fn sections(seed: u64) -> (View, View) {
    let first = world::history(seed);
    let past_ms = first.records.last().map_or(0, |record| record.at_ms);
    let second = later(seed + 1_000, past_ms);
    let lag_ms = options().lag_ms;
    (View::of(&first, lag_ms), View::of(&second, lag_ms))
}

/// What the second section broke.
fn broken(first: &History, second: &History, rule: Rule) -> u64 {
    let mut past = Past::default();
    let report = check_section(first, &options(), &mut past);
    assert!(report.holds(), "{report}");
    check_section(second, &options(), &mut past).broken(rule)
}

/// Changes the second section; none if there is no place for it.
type Plant = fn(&View, &View, &mut Random) -> Option<History>;

#[track_caller]
fn is_found(rule: Rule, plant: Plant) {
    let mut planted = 0;
    for seed in 0..SEEDS {
        let (first, second) = sections(seed);
        if let Some(fault) = plant(&first, &second, &mut Random::new(seed)) {
            planted += 1;
            let count = broken(&first.history, &fault, rule);
            assert!(count > 0, "{rule} missed it, seed {seed}");
        }
    }
    assert!(planted >= SEEDS / 2, "planted {planted} times only");
}

#[test]
fn a_correct_history_passes_section_by_section() {
    for seed in 0..SEEDS {
        let (first, second) = sections(seed);
        let mut past = Past::default();
        let mut all = check_section(&first.history, &options(), &mut past);
        all += check_section(&second.history, &options(), &mut past);
        assert!(all.holds(), "seed {seed}\n{all}");
        let records = first.history.records.len() + second.history.records.len();
        assert_eq!(all.counts.records, records as u64);
        let alone = check(&second.history, &options()).checks(Rule::S4);
        assert!(all.checks(Rule::S4) > alone, "both sections are counted");
    }
}

#[test]
fn a_job_of_an_earlier_section_that_runs_again_is_found() {
    is_found(Rule::S4, |first, second, random| {
        let ended: Vec<usize> = first.jobs.iter().filter_map(|job| job.last()).collect();
        let seen = first.delivered(random.pick(&ended)?);
        let mut edit = second.edit();
        let behind = random.below(second.drained() as u64) as usize;
        edit.insert(behind, Event::Delivered(next_run(seen, seen.client)));
        Some(edit.done())
    });
}

/// Its body is one of which nobody knows whether it was taken: without the past it is that one.
#[test]
fn a_job_of_an_earlier_section_is_not_taken_for_another_with_its_body() {
    is_found(Rule::S4, |first, second, random| {
        let ended: Vec<usize> = first.jobs.iter().filter_map(|job| job.last()).collect();
        let seen = first.delivered(random.pick(&ended)?).clone();
        let mut edit = second.edit();
        let (client, operation) = (seen.client, 2_000_000);
        let push = first
            .jobs
            .iter()
            .find(|job| job.id == seen.job)?
            .push
            .clone();
        let lease_ms = push.lease_ms;
        let what = Operation::Push(verteilt_history::Push {
            producer: None,
            bodies: vec![seen.body],
            ..push
        });
        edit.insert(
            0,
            Event::Invoke {
                client,
                operation,
                what,
            },
        );
        edit.insert(0, Event::Info { operation });
        let again = Delivered {
            attempt: 1,
            lease_ms,
            ..next_run(&seen, client)
        };
        edit.insert(second.drained() - 1, Event::Delivered(again));
        Some(edit.done())
    });
}

#[test]
fn an_id_of_an_earlier_section_that_is_given_again_is_found() {
    is_found(Rule::S7, |first, second, random| {
        let durable = |view: &View| -> Vec<_> {
            let jobs = view.jobs.iter().filter(|job| job.is_durable());
            jobs.map(|job| (job.id, job.answer)).collect()
        };
        let (id, _) = random.pick(&durable(first))?;
        let (_, answer) = random.pick(&durable(second))?;
        let mut edit = second.edit();
        if let Event::Ok {
            pushed: Some(pushed),
            ..
        } = edit.event(answer)
        {
            pushed.first_id = id;
        }
        Some(edit.done())
    });
}

#[test]
fn a_dead_job_of_an_earlier_section_that_is_dead_again_is_found() {
    is_found(Rule::S4, |first, second, random| {
        let Event::Drained { queues } = &first.record(first.drained()).event else {
            return None;
        };
        let dead: Vec<u64> = queues.iter().flat_map(|queue| queue.dead.clone()).collect();
        let id = random.pick(&dead)?;
        let mut edit = second.edit();
        if let Event::Drained { queues } = edit.event(second.drained()) {
            queues.first_mut()?.dead.push(id);
        }
        Some(edit.done())
    });
}

/// The smallest token of the section becomes smaller still: in itself the section is in order.
#[test]
fn a_token_that_begins_anew_in_a_later_section_is_found() {
    is_found(Rule::S3, |first, second, _| {
        let token = |view: &View, index: &usize| view.delivered(*index).token;
        let durable = |view: &View| -> Vec<usize> {
            let jobs = view.jobs.iter().filter(|job| job.is_durable());
            jobs.flat_map(|job| job.deliveries.clone()).collect()
        };
        let most = durable(first)
            .iter()
            .map(|index| token(first, index))
            .max()?;
        let least = durable(second)
            .iter()
            .map(|index| token(second, index))
            .min()?;
        let mut anew = second.history.clone();
        for record in &mut anew.records {
            renumber(&mut record.event, least, most);
        }
        let alone = check(&anew, &options());
        assert!(alone.holds(), "{alone}");
        Some(anew)
    });
}

fn renumber(event: &mut Event, from: u64, to: u64) {
    let tokens: Vec<&mut u64> = match event {
        Event::Invoke {
            what:
                Operation::Ack { token, .. }
                | Operation::Nack { token, .. }
                | Operation::Release { token, .. }
                | Operation::Touch { token, .. },
            ..
        }
        | Event::Delivered(Delivered { token, .. })
        | Event::LeaseLost { token, .. } => vec![token],
        Event::Connected {
            held: Some(held), ..
        } => held.iter_mut().map(|(_, token)| token).collect(),
        _ => Vec::new(),
    };
    let same = tokens.into_iter().filter(|token| **token == from);
    same.for_each(|token| *token = to);
}

#[test]
fn numbers_of_memory_jobs_are_counted_apart() {
    let (first, second) = sections(3);
    let is_volatile = |view: &View| view.jobs.iter().any(|job| job.id & VOLATILE != 0);
    assert!(is_volatile(&first) && is_volatile(&second));
    for rule in [Rule::S3, Rule::S4, Rule::S7] {
        assert_eq!(broken(&first.history, &second.history, rule), 0);
    }
}
