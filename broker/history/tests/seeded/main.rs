//! The checker is tested itself: histories of a correct broker pass, whatever the seed; and each
//! fault that is planted in one is found, by the rule that it breaks.

mod faults;
mod model;
mod random;
mod sections;
mod view;
mod world;

use random::Random;
use verteilt_history::{Options, Rule, check};
use view::View;

/// As the model's broker is set up.
fn options() -> Options {
    Options {
        tolerance_ms: 2,
        lag_ms: 60,
        resume_grace_ms: 2_000,
        lease_ms_default: 1_000,
        attempts_default: 4,
        backoff_ms_first: 200,
        backoff_ms_max: 1_000,
        drain_ms: 200_000,
        ..Options::default()
    }
}

#[test]
fn histories_of_a_correct_broker_pass() {
    let mut checks = [0; 10];
    for seed in 0..120 {
        let history = world::history(seed);
        let report = check(&history, &options());
        if !report.holds() {
            let path = std::env::temp_dir().join(format!("history-{seed}.jsonl"));
            let file = std::fs::File::create(&path).unwrap();
            history.write(std::io::BufWriter::new(file)).unwrap();
            panic!("seed {seed}, {}\n{report}", path.display());
        }
        for (sum, rule) in checks.iter_mut().zip(Rule::ALL) {
            *sum += report.checks(rule);
        }
        if seed == 0 {
            println!("{report}");
        }
    }
    for (checks, rule) in checks.iter().zip(Rule::ALL) {
        assert!(
            *checks > 0 || rule == Rule::S9,
            "{rule} had nothing to check"
        );
    }
}

#[test]
fn every_planted_fault_is_found() {
    const SEEDS: u64 = 40;
    let views: Vec<View> = (1_000..1_000 + SEEDS)
        .map(|seed| View::of(&world::history(seed), options().lag_ms))
        .collect();
    for view in &views {
        assert!(
            check(&view.history, &options()).holds(),
            "correct before a fault is planted"
        );
    }
    for (name, rule, plant) in faults::all() {
        let mut planted = 0;
        for (seed, view) in views.iter().enumerate() {
            let mut random = Random::new(seed as u64);
            // Not every place that is tried is fit for every fault.
            let Some(broken) = (0..40).find_map(|_| plant(view, &mut random)) else {
                continue;
            };
            planted += 1;
            let report = check(&broken, &options());
            if report.broken(rule) == 0 {
                let path = std::env::temp_dir().join("history-missed.jsonl");
                let file = std::fs::File::create(&path).unwrap();
                broken.write(std::io::BufWriter::new(file)).unwrap();
                panic!(
                    "{name}: {rule} missed it, seed {seed}, {}\n{report}",
                    path.display()
                );
            }
            let lines = broken.records.len();
            for violation in &report.violations {
                assert!(!violation.lines.is_empty(), "{violation}");
                assert!(
                    violation
                        .lines
                        .iter()
                        .all(|line| (1..=lines).contains(line))
                );
            }
        }
        assert!(
            planted >= SEEDS / 4,
            "{name}: planted in {planted} of {SEEDS} histories only"
        );
        println!("{rule} {name}: found in {planted} of {planted}");
    }
}
