//! S7: a push is accepted once, however often it is sent, and an id is given out once.

use super::Findings;
use crate::facts::{Answer, Facts, Submission, any_within};
use crate::{Durability, Rule};

pub(super) fn check(facts: &Facts<'_>, findings: &mut Findings) {
    let mut given: Vec<(u64, u64, usize)> = Vec::new();
    for (index, push) in facts.pushes.iter().enumerate() {
        let Some(first) = push.answers.first() else {
            continue;
        };
        findings.checked(Rule::S7);
        for pair in push.answers.windows(2) {
            if !was_forgotten(facts, push, &pair[0], &pair[1]) {
                accepted_again(push, &pair[0], &pair[1], findings);
            }
        }
        let count = push.what.bodies.len() as u64;
        given.push((first.pushed.first_id, count, index));
        let others = push.answers.iter().map(|answer| answer.pushed.first_id);
        let others = others.filter(|id| *id != first.pushed.first_id);
        given.extend(others.map(|id| (id, count, index)));
    }
    given.sort_unstable();
    for pair in given.windows(2) {
        let ((first, count, a), (second, _, b)) = (pair[0], pair[1]);
        if a != b && second - first < count {
            let expected = "every job gets an id of its own";
            let found = format!("two pushes were answered with id {second}");
            let lines = [facts.pushes[a].lines(), facts.pushes[b].lines()].concat();
            findings.broken(Rule::S7, expected, found, lines);
        }
    }
}

/// What `memory` pushes leave behind is remembered in memory only.
fn was_forgotten(facts: &Facts<'_>, push: &Submission<'_>, a: &Answer, b: &Answer) -> bool {
    let (from_ms, to_ms) = (facts.before(a.at.at_ms), b.at.at_ms);
    push.durability() == Durability::Memory && any_within(&facts.world.stops, from_ms, to_ms)
}

fn accepted_again(push: &Submission<'_>, a: &Answer, b: &Answer, findings: &mut Findings) {
    let (first, second) = (a.pushed.first_id, b.pushed.first_id);
    if first != second {
        let expected = "a push that is sent again is answered with the ids of then";
        let found = format!("it was answered with id {first} and with id {second}");
        findings.broken(Rule::S7, expected, found, push.lines());
    } else if !a.pushed.duplicate && !b.pushed.duplicate {
        let expected = "one answer at most says that the push is new";
        let found = format!("the push of job {first} was taken as new twice");
        findings.broken(Rule::S7, expected, found, push.lines());
    }
}
