//! Whatever happens, in whatever order: see `properties/steps.rs` for what may happen and
//! `properties/checker.rs` for what has to hold.

#[path = "properties/checker.rs"]
mod checker;
#[path = "properties/codec.rs"]
mod codec;
#[path = "properties/driver.rs"]
mod driver;
#[path = "properties/rest.rs"]
mod rest;
#[path = "properties/steps.rs"]
mod steps;
#[path = "properties/topics.rs"]
mod topics;
mod world;

use proptest::prelude::*;

/// `PROPTEST_CASES` counts; else as many cases as fit into a few seconds.
pub(crate) fn cases(debug: u32, release: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok();
    let ours = if cfg!(debug_assertions) {
        debug
    } else {
        release
    };
    let cases = asked.and_then(|cases| cases.parse().ok()).unwrap_or(ours);
    ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases(300, 5_000))]

    /// Short sequences meet more different beginnings, and are easy to read when they fail.
    #[test]
    fn whatever_happens_in_short(steps in steps::steps(25)) {
        driver::run(&steps);
    }
}

proptest! {
    #![proptest_config(cases(80, 2_000))]

    #[test]
    fn whatever_happens_at_length(steps in steps::steps(200)) {
        driver::run(&steps);
    }
}
