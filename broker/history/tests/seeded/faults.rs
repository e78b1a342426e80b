//! Faults to plant: each takes a correct history and breaks one promise in it for certain, or
//! finds no place for itself.

mod lease;
mod loss;
mod once;
mod order;
mod origin;
mod run;
mod time;

use verteilt_history::{Delivered, History, Rule};

use crate::random::Random;
use crate::view::{Job, View};

type Plant = fn(&View, &mut Random) -> Option<History>;

/// A fault: its name, the promise that it breaks, and how it is planted.
pub(crate) type Fault = (&'static str, Rule, Plant);

pub(crate) fn all() -> Vec<Fault> {
    [
        loss::FAULTS,
        origin::FAULTS,
        lease::FAULTS,
        run::FAULTS,
        order::FAULTS,
        once::FAULTS,
        time::FAULTS,
    ]
    .concat()
}

/// One of the jobs of that kind.
fn any_job<'v>(view: &'v View, random: &mut Random, is: impl Fn(&Job) -> bool) -> Option<&'v Job> {
    let jobs: Vec<&Job> = view.jobs.iter().filter(|job| is(job)).collect();
    random.pick(&jobs)
}

/// One of the deliveries of that kind of jobs that were certainly on the disk.
fn any_delivery<'v>(
    view: &'v View,
    random: &mut Random,
    is: impl Fn(&Job, usize) -> bool,
) -> Option<(&'v Job, usize)> {
    let durable = view.jobs.iter().filter(|job| job.is_durable());
    let all = durable.flat_map(|job| job.deliveries.iter().map(move |index| (job, *index)));
    let fit: Vec<(&Job, usize)> = all.filter(|(job, index)| is(job, *index)).collect();
    random.pick(&fit)
}

/// The next run of a job, under a token just above that of the one before.
pub(crate) fn next_run(before: &Delivered, client: u32) -> Delivered {
    Delivered {
        client,
        token: before.token + 1,
        attempt: before.attempt + 1,
        ..before.clone()
    }
}

fn another(client: u32) -> u32 {
    (client + 1) % 4
}
