//! The promises, a file for each question. Every one reads the facts and adds to the findings.

mod attempts;
mod drain;
mod ended;
mod finished;
mod line;
mod loss;
mod once;
mod order;
mod origin;
mod overlap;
mod past;
mod stale;
mod time;
mod tokens;

use crate::facts::Facts;
use crate::{Rule, Violation};

/// What the rules found so far.
#[derive(Debug)]
pub(crate) struct Findings {
    checks: [u64; 10],
    broken: [u64; 10],
    violations: Vec<Violation>,
    described_max: u64,
}

pub(crate) fn check_all(facts: &Facts<'_>, findings: &mut Findings) {
    loss::check(facts, findings);
    origin::check(facts, findings);
    tokens::check(facts, findings);
    once::check(facts, findings);
    order::check(facts, findings);
    drain::check(facts, findings);
    past::check(facts, findings);
    for job in &facts.jobs {
        overlap::check(facts, job, findings);
        stale::check(facts, job, findings);
        finished::check(facts, job, findings);
        attempts::check(facts, job, findings);
        time::check(facts, job, findings);
    }
    finished::check_dead(facts, findings);
    attempts::check_dead(facts, findings);
}

impl Findings {
    pub(crate) fn new(described_max: usize) -> Self {
        Self {
            checks: [0; 10],
            broken: [0; 10],
            violations: Vec::new(),
            described_max: described_max as u64,
        }
    }

    /// A rule had something to decide on.
    pub(crate) fn checked(&mut self, rule: Rule) {
        self.checks[rule.index()] += 1;
    }

    /// A rule was broken.
    pub(crate) fn broken(
        &mut self,
        rule: Rule,
        expected: impl Into<String>,
        found: impl Into<String>,
        mut lines: Vec<usize>,
    ) {
        self.broken[rule.index()] += 1;
        if self.broken[rule.index()] > self.described_max {
            return;
        }
        lines.sort_unstable();
        lines.dedup();
        self.violations.push(Violation {
            rule,
            expected: expected.into(),
            found: found.into(),
            lines,
        });
    }

    /// Checks, times broken, and violations in the order of the rules.
    pub(crate) fn into_parts(mut self) -> ([u64; 10], [u64; 10], Vec<Violation>) {
        self.violations.sort_by_key(|violation| violation.rule);
        (self.checks, self.broken, self.violations)
    }
}
