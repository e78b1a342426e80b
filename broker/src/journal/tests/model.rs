//! Whatever is done in whatever order, both journals and a plain model agree.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::bench::{Bench, InFiles, InMemory, batch, read_all};
use crate::journal::{Batch, FileJournal, Journal, JournalLog, MemoryJournal, Place};

#[derive(Debug, Clone)]
enum Step {
    Append {
        shard: u16,
        events: u32,
        bytes: usize,
    },
    Seal,
    /// Trims a shard up to this share of what is durable.
    Trim {
        shard: u16,
        percent: u64,
    },
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = prop_oneof![4 => 0_usize..2_000, 2 => 2_000_usize..20_000, 1 => Just(61_368_usize)];
    prop_oneof![
        12 => (0_u16..3, 1_u32..5, bytes)
            .prop_map(|(shard, events, bytes)| Step::Append { shard, events, bytes }),
        2 => Just(Step::Seal),
        3 => (0_u16..3, 0_u64..=100).prop_map(|(shard, percent)| Step::Trim { shard, percent }),
        2 => Just(Step::Reopen),
    ]
}

struct Pair {
    files: InFiles,
    memory: InMemory,
    in_files: Option<FileJournal>,
    in_memory: Option<MemoryJournal>,
    /// Everything ever appended, by shard.
    appended: BTreeMap<u16, Vec<(Batch, Place)>>,
}

impl Pair {
    fn new() -> Self {
        let (files, memory) = (InFiles::new(), InMemory::new());
        let (in_files, in_memory) = (Some(files.open().0), Some(memory.open().0));
        Self {
            files,
            memory,
            in_files,
            in_memory,
            appended: BTreeMap::new(),
        }
    }

    fn take(&mut self, step: &Step) {
        let files = self.in_files.as_mut().unwrap();
        let memory = self.in_memory.as_mut().unwrap();
        match *step {
            Step::Append {
                shard,
                events,
                bytes,
            } => {
                let all = self.appended.entry(shard).or_default();
                let next = all.last().map_or(1, |(last, _)| last.last_lsn() + 1);
                let batch = batch(shard, next, events, bytes);
                let place = files.append(&batch).unwrap();
                assert_eq!(place, memory.append(&batch).unwrap());
                all.push((batch, place));
            }
            Step::Seal => {
                files.seal().unwrap();
                memory.seal().unwrap();
            }
            Step::Trim { shard, percent } => {
                let lsn = memory.log().durable_lsn(shard) * percent / 100;
                files.log().trim(shard, lsn).unwrap();
                memory.log().trim(shard, lsn).unwrap();
            }
            Step::Reopen => {
                self.in_files = None;
                self.in_memory = None;
                let (files, from_files) = self.files.open();
                let (memory, from_memory) = self.memory.open();
                assert_eq!(
                    (
                        from_files.first_lsn,
                        from_files.last_lsn,
                        from_files.last_time_ms
                    ),
                    (
                        from_memory.first_lsn,
                        from_memory.last_lsn,
                        from_memory.last_time_ms
                    )
                );
                assert_eq!(from_files.cut_bytes, 0);
                (self.in_files, self.in_memory) = (Some(files), Some(memory));
            }
        }
    }

    fn compare(&self) {
        let files = self.in_files.as_ref().unwrap().log();
        let memory = self.in_memory.as_ref().unwrap().log();
        assert_eq!(files.used_bytes(), memory.used_bytes());
        for (&shard, appended) in &self.appended {
            assert_eq!(files.durable_lsn(shard), memory.durable_lsn(shard));
            assert_eq!(files.first_lsn(shard), memory.first_lsn(shard));
            let first = files.first_lsn(shard);
            let held: Vec<_> = appended
                .iter()
                .filter(|(batch, _)| first.is_some_and(|first| batch.first_lsn >= first))
                .cloned()
                .collect();
            assert_eq!(read_all(&*files, shard, 0), held);
            assert_eq!(read_all(&*memory, shard, 0), held);
            self.compare_from_the_middle(&*files, &*memory, shard, &held);
        }
    }

    fn compare_from_the_middle(
        &self,
        files: &dyn JournalLog,
        memory: &dyn JournalLog,
        shard: u16,
        held: &[(Batch, Place)],
    ) {
        let Some((middle, place)) = held.get(held.len() / 2) else {
            return;
        };
        let after = middle.last_lsn() - 1;
        if after > 0 && middle.events > 1 {
            assert_eq!(files.next(shard, after).unwrap().unwrap().0, *middle);
            assert_eq!(memory.next(shard, after).unwrap().unwrap().0, *middle);
        }
        let part = place.part(place.length / 3, place.length / 2).unwrap();
        assert_eq!(files.read(part).unwrap(), memory.read(part).unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn both_hold_what_was_appended(steps in prop::collection::vec(step(), 1..60)) {
        let mut pair = Pair::new();
        for step in &steps {
            pair.take(step);
        }
        pair.compare();
        pair.take(&Step::Reopen);
        // After an open a shard may be forgotten, when all of it was trimmed.
        pair.compare_known();
    }
}

impl Pair {
    fn compare_known(&mut self) {
        let memory = self.in_memory.as_ref().unwrap().log();
        self.appended
            .retain(|&shard, _| memory.first_lsn(shard).is_some());
        self.compare();
    }
}
