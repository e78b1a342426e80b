//! What came out of it.

use std::path::PathBuf;

use serde::Serialize;
use verteilt_history::{Report, Rule};

use crate::failure::{Exit, Failure};
use crate::output;

/// What the checker does not know.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) seed: u64,
    pub(super) rounds: u32,
    /// Bodies that came changed.
    pub(super) torn: u64,
    pub(super) history: PathBuf,
}

#[derive(Serialize)]
struct Numbers<'r> {
    seed: u64,
    rounds: u32,
    kills: u64,
    pushes_acknowledged: u64,
    pushes_unknown: u64,
    pushes_refused: u64,
    deliveries: u64,
    redeliveries: u64,
    acks: u64,
    bodies_changed: u64,
    violations: u64,
    history: String,
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
    /// Prints it, and says how to end.
    pub(super) fn print(&self, report: &Report, json: bool) -> Result<Exit, Failure> {
        let holds = report.holds() && self.torn == 0;
        if json {
            output::json(&self.numbers(report))?;
        } else {
            output::line(report.to_string().trim_end())?;
            if self.torn > 0 {
                output::line(&format!("{} bodies came changed", self.torn))?;
            }
        }
        if holds {
            return Ok(Exit::Done);
        }
        let failure = Failure::work(format!("a promise was broken (seed {})", self.seed));
        let history = self.history.display();
        Err(failure.advise(format!(
            "the lines are those of {history}; please report it with that file"
        )))
    }

    fn numbers<'r>(&self, report: &'r Report) -> Numbers<'r> {
        let counts = &report.counts;
        let broken: u64 = Rule::ALL.iter().map(|rule| report.broken(*rule)).sum();
        let described = report.violations.iter().map(|violation| Broken {
            rule: violation.rule.to_string(),
            expected: &violation.expected,
            found: &violation.found,
            lines: &violation.lines,
        });
        Numbers {
            seed: self.seed,
            rounds: self.rounds,
            kills: counts.kills,
            pushes_acknowledged: counts.pushes_acknowledged,
            pushes_unknown: counts.pushes_unknown,
            pushes_refused: counts.pushes_refused,
            deliveries: counts.deliveries,
            redeliveries: counts.redeliveries,
            acks: counts.acks,
            bodies_changed: self.torn,
            violations: broken + report.contradictions.len() as u64,
            history: self.history.display().to_string(),
            described: described.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use verteilt_history::{Body, Event, Operation, Options, Push, Pushed, Recorder, check};

    use super::*;

    fn told() -> Told {
        Told {
            seed: 42,
            rounds: 1,
            torn: 0,
            history: PathBuf::from("history.jsonl"),
        }
    }

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
        let report = check(&recorder.finish(), &Options::default());
        let failure = told().print(&report, true).unwrap_err();
        assert_eq!(failure.exit, Exit::WorkFailed);
        assert!(failure.message.contains("42"), "{}", failure.message);
    }

    #[test]
    fn a_changed_body_alone_is_a_failure() {
        let report = check(&Recorder::default().finish(), &Options::default());
        assert!(told().print(&report, true).is_ok());
        let torn = Told { torn: 1, ..told() };
        assert!(torn.print(&report, true).is_err());
    }
}
