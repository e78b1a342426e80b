//! Some thousand seeds; `make sim SEEDS=N` runs as many as there is time for.

use verteilt_history::{DurableRecord, RequestOutcome, RequestRecord};
use verteilt_simulation::{Campaign, Plan, run, shrink};

/// Seeds of this test. More find more, and this has to end before anybody goes for coffee.
const SEEDS: u64 = 3_000;

#[test]
fn every_seed_keeps_every_promise() {
    let campaign = Campaign {
        first: 1,
        seeds: SEEDS,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        repeat: 100,
        durable_only: false,
    };
    let (totals, discovery) = campaign.run(|_| {});
    if let Some(found) = discovery {
        let seed = found.plan.seed;
        let (smaller, _) = shrink(&found.plan, &found.outcome.kinds);
        panic!(
            "seed {seed}: {:#?}\nshrunk to {smaller:#?}\nrepeat it with: simulate --seed {seed}",
            found.outcome.findings
        );
    }
    assert_eq!(totals.runs, SEEDS);
    assert!(totals.operations_min >= 1_000, "{totals:?}");
    assert!(totals.crashes_min >= 1, "{totals:?}");
}

/// What the rules for them are about is there to be judged.
#[test]
fn requests_of_durability_disk_are_lost_sent_again_and_answered() {
    let plans = (1..).map(Plan::of_seed);
    let mut plans = plans.filter(Plan::has_durable_requests);
    let records = plans.by_ref().take(10).flat_map(|plan| run(&plan).requests);
    let (mut anew, mut known, mut reruns, mut replied, mut failed) = (0, 0, 0, 0, 0);
    for record in records {
        match record {
            RequestRecord::Started { attempt: 2.., .. } => reruns += 1,
            RequestRecord::Durable(DurableRecord::Accepted { known: true, .. }) => known += 1,
            RequestRecord::Durable(DurableRecord::Accepted { known: false, .. }) => anew += 1,
            RequestRecord::Durable(DurableRecord::Told { outcome, .. }) => match outcome {
                RequestOutcome::Replied { .. } => replied += 1,
                RequestOutcome::Failed { .. } => failed += 1,
                RequestOutcome::Unknown | RequestOutcome::Pending => {}
            },
            _ => {}
        }
    }
    let all = [anew, known, reruns, replied, failed];
    assert!(all.iter().all(|seen| *seen > 10), "{all:?}");
}

#[test]
fn one_seed_is_one_run() {
    let outcomes = [0, 1].map(|_| run(&Plan::of_seed(77)));
    assert_eq!(outcomes[0].fingerprint, outcomes[1].fingerprint);
    assert_eq!(outcomes[0].history, outcomes[1].history);
    assert_ne!(outcomes[0].fingerprint, run(&Plan::of_seed(78)).fingerprint);
}

/// Each showed a fault of the broker or its client once, and lies beyond those above or before them.
#[test]
fn seeds_that_found_something_find_nothing_any_more() {
    for seed in [3, 339, 2_369, 40_732] {
        let outcome = run(&Plan::of_seed(seed));
        assert!(
            outcome.findings.is_empty(),
            "seed {seed}: {:#?}",
            outcome.findings
        );
    }
}
