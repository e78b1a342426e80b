//! Sets of job ids that take little memory: ids are given out without gaps, more or less.

use std::collections::BTreeMap;

/// Ids, kept as spans: memory in proportion to the gaps, not to the ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ids {
    /// First and last id of each span; there is a gap between two of them.
    spans: BTreeMap<u64, u64>,
}

impl Ids {
    pub(crate) fn contains(&self, id: u64) -> bool {
        self.span_from(id).is_some_and(|(_, last)| id <= last)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    pub(crate) fn insert(&mut self, id: u64) {
        let before = self.span_from(id);
        if before.is_some_and(|(_, last)| id <= last) {
            return;
        }
        let joins = |(_, last): &(u64, u64)| last.checked_add(1) == Some(id);
        let first = before.filter(joins).map_or(id, |(first, _)| first);
        let behind = id.checked_add(1).and_then(|next| self.spans.remove(&next));
        self.spans.insert(first, behind.unwrap_or(id));
    }

    /// The last span that begins at or before this id.
    fn span_from(&self, id: u64) -> Option<(u64, u64)> {
        let span = self.spans.range(..=id).next_back();
        span.map(|(first, last)| (*first, *last))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// All orders of a few neighbours and two ends, against a plain set.
    #[test]
    fn it_holds_what_was_put_in_and_nothing_else() {
        let near = [0, 1, 2, 3, 5, 6, u64::MAX - 1, u64::MAX];
        for seed in 0..2_000_u64 {
            let (mut ids, mut plain) = (Ids::default(), BTreeSet::new());
            let mut state = seed;
            for _ in 0..12 {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let id = near[(state >> 33) as usize % near.len()];
                ids.insert(id);
                plain.insert(id);
                let around = near.iter().chain(&[4, 7, u64::MAX - 2]);
                for id in around {
                    assert_eq!(ids.contains(*id), plain.contains(id), "{id} in {ids:?}");
                }
            }
            let starts = plain
                .iter()
                .filter(|id| **id == 0 || !plain.contains(&(**id - 1)));
            assert_eq!(ids.spans.len(), starts.count(), "spans are joined: {ids:?}");
        }
    }

    #[test]
    fn a_million_ids_without_gaps_are_one_span() {
        let mut ids = Ids::default();
        // As they are seen: mostly in order, some late.
        (0..1_000_000_u64)
            .filter(|id| id % 7 != 3)
            .for_each(|id| ids.insert(id));
        (0..1_000_000_u64)
            .filter(|id| id % 7 == 3)
            .for_each(|id| ids.insert(id));
        assert_eq!(ids.spans.len(), 1);
    }
}
