//! Retention: nothing goes that was to be kept.

use std::collections::BTreeMap;

use super::log::Log;
use super::names::{Names, Place};
use crate::Rule;
use crate::findings::Findings;

/// Bytes that stand around a record at most, its key not counted.
const AROUND_BYTES: u64 = 160;
/// Clocks count whole milliseconds.
const ROUNDING_MS: u64 = 2;

/// What a topic was told to keep; 0: everything.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    pub(super) line: usize,
    pub(super) age_ms: u64,
    pub(super) bytes: u64,
}

/// A partition was seen to begin here.
#[derive(Debug)]
struct Seen {
    line: usize,
    at_ms: Option<u64>,
    place: Place,
}

#[derive(Debug, Default)]
pub(super) struct Drops {
    pub(super) at_ms: Option<u64>,
    clock_set: Option<usize>,
    kept: BTreeMap<u32, Vec<Kept>>,
    seen: Vec<Seen>,
}

impl Drops {
    pub(super) fn clock_set(&mut self, line: usize) {
        self.clock_set.get_or_insert(line);
    }

    pub(super) fn keeps(&mut self, topic: u32, kept: Kept) {
        self.kept.entry(topic).or_default().push(kept);
    }

    pub(super) fn seen(&mut self, line: usize, place: Place) {
        let at_ms = self.at_ms;
        self.seen.push(Seen { line, at_ms, place });
    }

    /// Each step of what was seen to go was allowed to go. Topics of which nothing was told what they
    /// keep are not judged.
    pub(super) fn judge(&mut self, log: &Log, names: &Names, findings: &mut Findings) {
        let mut starts: BTreeMap<u32, u64> = BTreeMap::new();
        for seen in &self.seen {
            let (id, first) = seen.place;
            let topic = names.topic_of(id);
            let Some(kept) = self.kept.get(&topic) else {
                continue;
            };
            let before = starts.insert(id, first).unwrap_or(0);
            if first <= before {
                starts.insert(id, before);
                continue;
            }
            let kept = kept.iter().filter(|kept| kept.line < seen.line);
            let held = || log.held_max((id, before), topic, seen.line, AROUND_BYTES);
            let mut held_bytes = None;
            let is_allowed = kept.clone().any(|kept| {
                let is_old = kept.age_ms > 0 && self.may_be_old(seen, kept.age_ms, log);
                is_old || (kept.bytes > 0 && *held_bytes.get_or_insert_with(held) > kept.bytes)
            });
            if !is_allowed {
                let name = names.name(id);
                let expected = format!("offset {} of {name}, which is to be kept", first - 1);
                let found = format!("it begins at {first}");
                let told = kept.map(|kept| kept.line);
                let lines: Vec<usize> = told.chain([seen.line]).collect();
                findings.broken(Rule::S1, expected, found, &lines);
            }
        }
    }

    fn may_be_old(&self, seen: &Seen, age_ms: u64, log: &Log) -> bool {
        let (id, first) = seen.place;
        let known = seen.at_ms.zip(log.sent_ms((id, first - 1)));
        let set = self.clock_set.is_some_and(|line| line < seen.line);
        set || known.is_none_or(|(at_ms, sent_ms)| sent_ms + age_ms <= at_ms + ROUNDING_MS)
    }
}
