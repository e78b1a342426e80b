//! Some thousand seeds; `make sim SEEDS=N` runs as many as there is time for.

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
