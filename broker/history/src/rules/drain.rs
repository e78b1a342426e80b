//! S10: when faults stop, every job comes to its end and every push is answered.

use super::Findings;
use crate::facts::{At, Facts};
use crate::{Operation, QueueEnd, Rule};

pub(super) fn check(facts: &Facts<'_>, findings: &mut Findings) {
    let Some(stopped) = facts.world.faults_stopped else {
        return;
    };
    findings.checked(Rule::S10);
    let drain_ms = facts.options.drain_ms;
    let expected = format!("{drain_ms} ms after the faults everything is done");
    let Some((drained, ends)) = facts.world.drained.filter(|(at, _)| *at > stopped) else {
        let found = "the history ends before the queues were seen empty";
        findings.broken(Rule::S10, expected, found, vec![stopped.line]);
        return;
    };
    let lines = vec![stopped.line, drained.line];
    let took_ms = drained.at_ms - stopped.at_ms;
    if took_ms > drain_ms {
        let found = format!("it took {took_ms} ms");
        findings.broken(Rule::S10, expected.as_str(), found, lines.clone());
    }
    for end in ends.iter().filter(|end| end.unfinished() > 0) {
        let found = left_over(end);
        findings.broken(Rule::S10, expected.as_str(), found, lines.clone());
    }
    unanswered(facts, drained, findings);
}

fn left_over(end: &QueueEnd) -> String {
    format!(
        "queue {} has {} scheduled, {} ready, {} leased and {} failed jobs",
        end.queue, end.scheduled, end.ready, end.leased, end.failed
    )
}

fn unanswered(facts: &Facts<'_>, drained: At, findings: &mut Findings) {
    for call in &facts.calls {
        let is_push = matches!(call.what, Operation::Push(_));
        if is_push && call.invoked < drained && call.ended.is_none_or(|at| at > drained) {
            let expected = "every waiting push is answered, or given up by its client";
            let found = format!("a push of client {} is still open", call.client);
            let lines = vec![call.invoked.line, drained.line];
            findings.broken(Rule::S10, expected, found, lines);
        }
    }
}
