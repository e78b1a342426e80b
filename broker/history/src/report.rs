//! What the checker found.

use std::fmt;
use std::ops::AddAssign;

use crate::Rule;

/// The result in one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// No promise was broken, as far as this history can tell.
    #[default]
    Holds,
    /// At least one promise was certainly broken.
    Broken,
    /// The history contradicts itself, so nothing was checked: whoever recorded it has a bug.
    Malformed,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which one.
    pub rule: Rule,
    /// What should have been.
    pub expected: String,
    /// What was instead.
    pub found: String,
    /// The records that show it: line numbers from 1.
    pub lines: Vec<usize>,
}

/// What the history was about. Jobs are counted, not frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records in all.
    pub records: u64,
    /// Jobs whose push was acknowledged.
    pub pushes_acknowledged: u64,
    /// Jobs of which nobody knows whether they were taken.
    pub pushes_unknown: u64,
    /// Jobs whose push was refused.
    pub pushes_refused: u64,
    /// Deliveries seen.
    pub deliveries: u64,
    /// Those of them that were not the first run.
    pub redeliveries: u64,
    /// Acks that were answered.
    pub acks: u64,
    /// Acks of which nobody knows whether they were done.
    pub acks_unknown: u64,
    /// Nacks that were answered.
    pub nacks: u64,
    /// Releases that were answered.
    pub releases: u64,
    /// Settlings that were refused.
    pub settles_refused: u64,
    /// Connections that ended.
    pub disconnects: u64,
    /// Times the broker was killed or lost its power.
    pub kills: u64,
    /// Times it was stopped in peace.
    pub stops: u64,
}

/// What the checker found. The default is that of no history at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// In one word.
    pub verdict: Verdict,
    /// What the history was about.
    pub counts: Counts,
    /// Broken promises in the order of the rules, at most `Options::described_max` of each.
    pub violations: Vec<Violation>,
    /// Why the history is malformed, with line numbers; empty unless it is.
    pub contradictions: Vec<(usize, String)>,
    pub(crate) checks: [u64; 10],
    pub(crate) broken: [u64; 10],
}

impl Report {
    /// Whether the history is sound and no promise was broken.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.verdict == Verdict::Holds
    }

    /// How often a rule had something to decide on; with 0 it says nothing.
    #[must_use]
    pub fn checks(&self, rule: Rule) -> u64 {
        self.checks[rule.index()]
    }

    /// How often a rule was broken, described or not.
    #[must_use]
    pub fn broken(&self, rule: Rule) -> u64 {
        self.broken[rule.index()]
    }
}

/// The next section of the same history. Line numbers stay those of their sections.
impl AddAssign for Report {
    fn add_assign(&mut self, next: Self) {
        self.verdict = self.verdict.max(next.verdict);
        self.counts += next.counts;
        self.violations.extend(next.violations);
        self.contradictions.extend(next.contradictions);
        for index in 0..Rule::ALL.len() {
            self.checks[index] += next.checks[index];
            self.broken[index] += next.broken[index];
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, more: Self) {
        self.records += more.records;
        self.pushes_acknowledged += more.pushes_acknowledged;
        self.pushes_unknown += more.pushes_unknown;
        self.pushes_refused += more.pushes_refused;
        self.deliveries += more.deliveries;
        self.redeliveries += more.redeliveries;
        self.acks += more.acks;
        self.acks_unknown += more.acks_unknown;
        self.nacks += more.nacks;
        self.releases += more.releases;
        self.settles_refused += more.settles_refused;
        self.disconnects += more.disconnects;
        self.kills += more.kills;
        self.stops += more.stops;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Holds => "every promise was kept",
            Verdict::Broken => "promises were BROKEN",
            Verdict::Malformed => "the history is MALFORMED, nothing was checked",
        };
        writeln!(out, "{verdict}")?;
        self.counts.fmt(out)?;
        for (line, why) in &self.contradictions {
            writeln!(out, "line {line}: {why}")?;
        }
        for rule in Rule::ALL {
            let (checks, broken) = (self.checks(rule), self.broken(rule));
            write!(out, "{rule:<4}{}: ", rule.promise())?;
            match (checks, broken) {
                (0, 0) => writeln!(out, "nothing to check")?,
                (_, 0) => writeln!(out, "kept, {checks} checks")?,
                _ => writeln!(out, "BROKEN {broken} times, {checks} checks")?,
            }
        }
        for violation in &self.violations {
            violation.fmt(out)?;
        }
        Ok(())
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{} broken: {}", self.rule, self.found)?;
        writeln!(out, "      expected: {}", self.expected)?;
        let lines: Vec<String> = self.lines.iter().map(usize::to_string).collect();
        writeln!(out, "      lines: {}", lines.join(", "))
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "{} records; jobs pushed: {} acknowledged, {} unknown, {} refused",
            self.records, self.pushes_acknowledged, self.pushes_unknown, self.pushes_refused
        )?;
        writeln!(
            out,
            "{} deliveries, {} of them again; {} acks and {} unknown, {} nacks, {} releases, {} refused",
            self.deliveries,
            self.redeliveries,
            self.acks,
            self.acks_unknown,
            self.nacks,
            self.releases,
            self.settles_refused
        )?;
        writeln!(
            out,
            "{} disconnects, {} kills, {} stops",
            self.disconnects, self.kills, self.stops
        )
    }
}
