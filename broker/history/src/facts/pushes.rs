//! Pushes: one for each producer and sequence, however often it was sent.

use std::collections::HashMap;

use super::{At, Call, End};
use crate::{Durability, Operation, Producer, Push, Pushed};

/// A push with all the times it was sent.
#[derive(Clone, Debug)]
pub(crate) struct Submission<'h> {
    /// As it was sent first.
    pub(crate) what: &'h Push,
    /// When it was sent first.
    pub(crate) invoked: At,
    /// When each of its invocations began; more than one if it was sent again.
    pub(crate) invocations: Vec<At>,
    /// Its acknowledgements in order.
    pub(crate) answers: Vec<Answer>,
    pub(crate) fate: Fate,
}

/// An acknowledgement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) at: At,
    pub(crate) pushed: Pushed,
}

/// What is known of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Acknowledged,
    Unknown,
    Refused,
}

impl Submission<'_> {
    /// What was reached, or what was asked for if that is not known.
    pub(crate) fn durability(&self) -> Durability {
        let reached = self.answers.iter().map(|answer| answer.pushed.durability);
        reached.min().unwrap_or(self.what.durability)
    }

    /// The lines that tell of it.
    pub(crate) fn lines(&self) -> Vec<usize> {
        let invoked = self.invocations.iter().map(|at| at.line);
        invoked
            .chain(self.answers.iter().map(|answer| answer.at.line))
            .collect()
    }
}

pub(super) fn gather<'h>(calls: &[Call<'h>]) -> Vec<Submission<'h>> {
    let mut pushes: Vec<Submission<'h>> = Vec::new();
    let mut numbered: HashMap<&'h Producer, usize> = HashMap::new();
    for call in calls {
        let Operation::Push(what) = call.what else {
            continue;
        };
        let new = pushes.len();
        let index = match &what.producer {
            Some(producer) => *numbered.entry(producer).or_insert(new),
            None => new,
        };
        if index == new {
            pushes.push(Submission {
                what,
                invoked: call.invoked,
                invocations: Vec::new(),
                answers: Vec::new(),
                fate: Fate::Refused,
            });
        }
        let push = &mut pushes[index];
        push.invocations.push(call.invoked);
        match (call.end, call.ended) {
            (End::Ok(Some(pushed)), Some(at)) => push.answers.push(Answer { at, pushed }),
            (End::Refused(_), _) => {}
            _ if push.fate == Fate::Refused => push.fate = Fate::Unknown,
            _ => {}
        }
    }
    for push in &mut pushes {
        push.answers.sort_by_key(|answer| answer.at);
        if !push.answers.is_empty() {
            push.fate = Fate::Acknowledged;
        }
    }
    pushes
}
