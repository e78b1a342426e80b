//! Groups: nothing before what they have committed is left out, and they never go back.

use std::collections::{BTreeMap, BTreeSet};

use super::names::{Names, Place};
use crate::Rule;
use crate::findings::Findings;

#[derive(Debug)]
struct Commit {
    group: String,
    place: Place,
}

/// How far a group is in a partition.
#[derive(Debug, Default)]
struct Progress {
    /// Where it began.
    first: Option<u64>,
    /// Positions that somebody has tried to commit.
    tried: BTreeSet<u64>,
    /// Behind the last commit that was acknowledged, and its line: each that went further.
    committed: Vec<(u64, usize)>,
    got: BTreeSet<u64>,
    skipped: Vec<(u64, u64)>,
}

#[derive(Debug, Default)]
pub(super) struct Groups {
    commits: BTreeMap<u64, Commit>,
    all: BTreeMap<String, BTreeMap<u32, Progress>>,
}

impl Groups {
    fn progress(&mut self, group: &str, partition: u32) -> &mut Progress {
        if !self.all.contains_key(group) {
            self.all.insert(group.to_owned(), BTreeMap::new());
        }
        let group = self.all.get_mut(group).expect("it is there now");
        group.entry(partition).or_default()
    }

    pub(super) fn commit(&mut self, operation: u64, group: &str, place: Place) {
        self.progress(group, place.0).tried.insert(place.1 + 1);
        let group = group.to_owned();
        self.commits.insert(operation, Commit { group, place });
    }

    pub(super) fn committed(&mut self, line: usize, operation: u64) {
        if let Some(Commit { group, place }) = self.commits.remove(&operation) {
            let committed = &mut self.progress(&group, place.0).committed;
            let position = place.1 + 1;
            if committed.last().is_none_or(|(last, _)| *last < position) {
                committed.push((position, line));
            }
        }
    }

    /// A member is told where it begins.
    pub(super) fn begins(
        &mut self,
        line: usize,
        group: &str,
        (partition, offset): Place,
        findings: &mut Findings,
    ) {
        let progress = self.progress(group, partition);
        progress.first.get_or_insert(offset);
        if let Some((committed, told)) = progress.committed.last()
            && offset < *committed
        {
            let expected = format!("{group} begins at {committed}, which it has committed");
            let found = format!("it begins at {offset}");
            findings.broken(Rule::S1, expected, found, &[*told, line]);
        }
    }

    /// A member that subscribed at `since` is seen to begin anew here.
    pub(super) fn resumes(
        &mut self,
        line: usize,
        group: &str,
        (partition, offset): Place,
        since: usize,
        findings: &mut Findings,
    ) {
        let progress = self.progress(group, partition);
        let first = *progress.first.get_or_insert(offset);
        let before = progress.committed.iter().rev();
        let committed = before.clone().find(|(_, told)| *told < since);
        if let Some((committed, told)) = committed
            && offset < *committed
        {
            let expected = format!("{group} begins at {committed}, which it has committed");
            let found = format!("it begins at {offset}");
            findings.broken(Rule::S1, expected, found, &[*told, since, line]);
        }
        if offset != first && !progress.tried.contains(&offset) {
            let expected = format!("{group} goes on at {first} or where it has committed");
            findings.broken(Rule::S6, expected, format!("at {offset}"), &[line]);
        }
    }

    pub(super) fn got(&mut self, group: &str, (partition, offset): Place, skipped: u64) {
        let progress = self.progress(group, partition);
        progress.got.insert(offset);
        if skipped > 0 {
            let from = offset.saturating_sub(skipped);
            progress.skipped.push((from, offset));
        }
    }

    /// Where the broker says it is.
    pub(super) fn ends(
        &mut self,
        line: usize,
        group: &str,
        (partition, offset): Place,
        names: &Names,
        findings: &mut Findings,
    ) {
        let name = names.name(partition);
        let progress = self.progress(group, partition);
        if let Some((committed, told)) = progress.committed.last()
            && offset < *committed
        {
            let expected = format!("{group} at {committed} in {name}, which it has committed");
            let found = format!("it is at {offset}");
            findings.broken(Rule::S1, expected, found, &[*told, line]);
        }
        let first = progress.first;
        if first.is_some_and(|first| first != offset) && !progress.tried.contains(&offset) {
            let expected = format!("{group} where it began or has committed in {name}");
            findings.broken(Rule::S2, expected, format!("it is at {offset}"), &[line]);
        }
    }

    /// Nothing before what a group has committed was left out.
    pub(super) fn gaps(&self, names: &Names, findings: &mut Findings) {
        let groups = self.all.iter();
        let all = groups.flat_map(|(group, of)| of.iter().map(move |(id, at)| (group, id, at)));
        for (group, id, progress) in all {
            let Some((committed, line)) = progress.committed.last() else {
                continue;
            };
            let first = progress.first.unwrap_or(*committed);
            let dropped = |offset: &u64| {
                let mut skipped = progress.skipped.iter();
                skipped.any(|(from, upto)| (*from..*upto).contains(offset))
            };
            let mut all = first..*committed;
            let missed = all.find(|at| !progress.got.contains(at) && !dropped(at));
            if let Some(offset) = missed {
                let expected = format!("{group} got offset {offset} of {}", names.name(*id));
                let found = format!("it has committed {committed} without");
                findings.broken(Rule::S1, expected, found, &[*line]);
            }
        }
    }
}
