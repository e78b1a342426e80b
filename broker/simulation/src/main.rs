//! `simulate`: many seeds, or one of them again.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use verteilt_simulation::{Campaign, Outcome, Plan, Totals, run, shrink};

/// Simulate the whole broker under faults, a run for each seed
#[derive(Debug, Parser)]
struct Arguments {
    /// How many seeds
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// This seed only, with its history on standard output
    #[arg(long)]
    seed: Option<u64>,
    /// Runs at a time
    #[arg(long, default_value_t = std::thread::available_parallelism().map_or(1, usize::from))]
    threads: usize,
    /// One in so many runs is made twice, and must be the same; 0: none
    #[arg(long, default_value_t = 50)]
    repeat: u64,
    /// Only seeds with requests of durability `disk`
    #[arg(long)]
    durable: bool,
}

/// Runs between two lines of progress.
const PROGRESS_RUNS: u64 = 1_000;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(seed) = arguments.seed {
        return one(seed);
    }
    let campaign = Campaign {
        first: arguments.first,
        seeds: arguments.seeds,
        threads: arguments.threads,
        repeat: arguments.repeat,
        durable_only: arguments.durable,
    };
    let begun = Instant::now();
    let (totals, discovery) = campaign.run(|totals| {
        if totals.runs.is_multiple_of(PROGRESS_RUNS) {
            tell(totals, begun);
        }
    });
    tell(&totals, begun);
    let Some(discovery) = discovery else {
        return ExitCode::SUCCESS;
    };
    explain(&discovery.plan, &discovery.outcome);
    ExitCode::FAILURE
}

fn tell(totals: &Totals, begun: Instant) {
    eprintln!(
        "{} runs in {} s, all sound, {} made twice: {} operations (at least {} in a run), {} pushes \
         acknowledged, {} deliveries, {} crashes (at least {} in a run)",
        totals.runs,
        begun.elapsed().as_secs(),
        totals.repeated,
        totals.operations,
        totals.operations_min,
        totals.acknowledged,
        totals.deliveries,
        totals.crashes,
        totals.crashes_min,
    );
}

/// What was found, and the smallest run that shows it.
fn explain(plan: &Plan, outcome: &Outcome) {
    let tell = |outcome: &Outcome| {
        let findings = outcome.findings.iter();
        findings.for_each(|finding| eprintln!("{finding}"));
    };
    eprintln!("seed {}: something is wrong", plan.seed);
    tell(outcome);
    let (smaller, runs) = shrink(plan, &outcome.kinds);
    eprintln!("shrunk in {runs} runs to\n{smaller:#?}");
    let outcome = run(&smaller);
    tell(&outcome);
    eprintln!("its history:");
    // Standard error is all there is to tell it to.
    let _ = outcome.write(std::io::stderr());
    eprintln!("repeat it with: simulate --seed {}", plan.seed);
}

fn one(seed: u64) -> ExitCode {
    let plan = Plan::of_seed(seed);
    let outcome = run(&plan);
    if !outcome.findings.is_empty() {
        explain(&plan, &outcome);
        return ExitCode::FAILURE;
    }
    // Whoever stopped reading has seen enough.
    let _ = outcome.write(std::io::stdout());
    eprintln!(
        "seed {seed}: sound, {} operations, fingerprint {:016x}",
        outcome.operations, outcome.fingerprint
    );
    ExitCode::SUCCESS
}
