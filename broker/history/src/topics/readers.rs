//! Readers: they begin where they asked to, and from there on nothing is left out and nothing comes
//! twice.

use std::collections::BTreeMap;

use super::groups::Groups;
use super::log::Log;
use super::names::Place;
use super::{Read, Start};
use crate::Rule;
use crate::findings::Findings;

#[derive(Debug, Default)]
struct Reader {
    group: Option<String>,
    start: Option<Start>,
    asked: usize,
    told: Option<usize>,
    next: BTreeMap<u32, u64>,
    /// Where it was seen to begin, and the line.
    began: BTreeMap<u32, (u64, usize)>,
}

#[derive(Debug, Default)]
pub(super) struct Readers {
    all: BTreeMap<u64, Reader>,
    /// What partitions hold in the end.
    ends: BTreeMap<u32, (u64, usize)>,
}

impl Readers {
    pub(super) fn subscribes(
        &mut self,
        line: usize,
        reader: u64,
        group: Option<&str>,
        start: Start,
    ) {
        let reader = self.all.entry(reader).or_default();
        reader.group = group.map(str::to_owned);
        (reader.start, reader.asked) = (Some(start), line);
    }

    pub(super) fn subscribed(&mut self, line: usize, reader: u64) {
        self.all.entry(reader).or_default().told = Some(line);
    }

    pub(super) fn begins(&mut self, reader: u64, group: Option<&str>, place: Place) {
        let reader = self.all.entry(reader).or_default();
        reader.group = group.map(str::to_owned);
        reader.next.insert(place.0, place.1);
    }

    pub(super) fn ends(&mut self, line: usize, (partition, first): Place) {
        self.ends.insert(partition, (first, line));
    }

    pub(super) fn got(
        &mut self,
        line: usize,
        read: &Read,
        place: Place,
        groups: &mut Groups,
        findings: &mut Findings,
    ) {
        let reader = self.all.entry(read.reader).or_default();
        let (partition, offset) = place;
        let from = offset.saturating_sub(read.skipped);
        let next = reader.next.insert(partition, offset + 1);
        if let Some(group) = &reader.group {
            groups.got(group, place, read.skipped);
            // A partition that was lost and came back goes on where others have left it.
            let comes_back = reader.start.is_some() && next.is_none_or(|next| from > next);
            if comes_back {
                groups.resumes(line, group, (partition, from), reader.asked, findings);
                return;
            }
        }
        let Some(next) = next else {
            reader.began.insert(partition, (from, line));
            return;
        };
        if from != next || read.skipped > offset {
            let expected = format!("offset {next} for reader {}", read.reader);
            let found = format!("offset {offset} behind {} that are gone", read.skipped);
            findings.broken(Rule::S6, expected, found, &[line]);
        }
    }

    /// Those without a group began where they asked to.
    pub(super) fn starts(&self, log: &Log, findings: &mut Findings) {
        for (number, reader) in &self.all {
            let Some(start) = reader.start else { continue };
            for (partition, (from, line)) in &reader.began {
                let at = Begun {
                    reader,
                    partition: *partition,
                    from: *from,
                    line: *line,
                };
                if let Some((expected, other)) = self.wrong(start, &at, log) {
                    let expected = format!("reader {number} begins {expected}");
                    let found = format!("it begins at {from}");
                    let lines = [reader.asked, other, *line];
                    findings.broken(Rule::S6, expected, found, &lines);
                }
            }
        }
    }

    /// What was certainly there when it began. Nobody knows what retention took behind the end.
    fn kept(&self, at: &Begun<'_>) -> Option<(u64, usize)> {
        let end = self.ends.get(&at.partition)?;
        (at.line < end.1).then_some(*end)
    }

    /// Where it should have begun, and the line that says so.
    fn wrong(&self, start: Start, at: &Begun<'_>, log: &Log) -> Option<(String, usize)> {
        let from = at.from;
        match start {
            Start::Earliest => {
                let (first, line) = self.kept(at)?;
                (from > first).then(|| (format!("with {first}, which is there still"), line))
            }
            Start::Latest => at.not_latest(log),
            // Of what is not there yet, with what comes next.
            Start::Offset(offset) if from < offset => at.not_latest(log),
            Start::Offset(offset) => {
                (from > offset).then(|| (format!("at {offset}"), at.reader.asked))
            }
            Start::Time(time_ms) => {
                // It may have begun with the oldest that retention had left.
                let (first, _) = self.kept(at)?;
                let kept = |offset: u64| offset >= first;
                let wrong = |(offset, of): &(u64, u64)| {
                    (*offset < from) == (*of >= time_ms) && (*offset == from || kept(from - 1))
                };
                // The first of them decides: what was passed over is earlier, it is not.
                let mut near = log
                    .times(at.partition)
                    .filter(|(offset, _)| *offset <= from);
                near.find(wrong).map(|_| {
                    (
                        format!("with the first of {time_ms} or later"),
                        at.reader.asked,
                    )
                })
            }
        }
    }
}

struct Begun<'a> {
    reader: &'a Reader,
    partition: u32,
    from: u64,
    line: usize,
}

impl Begun<'_> {
    /// Something was there before it asked and comes, or was sent after it was told and does not.
    fn not_latest(&self, log: &Log) -> Option<(String, usize)> {
        let told = self.reader.told.unwrap_or(usize::MAX);
        let all = log.acknowledged(self.partition);
        let wrong = all.into_iter().find_map(|(offset, sent, ack)| {
            let is_old = offset >= self.from && ack < self.reader.asked;
            let is_new = offset < self.from && sent > told;
            (is_old || is_new).then_some((offset, if is_old { ack } else { sent }))
        });
        wrong.map(|(offset, line)| {
            let side = if offset < self.from {
                "before"
            } else {
                "behind"
            };
            (format!("{side} offset {offset}"), line)
        })
    }
}
