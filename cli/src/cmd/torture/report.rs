//! What came out of it.

use std::path::PathBuf;

use serde::Serialize;
use verteilt_history::{Report, Rule, TopicRecord, Violation};

use super::run::DESCRIBED_MAX;
use super::tally::{Rounds, Spread, Tally};
use crate::failure::{Exit, Failure};
use crate::output;

/// All that there is to tell in the end.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) seed: u64,
    /// Those that were done.
    pub(super) rounds: u32,
    pub(super) sections: u32,
    pub(super) each_round: Rounds,
    /// Bodies that came changed.
    pub(super) torn: u64,
    /// The broker's folder at the end of a section, at the most.
    pub(super) data_bytes_most: u64,
    pub(super) report: Report,
    pub(super) topics: TopicsTold,
    /// That of the section in which a promise was broken.
    pub(super) history: Option<PathBuf>,
}

/// What came out of the topics.
#[derive(Debug, Default)]
pub(super) struct TopicsTold {
    published: u64,
    read: u64,
    commits: u64,
    violations: Vec<Violation>,
}

impl TopicsTold {
    /// Another section.
    pub(super) fn add(&mut self, history: &[TopicRecord], broken: Vec<Violation>) {
        for record in history {
            match record {
                TopicRecord::Published { .. } => self.published += 1,
                TopicRecord::Read(_) => self.read += 1,
                TopicRecord::Committed { .. } => self.commits += 1,
                _ => {}
            }
        }
        self.violations.extend(broken);
    }
}

#[derive(Serialize)]
struct Numbers<'r> {
    seed: u64,
    rounds: u32,
    sections: u32,
    kills: u64,
    each_round: Rounds,
    records: u64,
    pushes_acknowledged: u64,
    pushes_unknown: u64,
    pushes_refused: u64,
    deliveries: u64,
    redeliveries: u64,
    acks: u64,
    data_bytes_most: u64,
    bodies_changed: u64,
    records_published: u64,
    records_read: u64,
    commits: u64,
    violations: u64,
    history: Option<String>,
    described: Vec<Broken<'r>>,
}

#[derive(Serialize)]
struct Broken<'r> {
    rule: String,
    expected: &'r str,
    found: &'r str,
    lines: &'r [usize],
}

impl Told {
    /// Nothing yet.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            rounds: 0,
            sections: 0,
            each_round: Tally::default().rounds(),
            torn: 0,
            data_bytes_most: 0,
            report: Report::default(),
            topics: TopicsTold::default(),
            history: None,
        }
    }

    /// Prints it, and says how to end.
    pub(super) fn print(&self, json: bool) -> Result<Exit, Failure> {
        let topics = &self.topics;
        let holds = self.report.holds() && self.torn == 0 && topics.violations.is_empty();
        if json {
            output::json(&self.numbers())?;
        } else {
            output::line(self.report.to_string().trim_end())?;
            output::line(&format!(
                "topics: {} records published, {} read, {} commits, {}",
                topics.published,
                topics.read,
                topics.commits,
                if topics.violations.is_empty() {
                    "kept"
                } else {
                    "BROKEN"
                }
            ))?;
            for violation in topics.violations.iter().take(DESCRIBED_MAX) {
                output::line(&violation.to_string())?;
            }
            self.print_rounds()?;
            if self.torn > 0 {
                output::line(&format!("{} bodies came changed", self.torn))?;
            }
        }
        if holds {
            return Ok(Exit::Done);
        }
        let failure = Failure::work(format!("a promise was broken (seed {})", self.seed));
        let history = self.history.as_deref().unwrap_or(std::path::Path::new(""));
        Err(failure.advise(format!(
            "the lines are those of {}; please report it with that file",
            history.display()
        )))
    }

    fn print_rounds(&self) -> Result<(), Failure> {
        let (rounds, sections) = (self.rounds, self.sections);
        output::line(&format!(
            "in each of {rounds} rounds ({sections} sections):"
        ))?;
        let each = &self.each_round;
        let row = |name: &str, spread: Spread| {
            let numbers = [spread.least, spread.median, spread.most, spread.total];
            let [a, b, c, d] = numbers.map(|number| number.to_string());
            [name.to_owned(), a, b, c, d]
        };
        let rows = [
            row("pushes acknowledged", each.pushes_acknowledged),
            row("acks answered", each.acks_answered),
            row("at the kill: pushes unanswered", each.pushes_unanswered),
            row("at the kill: leases held", each.leases_held),
        ];
        output::table(["", "least", "median", "most", "in all"], &rows)
    }

    fn numbers(&self) -> Numbers<'_> {
        let (report, counts) = (&self.report, &self.report.counts);
        let broken: u64 = Rule::ALL.iter().map(|rule| report.broken(*rule)).sum();
        let topics = &self.topics;
        let all = report.violations.iter().chain(&topics.violations);
        let described = all.map(|violation| Broken {
            rule: violation.rule.to_string(),
            expected: &violation.expected,
            found: &violation.found,
            lines: &violation.lines,
        });
        let history = self.history.as_ref();
        Numbers {
            seed: self.seed,
            rounds: self.rounds,
            sections: self.sections,
            kills: counts.kills,
            each_round: self.each_round,
            records: counts.records,
            pushes_acknowledged: counts.pushes_acknowledged,
            pushes_unknown: counts.pushes_unknown,
            pushes_refused: counts.pushes_refused,
            deliveries: counts.deliveries,
            redeliveries: counts.redeliveries,
            acks: counts.acks,
            data_bytes_most: self.data_bytes_most,
            bodies_changed: self.torn,
            records_published: topics.published,
            records_read: topics.read,
            commits: topics.commits,
            violations: broken + (report.contradictions.len() + topics.violations.len()) as u64,
            history: history.map(|path| path.display().to_string()),
            described: described.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use verteilt_history::{Body, Event, Operation, Options, Push, Pushed, Recorder, check};

    use super::*;

    #[test]
    fn a_lost_job_ends_in_a_failure_that_names_the_seed() {
        let recorder = Recorder::default();
        let push = Push {
            queue: "q".into(),
            bodies: vec![Body::of(b"body")],
            ..Push::default()
        };
        let operation = recorder.invoke(1, Operation::Push(push));
        let first_id = 1;
        let pushed = Pushed {
            first_id,
            ..Pushed::default()
        };
        recorder.pushed(operation, pushed);
        recorder.record(Event::Drained { queues: Vec::new() });
        let told = Told {
            report: check(&recorder.finish(), &Options::default()),
            history: Some("folder/history.jsonl".into()),
            ..Told::new(42)
        };
        let failure = told.print(true).unwrap_err();
        assert_eq!(failure.exit, Exit::WorkFailed);
        assert!(failure.message.contains("42"), "{}", failure.message);
        let advice = failure.advice.unwrap();
        assert!(advice.contains("folder/history.jsonl"), "{advice}");
    }

    #[test]
    fn a_changed_body_alone_is_a_failure() {
        assert!(Told::new(1).print(true).is_ok());
        let torn = Told {
            torn: 1,
            ..Told::new(1)
        };
        assert!(torn.print(true).is_err());
    }
}
